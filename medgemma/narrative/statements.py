"""Scores as sentences: what they suggest, what they do not, and what they leave open.

A score states no fact, so a sentence says what the score suggests. The checks of drafts read these sentences
as present, absent or open, as the scores are (`medsiglip.medgemma.checks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medsiglip.medgemma.narrative.nouns import Noun, capital, joined, noun_of
from medsiglip.medgemma.narrative.report_kinds import ReportKind
from medsiglip.medgemma.narrative.score_table import noun_in
from medsiglip.medgemma.narrative.technique import number
from medsiglip.medgemma.records import Evidence, Finding

OTHER = "Other"
"""The heading of findings that belong to no organ of the kind of report, such as labels of a probe of one's
own.
"""

_DEVICES = "devices"
_MOST_QUOTED = 12
"""Labels of ones own with low scores that a sentence quotes; of more, as of a set of diseases of the skin, it
says how many there are.
"""
_MOST_UNDECIDED = 2
"""Undecided findings that an impression names; of more it says how many there are."""


@dataclass(frozen=True, slots=True)
class Sourced:
    """A sentence of a draft and its sources: sources of scores or Study Instance UIDs."""

    sentence: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A finding as the text states it: `present` is None where its scores are undecided, and where several
    disagree. `probability` is the highest of its scores.
    """

    noun: Noun
    present: bool | None
    disagree: bool
    probability: float
    sources: tuple[str, ...]


def statements_of(evidence: Evidence, kind: ReportKind) -> tuple[Statement, ...]:
    """The findings that are stated, the most probable first. Scores of the same finding are one statement.

    The label of an absence is stated only where its score is high, and nothing is denied that names a finding
    whose score is not low.
    """
    grouped: dict[str, tuple[Noun, list[Finding]]] = {}
    for finding in evidence.findings:
        noun = noun_in(kind, finding) or _quoted(finding)
        grouped.setdefault(noun.name, (noun, []))[1].append(finding)
    found = {name: _statement(noun, findings) for name, (noun, findings) in grouped.items()}
    return tuple(one for one in found.values() if _is_stated(one, found))


def organ_sections(
    statements: Sequence[Statement], kind: ReportKind
) -> Iterator[tuple[str, tuple[Sourced, ...]]]:
    """Yield the heading of each organ with its sentences, in the order of the kind; organs without a score
    have none.
    """
    headings: list[tuple[str | None, str]] = [*kind.organs.items(), (None, OTHER)]
    for organ, heading in headings:
        theirs = [one for one in statements if _organ(one, kind) == organ]
        sentences = tuple(_sentences(theirs))
        if sentences:
            yield heading, sentences


def _organ(statement: Statement, kind: ReportKind) -> str | None:
    organ = statement.noun.organ
    return organ if organ in kind.organs else None


def impression(statements: Sequence[Statement]) -> Iterator[Sourced]:
    """Yield the sentences of an impression: what high scores suggest, the highest first, and devices last."""
    ordered = sorted(statements, key=lambda one: -one.probability)
    high = [one for one in ordered if one.present]
    findings = [one for one in high if not one.noun.absence and one.noun.organ != _DEVICES]
    if findings:
        yield _suggested(findings, "Highest first, the" if len(findings) > 1 else "The")
    yield from (_suggested([one]) for one in high if one not in findings)
    if not high:
        yield Sourced("None of the model scores is high.", ())
    yield from (_disputed(one) for one in ordered if one.disagree)
    undecided = [one for one in statements if one.present is None and not one.disagree]
    if len(undecided) > _MOST_UNDECIDED:
        yield Sourced(f"{capital(number(len(undecided)))} of the scored findings are undecided.", ())
    elif undecided:
        yield _open(undecided)


def _sentences(statements: Sequence[Statement]) -> Iterator[Sourced]:
    high = [one for one in statements if one.present and not one.noun.absence]
    if high:
        yield _suggested(high)
    yield from (_suggested([one]) for one in statements if one.present and one.noun.absence)
    yield from (_disputed(one) for one in statements if one.disagree)
    undecided = [one for one in statements if one.present is None and not one.disagree]
    if undecided:
        yield _open(undecided)
    low = [one for one in statements if one.present is False]
    together = [one for one in low if not one.noun.alone]
    if len(together) > _MOST_QUOTED and all(one.noun.organ is None for one in together):
        yield Sourced(f"{capital(number(len(together)))} other labels have a low score.", _sources(together))
        return
    yield from (_denied(some) for some in (together, *([one] for one in low if one.noun.alone)) if some)


def _disputed(statement: Statement) -> Sourced:
    noun = statement.noun.noun
    return Sourced(f"The model scores disagree, and {noun} cannot be excluded.", statement.sources)


def _open(statements: Sequence[Statement]) -> Sourced:
    named = capital(joined([one.noun.noun for one in statements], "or"))
    return Sourced(f"{named} cannot be excluded by the model {_scores(statements)}.", _sources(statements))


def _denied(statements: Sequence[Statement]) -> Sourced:
    verb = "suggests" if len(statements) == 1 else "suggest"
    named = joined([one.noun.none for one in statements], "or")
    return Sourced(f"The model {_scores(statements)} {verb} no {named}.", _sources(statements))


def _suggested(statements: Sequence[Statement], start: str = "The") -> Sourced:
    verb = "suggests" if len(statements) == 1 else "suggest"
    named = joined([one.noun.noun for one in statements])
    return Sourced(f"{start} model {_scores(statements)} {verb} {named}.", _sources(statements))


def _scores(statements: Sequence[Statement]) -> str:
    return "score" if len(statements) == 1 else "scores"


def _sources(statements: Sequence[Statement]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(source for one in statements for source in one.sources))


def _statement(noun: Noun, findings: Sequence[Finding]) -> Statement:
    states = {finding.present for finding in findings}
    return Statement(
        noun,
        states.pop() if len(states) == 1 else None,
        len({finding.present for finding in findings}) > 1,
        max(finding.probability for finding in findings),
        tuple(dict.fromkeys(finding.source for finding in findings)),
    )


def _is_stated(one: Statement, others: Mapping[str, Statement]) -> bool:
    denies = one.present is True if one.noun.absence else one.present is False
    overlapping = [others[name] for name in one.noun.overlaps if name in others]
    if denies:
        return all(other.present is False for other in overlapping)
    return not one.noun.absence


def _quoted(finding: Finding) -> Noun:
    """The label in quotes, as nothing of this kind of report has it."""
    quoted = noun_of(finding.label, finding.source)
    if quoted.organ is None:
        return quoted
    words = f'"{finding.label}"'
    return Noun(f"own:{finding.label}", words, words)
