"""The text of a draft split at its sentences, each with the mark that its checks require."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from medsiglip.medgemma.checks.copied import copied_in, is_persons, stand_in
from medsiglip.medgemma.exports.standing import report_text
from medsiglip.medgemma.records import Check, Draft, Flag, SimilarCase

# XML 1.0 2.2 has no way to write these, and neither have DICOM's UT (PS3.5 6.2) and FHIR's string.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_FLAGS: dict[Flag, str] = {
    "temporal-without-prior": "speaks of change, but there is no prior study",
    "other-modality": "fits another modality",
    "flipped-by-context": "says otherwise when drafted without similar cases",
    "copied-from-similar-case": "stands in the report of a similar case of another patient",
    "quoted": "quoted, not held against the scores",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the text; `text` of all passages joined is the whole. `mark` is None where there
    is no objection to it.
    """

    text: str
    mark: str | None = None
    contradicted: bool = False


def passages(draft: Draft) -> tuple[Passage, ...]:
    """The current text, each sentence with the mark that its checks require.

    In a text that a person changed, a sentence keeps its mark where its words are unchanged. Study UIDs of
    similar cases are replaced, see `shown`, and so is what a machine copied from their reports; what a person
    kept of that is marked.
    """
    text = report_text(draft)
    found: list[Passage] = []
    end = 0
    for start, stop, passage in _stretches(draft, text):
        if stop <= end:
            continue
        start = max(start, end)
        between = text[end:start]
        if passage.text and found and passage == found[-1] and not between.strip():
            end = stop
            continue
        if between:
            found.append(Passage(shown(between, draft.evidence.similar)))
        words = passage.text or shown(text[start:stop], draft.evidence.similar)
        found.append(replace(passage, text=words))
        end = stop
    if end < len(text):
        found.append(Passage(shown(text[end:], draft.evidence.similar)))
    return tuple(found)


def shown(text: str, similar: Sequence[SimilarCase] = ()) -> str:
    """Text as every format can hold it: no control characters but tab and line feed, no lone surrogates.

    A study UID of a similar case identifies another patient wherever both are known, so it becomes
    `[similar case n]`.
    """
    text = _UNWRITABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    numbers = {case.study_instance_uid: n for n, case in enumerate(similar, 1) if case.study_instance_uid}
    if not numbers:
        return text
    uids = "|".join(re.escape(uid) for uid in sorted(numbers, key=len, reverse=True))
    known = re.compile(rf"(?<![0-9.])(?:{uids})(?![0-9]|\.[0-9])")
    return known.sub(lambda match: f"[similar case {numbers[match[0]]}]", text)


def _stretches(draft: Draft, text: str) -> Iterator[tuple[int, int, Passage]]:
    """The place of each passage in `text`, in order; one without text has the words of its place."""
    persons = is_persons(draft)
    copied = {(one.start, one.end): one for one in copied_in(draft, text)}
    placed = {(start, stop): checks for start, stop, checks in _placed(draft, text)}
    starts = sorted(copied)
    for start, stop in sorted({*copied, *placed}):
        if (start, stop) in copied:
            flag = _FLAGS["copied-from-similar-case"]
            yield start, stop, Passage("", f"[{flag}]") if persons else Passage(stand_in(copied[start, stop]))
        elif not _overlaps(starts, start, stop):
            contradicted = any(check.verdict == "contradict" for check in placed[start, stop])
            yield start, stop, Passage("", _mark(placed[start, stop]), contradicted)


def _overlaps(spans: Sequence[tuple[int, int]], start: int, stop: int) -> bool:
    """Whether one of the spans, which are in order and disjoint, overlaps that stretch."""
    at = bisect_left(spans, (stop, 0)) - 1
    return at >= 0 and spans[at][1] > start


def _placed(draft: Draft, text: str) -> list[tuple[int, int, list[Check]]]:
    """Checks by the stretch of `text` that they are about, in order."""
    spans: dict[tuple[int, int], list[Check]] = {}
    for check, start, end in _offsets(draft, text):
        spans.setdefault((start, end), []).append(check)
    return [(start, end, spans[start, end]) for start, end in sorted(spans)]


def _offsets(draft: Draft, text: str) -> Iterator[tuple[Check, int, int]]:
    if text == draft.text:
        yield from ((c, max(c.start, 0), min(c.end, len(text))) for c in draft.checks)
        return
    last, at = (-1, -1), 0
    for check in sorted(draft.checks, key=lambda c: (c.start, c.end)):
        if (check.start, check.end) != last:
            last, words = (check.start, check.end), draft.text[check.start : check.end]
            place = text.find(words, at) if words.strip() else -1
            start, at = (place, place + len(words)) if place >= 0 else (-1, at)
        if start >= 0:
            yield check, start, at


def _mark(checks: Sequence[Check]) -> str | None:
    parts: list[str] = []
    for check in checks:
        finding = shown(check.finding or "")
        if check.verdict == "contradict":
            score = "" if check.probability is None else f" {check.probability:.2f}"
            parts.append(f"contradicts the scores: {finding}{score}".rstrip(": "))
        elif check.verdict == "unsupported":
            parts.append(f"not supported by the scores: {finding}".rstrip(": "))
        parts.extend(_FLAGS[flag] for flag in check.flags)
    return f"[{'; '.join(dict.fromkeys(parts))}]" if parts else None
