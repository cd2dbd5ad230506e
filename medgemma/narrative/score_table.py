"""The table of scores that stands beside a text: one row for each finding that was scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from medsiglip.medgemma.narrative.codes import Code, code_of
from medsiglip.medgemma.narrative.nouns import Noun, in_one_line, known_noun
from medsiglip.medgemma.narrative.pictures import picture_in_words
from medsiglip.medgemma.narrative.report_kinds import ReportKind, kind_of
from medsiglip.medgemma.records import Evidence, Finding

State = Literal["high", "undecided", "low"]
_STATES: dict[bool | None, State] = {True: "high", None: "undecided", False: "low"}


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """A finding that was scored. `label` is its name in words, `code` that of a coding scheme where one has a
    code for it, `probability` has two digits (`0.93`, `>0.99`), and `calibrated` is whether it was fitted to
    known cases. `state` is `undecided` where `present` is None. `picture` names the picture that drove the
    score, "" if it is not known.
    """

    label: str
    code: Code | None
    probability: str
    calibrated: bool
    present: bool | None
    state: State
    source: str
    picture: str
    image_id: int
    finding: Finding


def score_rows(evidence: Evidence) -> tuple[ScoreRow, ...]:
    """The rows of the table, in the order of the findings: the most probable first."""
    kind = kind_of(evidence)
    return tuple(_row(evidence, finding, noun_in(kind, finding)) for finding in evidence.findings)


def noun_in(kind: ReportKind, finding: Finding) -> Noun | None:
    """The noun of a score, None where the lexicon does not know its label as one of this kind of report: a
    "mass" of a probe on CT is no breast mass.
    """
    noun = known_noun(finding.label, finding.source)
    return noun if noun is not None and noun.organ in kind.organs else None


def two_digits(probability: float) -> str:
    """No score is certain, so one that would be rounded to 0 or 1 is written as below or above."""
    if probability >= 0.995:
        return ">0.99"
    return "<0.01" if probability < 0.005 else f"{probability:.2f}"


def _row(evidence: Evidence, finding: Finding, noun: Noun | None) -> ScoreRow:
    label = noun.title if noun is not None else f'"{in_one_line(finding.label)}"'
    unknown = noun is None and known_noun(finding.label, finding.source) is not None
    return ScoreRow(
        label=label,
        code=None if unknown else code_of(finding.label, finding.source),
        probability=two_digits(finding.probability),
        calibrated=finding.calibrated,
        present=finding.present,
        state=_STATES[finding.present],
        source=finding.source,
        picture=picture_in_words(evidence, finding.image_id),
        image_id=finding.image_id,
        finding=finding,
    )
