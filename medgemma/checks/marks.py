r"""Marks in a copy of a draft's text, and the text without them.

A mark is `[[REASON][WORDS]]`: the reason, such as `contradicts the score of pneumothorax 0.04`, and the words
that it is about. Brackets and backslashes of the text itself are written with a backslash before them, so
that the text can be recovered from the copy, whatever it holds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from medsiglip.medgemma.records import Check, Flag, Omission

_CONTRADICTION = "contradicts the score of "
_DOUBT = "is doubtful by the score of "
_COPY = "copied from a similar case"
_OMISSION = "not mentioned: "
_FLAGS: dict[Flag, str] = {
    "wrong-side": "another side is known",
    "wrong-size": "another size is known",
    "wrong-number": "another number is known",
    "other-patient": "names a person",
}
_SPECIAL = re.compile(r"[\\\[\]]")
_REASONS = "|".join([_CONTRADICTION, _DOUBT, _COPY, _OMISSION, *_FLAGS.values()])
# An opening, the end of a mark, or a character of the text itself.
_MARKS = re.compile(rf"\\([\\\[\]])|(\[\[(?:{_REASONS})[^\[\]\\\n]{{0,2000}}\]\[)|(\]\])")
# What `marked` makes of an opening that the text itself has.
_WRITTEN = re.compile(rf"\\\[\\\[(?:{_REASONS})")

# The same in exports, behind a sentence: "[contradicts the scores: nodule 0.10]", in Markdown in bold.
_EXPORTED = re.compile(
    r" ?(?:\*\*)?\\?(?<!\[)\[(?:contradicts the scores|suspected, but doubtful by the scores"
    r"|not supported by the scores|speaks of change, but there is no prior|fits another modality"
    r"|says otherwise when drafted without|stands in the report of a similar case"
    r"|quoted, not held against|in another language, not checked"
    rf"|{'|'.join(_FLAGS.values())})[^\[\]\\\n]{{0,2000}}\\?\](?:\*\*)?"
)


def marked(text: str, checks: Sequence[Check], omitted: Sequence[Omission] = ()) -> str:
    """Return `text` with marks on sentences and clauses that contradict the scores or are doubtful by them,
    give another side, size or number than is known, name a person, or stand in another patient's report; what
    it omits is marked behind it. A text that nothing is marked in is returned as it is.
    """
    reasons = _reasons(checks)
    if not reasons and not omitted and not _has_marks(text):
        return text
    parts, position = [], 0
    for start, end in sorted(reasons):
        if start < position:
            continue
        parts.append(_escaped(text[position:start]))
        parts.append(f"[[{'; '.join(reasons[start, end])}][{_escaped(text[start:end])}]]")
        position = end
    parts.append(_escaped(text[position:]))
    parts += [f"[[{_OMISSION}{_score(one.finding, one.probability)}][]]" for one in omitted]
    return "".join(parts)


def unmarked(text: str) -> str:
    """Return a text without the marks of `marked`, as it was before, and without those that exports have
    behind sentences; one without any mark is returned as it is. An opening or an end that a person has left
    behind alone is taken out too.
    """
    text = _EXPORTED.sub("", text)
    if not _has_marks(text) and not _WRITTEN.search(text):
        return text
    parts, position, opened = [], 0, 0
    for found in _MARKS.finditer(text):
        parts.append(text[position : found.start()])
        position = found.end()
        if found[1]:
            parts.append(found[1])
        elif found[2]:
            opened += 1
        elif opened:
            opened -= 1
        else:
            parts.append(found[0])
    return "".join([*parts, text[position:]])


def _has_marks(text: str) -> bool:
    return any(found[2] for found in _MARKS.finditer(text))


def _reasons(checks: Sequence[Check]) -> dict[tuple[int, int], list[str]]:
    """The reasons for a mark by the place of the sentence or clause."""
    labels: dict[tuple[int, int, str], list[str]] = defaultdict(list)
    reasons: dict[tuple[int, int], list[str]] = defaultdict(list)
    for check in checks:
        for verdict, reason in (("contradict", _CONTRADICTION), ("doubtful", _DOUBT)):
            label = _score(check.finding or "", check.probability)
            if check.verdict == verdict and label not in labels[check.start, check.end, reason]:
                labels[check.start, check.end, reason].append(label)
    for (start, end, reason), named in labels.items():
        if named:
            reasons[start, end].append(f"{reason}{', '.join(named)}")
    for check in checks:
        wanted = [words for flag, words in _FLAGS.items() if flag in check.flags]
        wanted += [_COPY] if "copied-from-similar-case" in check.flags else []
        for words in wanted:
            if words not in reasons[check.start, check.end]:
                reasons[check.start, check.end].append(words)
    return {place: named for place, named in reasons.items() if named}


def _score(label: str, probability: float | None) -> str:
    score = "" if probability is None else f" {probability:.2f}"
    return f"{_SPECIAL.sub('', label)}{score}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: "\\" + found[0], text)
