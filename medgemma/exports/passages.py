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
# What turns text around or hides words: embeddings, overrides and isolates (Unicode Annex 9, 2), the byte
# order mark and tags (Unicode 23.8, 23.9).
_DECEIVING = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
_LINE_ENDS = re.compile("\r\n|[\r\u2028\u2029]")
_FLAGS: dict[Flag, str] = {
    "temporal-without-prior": "speaks of change, but there is no prior study",
    "other-modality": "fits another modality",
    "flipped-by-context": "says otherwise when drafted without similar cases",
    "copied-from-similar-case": "stands in the report of a similar case of another patient",
    "quoted": "quoted, not held against the scores",
    "other-language": "in another language, not checked",
    "other-patient": "names a person",
    "wrong-side": "another side is known",
    "wrong-size": "another size is known",
    "wrong-number": "another number is known",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the text; `text` of all passages joined is the whole. `mark` is None where there
    is no objection to it, `contradicted` whether the scores or what is known say otherwise; `checks` are
    those of the stretch.
    """

    text: str
    mark: str | None = None
    contradicted: bool = False
    checks: tuple[Check, ...] = ()


def passages(draft: Draft) -> tuple[Passage, ...]:
    """The current text, each sentence with the mark that its checks require.

    In a text that a person changed, a sentence keeps its mark where its words are unchanged. Study UIDs of
    similar cases are replaced, see `shown`, and so is what a machine copied from their reports; what a person
    kept of that is marked. A text that a person has accepted is theirs, and has no marks.
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
    if draft.status == "accepted":
        return tuple(Passage(passage.text) for passage in found)
    return tuple(found)


def shown(text: str, similar: Sequence[SimilarCase] = ()) -> str:
    """Text as every format can hold it: no control characters but tab and line feed, no lone surrogates, no
    characters that turn other text around or hide it.

    A study UID of a similar case identifies another patient wherever both are known, so it becomes
    `[similar case n]`.
    """
    text = _DECEIVING.sub("\ufffd", _UNWRITABLE.sub("\ufffd", _LINE_ENDS.sub("\n", text)))
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
            contradicted = any(_is_wrong(check) for check in placed[start, stop])
            checks = tuple(placed[start, stop])
            yield start, stop, Passage("", _mark(checks), contradicted, checks)


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


def _is_wrong(check: Check) -> bool:
    return check.verdict == "contradict" or any(one.verdict == "contradict" for one in check.attributes)


def _mark(checks: Sequence[Check]) -> str | None:
    parts: list[str] = []
    for check in checks:
        finding = shown(check.finding or "")
        score = "" if check.probability is None else f" {check.probability:.2f}"
        if check.verdict == "contradict":
            parts.append(f"contradicts the scores: {finding}{score}".rstrip(": "))
        elif check.verdict == "doubtful":
            parts.append(f"suspected, but doubtful by the scores: {finding}{score}".rstrip(": "))
        elif check.verdict == "unsupported":
            parts.append(f"not supported by the scores: {finding}".rstrip(": "))
        parts.extend(_FLAGS[flag] + _known(check, flag) for flag in check.flags)
    return f"[{'; '.join(dict.fromkeys(parts))}]" if parts else None


def _known(check: Check, flag: Flag) -> str:
    """What is known in place of a wrong side, size or number."""
    known = [
        shown(one.known)
        for one in check.attributes
        if one.known and one.verdict == "contradict" and flag == f"wrong-{one.kind}"
    ]
    return f": {', '.join(dict.fromkeys(known))}" if known else ""
