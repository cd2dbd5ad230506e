"""Words of other patients' reports in the text of a draft.

Reports of similar cases are evidence beside a draft. What a generator repeats of them is not a statement
about this patient and may name another one, so it is not kept in the text; a person's text is kept, with a
flag.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from medsiglip.medgemma.checks.concerns import incomplete_sentence
from medsiglip.medgemma.checks.overlap import Overlap, overlaps
from medsiglip.medgemma.checks.verify import check_draft
from medsiglip.medgemma.generators import evidence_only
from medsiglip.medgemma.records import Check, Draft, Evidence, Flag

WITHHELD = "context_withheld"
"""The key of a draft's `details` that counts the copied sentences of a reply that was not kept."""
NAMES_A_PATIENT = "reply-names-a-patient"
"""The code of a reply that is refused because it names a patient."""
_WRONG: dict[Flag, str] = {
    "wrong-side": "give another side than is known",
    "wrong-size": "give another size than is known",
    "wrong-number": "give another number than is known",
    "other-patient": "name a person",
    "other-language": "are in another language, and are not checked",
}


def copied_by_generator(text: str, evidence: Evidence, unaided: str) -> tuple[Overlap, ...]:
    """The sentences of a generator's reply that stand in reports of similar cases, and neither in this
    patient's texts nor in `unaided`, what the generator wrote without having seen those reports.

    A sentence that any report may hold, such as "No pleural effusion.", counts only where the scores do not
    support it: where it contradicts one, or states a finding as present that no score has as present.
    """
    found = overlaps(text, _others(evidence), _own(evidence, unaided))
    if all(overlap.kind != "stock" for overlap in found):
        return found
    doubtful = sorted(check.start for check in check_draft(text, evidence) if not _is_supported(check))
    return tuple(
        overlap
        for overlap in found
        if overlap.kind != "stock"
        or bisect_left(doubtful, overlap.start) != bisect_left(doubtful, overlap.end)
    )


def copied_by_person(text: str, draft: Draft) -> tuple[Overlap, ...]:
    """The sentences of a person's text that hold names, numbers or unusual wording of similar cases' reports.

    Sentences that any report may hold are not among them: people write those independently.
    """
    own = [draft.text_without_context or ""]
    if draft.text_without_context is None and draft.history:
        own.append(draft.history[0].text or "")  # of a generator that saw no report of another patient
    if draft.generator == evidence_only.EVIDENCE_ONLY:
        own = []
    found = overlaps(text, _others(draft.evidence), _own(draft.evidence, *own))
    return tuple(overlap for overlap in found if overlap.kind in ("identity", "wording"))


def copied_in(draft: Draft, text: str) -> tuple[Overlap, ...]:
    """The copied sentences of `text`, the current text of the draft, whether a person or a generator wrote
    it.

    Drafts of this version have none before a person edits them. Those of earlier versions may:
    `evidence-only` quoted similar cases then, with the case as the source of the sentence.
    """
    if is_persons(draft):
        return copied_by_person(text, draft)
    if draft.generator == evidence_only.EVIDENCE_ONLY:
        return tuple(_quoted(draft))
    if draft.text_without_context is None:
        return ()
    return copied_by_generator(text, draft.evidence, draft.text_without_context)


def is_persons(draft: Draft) -> bool:
    """Whether a person changed the text."""
    return any(step.status == "edited" for step in draft.history)


def left_out(text: str, copied: Sequence[Overlap]) -> str:
    """The text with `[similar case n]` in place of copied sentences."""
    parts, end = [], 0
    for number, overlap in enumerate(copied):
        former = copied[number - 1].source if number else None
        if former != overlap.source or text[end : overlap.start].strip():
            parts += [text[end : overlap.start], stand_in(overlap)]
        end = overlap.end
    return "".join([*parts, text[end:]])


def stand_in(overlap: Overlap) -> str:
    """The replacement for words of a similar case; cases are counted from one."""
    return f"[similar case {overlap.source + 1}]"


def warnings_of(draft: Draft) -> tuple[str, ...]:
    """Sentences that warn a person of copied and wrong words, without repeating them, of a text that is cut
    off, and of scores left out. What the text omits stands in `Draft.omissions`.
    """
    cut_off = incomplete_sentence(draft)
    warnings = [] if cut_off is None else [cut_off]
    if draft.superseded_by is not None:
        warnings.append(f"This report is superseded by the addendum {draft.superseded_by}.")
    if draft.evidence.left_out:
        warnings.append(
            f"Scores of {', '.join(draft.evidence.left_out)} are left out: the probe was trained on this "
            "patient's pictures, or on identical ones, and has learned the answers."
        )
    withheld = draft.details.get(WITHHELD)
    if withheld and withheld.get("code") == NAMES_A_PATIENT:
        warnings.append(
            "The reply that was drafted with the reports of similar cases named a patient and was not kept; "
            "this text was drafted without those reports."
        )
    elif withheld:
        warnings.append(
            "The reply that was drafted with the reports of similar cases repeated words of them (sentences: "
            f"{withheld['sentences']}) and was not kept; this text was drafted without those reports."
        )
    flagged = len({check.start for check in draft.checks if "copied-from-similar-case" in check.flags})
    if flagged:
        warnings.append(
            f"Words of another patient's report stand in this text (sentences: {flagged}); make sure that "
            "they are true of this patient and name nobody else."
        )
    wrong = [(flag, len({check.start for check in draft.checks if flag in check.flags})) for flag in _WRONG]
    warnings += [f"Sentences that {_WRONG[flag]}: {count}." for flag, count in wrong if count]
    return tuple(warnings)


def _others(evidence: Evidence) -> list[str]:
    return [case.text or "" for case in evidence.similar]


def _own(evidence: Evidence, *more: str) -> list[str]:
    """Texts about this patient that owe nothing to the reports of others."""
    prior = evidence.prior
    age = "" if evidence.patient_age is None else f"{evidence.patient_age:g} years old"
    found = [evidence.indication, evidence.study_date, age, evidence_only.compose(evidence)[0], *more]
    found += [] if prior is None else [prior.text, prior.study_date]
    return [text for text in found if text]


def _is_supported(check: Check) -> bool:
    """Whether the scores agree, or a sentence denies a finding without a score, or names no finding."""
    if check.finding is None or check.verdict == "agree":
        return True
    return check.polarity is False and check.verdict != "contradict"


def _quoted(draft: Draft) -> list[Overlap]:
    cases = {case.study_instance_uid: number for number, case in enumerate(draft.evidence.similar)}
    found = []
    for check in draft.checks:
        source = next((cases[uid] for uid in check.sources if uid in cases), None)
        if source is not None:
            found.append(Overlap(check.start, check.end, source, "wording"))
    return found
