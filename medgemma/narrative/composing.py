"""A report composed from evidence alone: technique, comparison, findings by organ, impression and
limitations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medsiglip.medgemma.narrative.dates import written_date
from medsiglip.medgemma.narrative.nouns import in_one_line
from medsiglip.medgemma.narrative.pictures import part_in_words
from medsiglip.medgemma.narrative.report_kinds import ReportKind, kind_of, title_of
from medsiglip.medgemma.narrative.statements import (
    Sourced,
    Statement,
    impression,
    organ_sections,
    statements_of,
)
from medsiglip.medgemma.narrative.technique import number, sampling, technique
from medsiglip.medgemma.records import Evidence, PriorStudy

_DEMONSTRATION_SET = "prompts:phantoms"
"""The prompt set that is scored by the demonstration model alone."""


_MOST_QUOTES = 12
_LONGEST_QUOTE = 200

Paragraph = tuple[str, tuple[Sourced, ...]]
"""The organ that a paragraph is about, "" if none, and its sentences."""


@dataclass(frozen=True, slots=True)
class Background:
    """What was read beside the scores: sentences of the earlier report that state a finding as present, and
    texts that are not in English, each with its language: `("indication", "German")`.
    """

    earlier_statements: tuple[str, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()


def compose(evidence: Evidence, background: Background | None = None) -> tuple[str, tuple[Sourced, ...]]:
    """The text of a report and its sentences, in the order of the text. It has nothing of similar cases; of
    an earlier report it quotes the statements of `background`.

    Probabilities are not in the text, see `medsiglip.medgemma.narrative.score_table`.
    """
    known = background or Background()
    kind = kind_of(evidence)
    stated = statements_of(evidence, kind)
    sections: dict[str, list[Paragraph]] = {
        "TECHNIQUE": [("", _plain([technique(evidence, kind)]))],
        "COMPARISON": [("", tuple(_comparison(evidence, kind, known)))],
        "FINDINGS": list(_findings(evidence, kind, stated)),
        "IMPRESSION": [("", tuple(_impression(evidence, stated)))],
        "LIMITATIONS": [("", _plain(_limitations(evidence, kind, known)))],
    }
    text = "\n\n".join(
        "\n".join([f"{heading}:", *(_in_words(paragraph) for paragraph in paragraphs)])
        for heading, paragraphs in sections.items()
    )
    paragraphs = [paragraph for section in sections.values() for paragraph in section]
    return text, tuple(sentence for _, sentences in paragraphs for sentence in sentences)


def _in_words(paragraph: Paragraph) -> str:
    organ, sentences = paragraph
    words = " ".join(one.sentence for one in sentences)
    return f"{organ}: {words}" if organ else words


def _findings(evidence: Evidence, kind: ReportKind, stated: Sequence[Statement]) -> Iterator[Paragraph]:
    if evidence.region_conflict:
        conflict = in_one_sentence(evidence.region_conflict)
        yield "", _plain([conflict, "No score is reported for this reason."])
    elif stated:
        yield from organ_sections(stated, kind)
    elif evidence.findings:
        yield "", _plain(["What is scored here is low, and is the name of an absence."])
    elif evidence.left_out:
        yield "", _plain(["What is scored here was trained on this patient, and its scores are left out."])
    else:
        yield "", _plain(["Nothing that is scored here fits this kind of picture."])


def _impression(evidence: Evidence, stated: Sequence[Statement]) -> Iterator[Sourced]:
    if evidence.region_conflict:
        yield Sourced("None: it is not certain which part of the body is shown, and nothing is scored.", ())
    elif not evidence.findings:
        yield Sourced("None: nothing is scored.", ())
    else:
        yield from impression(stated)


def _comparison(evidence: Evidence, kind: ReportKind, known: Background) -> Iterator[Sourced]:
    prior = evidence.prior
    if prior is None:
        yield Sourced("None available.", ())
        return
    uid = (prior.study_instance_uid,)
    report = "whose report is on file" if prior.text else "of which no report is on file"
    yield Sourced(f"{title_of(evidence, kind)} of {_day(evidence, prior)}, {report}.", uid)
    yield Sourced("The pictures of the two studies were not compared.", ())
    if known.earlier_statements:
        quotes = [f'"{in_one_line(one, _LONGEST_QUOTE)}"' for one in known.earlier_statements[:_MOST_QUOTES]]
        yield Sourced(f"The earlier report states: {'; '.join(quotes)}.", uid)


def _day(evidence: Evidence, prior: PriorStudy) -> str:
    if not prior.study_date:
        return "unknown date"
    date = written_date(prior.study_date)
    return f"the same day, {date}" if prior.study_date == evidence.study_date else date


def _limitations(evidence: Evidence, kind: ReportKind, known: Background) -> Iterator[str]:
    named = f" {in_one_line(evidence.model)}" if evidence.model else ""
    yield f"The text is composed from scores of the image model{named} alone."
    if evidence.findings:
        yield "The scores give neither the side, the size nor the number of what they suggest."
        yield _calibration(evidence)
        yield from kind.limitations
    yield "What has no score is not mentioned."
    if any(finding.source == _DEMONSTRATION_SET for finding in evidence.findings):
        yield "The model is a demonstration model, which is not for clinical use."
    unknown = not part_in_words(evidence) and kind.of_part
    if unknown and not evidence.region_conflict and not evidence.not_scored:
        yield "The part of the body is not known."
    sampled = sampling(evidence, kind)
    if sampled and evidence.findings:
        yield sampled
    for source in evidence.left_out:
        name = in_one_line(source.partition(":")[2] or source)
        yield f'The probe "{name}" was trained on pictures of this patient, and its scores are left out.'
    yield from (in_one_sentence(one) for one in evidence.not_scored)
    for text, language in known.unread:
        yield f"The {text} is in {language}, which the checks do not read."


def _calibration(evidence: Evidence) -> str:
    total = len(evidence.findings)
    calibrated = sum(finding.calibrated for finding in evidence.findings)
    if calibrated == total:
        return "The scores are calibrated on known cases."
    if not calibrated:
        return "The scores are uncalibrated: they rank what is scored and do not say how likely disease is."
    verb = "is" if calibrated == 1 else "are"
    return f"Of {number(total)} scores, {number(calibrated)} {verb} calibrated."


def in_one_sentence(text: str) -> str:
    """A sentence of the program in one line, with a full stop at its end."""
    words = " ".join(text.split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _plain(sentences: Sequence[str] | Iterator[str]) -> tuple[Sourced, ...]:
    return tuple(Sourced(sentence, ()) for sentence in sentences)
