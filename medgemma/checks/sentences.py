"""Sentences of a report, with their offsets and the section that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TITLES = frozenset(
    ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "fig", "ca", "e.g", "i.e", "eg", "ie", "cf", "ref"]
)
_SHORT = frozenset(
    ["no", "nos", "cm", "mm", "min", "max", "resp", "etc", "approx", "incl", "vol", "p.m", "a.m", "post"]
)
"""Abbreviations that never end a sentence, and those that do before a capital letter."""
_ABBREVIATIONS = _TITLES | _SHORT
_OPEN_ENDED = frozenset(
    [
        "no",
        "the",
        "a",
        "an",
        "of",
        "and",
        "or",
        "with",
        "without",
        "for",
        "in",
        "on",
        "at",
        "to",
        "is",
        "are",
        "left",
    ]
)
"""A line that ends in one of these continues in the next."""
_BREAK = re.compile(r"(?<![.!?])[.!?]++[\"')\]*_]*+(?=\s|$)|\n")
_BULLET = re.compile(r"[ \t]*(?:[-*•·>#]+|\d{1,2}[.)])[ \t]+")
_HEADING = re.compile(r"[\s#*_>•·-]*([A-Za-z][A-Za-z /&-]{0,38}[A-Za-z])[*_ \t]*:[*_]*")
_QUOTED = re.compile(r">(?!\d)")
_LAST_WORD = re.compile(r"\S{1,40}\Z")
# Characters of a list number and of what may precede it on its line.
_LONGEST_LIST_MARK = 80


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]`, without white space around it. `heading` is the last heading before it or at its
    start, in lower case; "" where there is none. `quoted` is whether its line begins with `>`.
    """

    start: int
    end: int
    heading: str = ""
    quoted: bool = False


def split(text: str, headings: frozenset[str]) -> tuple[Sentence, ...]:
    """Split `text` into sentences, in order and without overlap; between them lies white space only.

    A sentence ends at `.`, `!` or `?` before white space, but not after an abbreviation, initial or list
    number, and at a line's end unless the line clearly continues. `headings` are the names, in lower case,
    that a colon makes the heading of a section. One on a line of its own applies up to the first empty line
    after its text, one with text after it to the end of its line, and "comparison" to its own sentence. Lines
    that begin with `>` are quoted: they have no heading and are none.
    """
    found: list[Sentence] = []
    heading, alone, begun, quoted = "", False, False, False
    for start, end in _spans(text):
        gap = text[found[-1].end : start] if found else "\n"
        breaks = gap.count("\n")
        if breaks:
            quoted = _QUOTED.match(text, start) is not None
        if quoted:
            found.append(Sentence(start, end, quoted=True))
            continue
        if begun and (
            breaks > 1 or (breaks and not alone) or (not alone and heading.startswith("comparison"))
        ):
            heading = ""
        named = _HEADING.match(text, start, min(end, start + 60))
        if named and named[1].lower() in headings:
            heading, alone = named[1].lower(), not text[named.end() : end].strip()
            begun = not alone
        else:
            begun = True
        found.append(Sentence(start, end, heading))
    return tuple(found)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _BREAK.finditer(text):
        if found[0] == "\n":
            end = found.start()
            if _goes_on(text, start, end):
                continue
        else:
            end = found.end()
            if not _ends(text, start, found.start(), found[0], end):
                continue
        yield from _trimmed(text, start, end)
        start = end
    yield from _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    left = start + len(piece) - len(piece.lstrip())
    right = left + len(piece.strip())
    if right > left:
        yield left, right


def _ends(text: str, start: int, stop: int, mark: str, end: int) -> bool:
    """Whether the full stop at `stop` ends the sentence that began at `start`."""
    if mark[0] in "!?" or mark.startswith(".."):
        return True
    found = _LAST_WORD.search(text, max(start, stop - 40), stop)
    word = found[0].lstrip("(\"'*_").lower() if found else ""
    following = text[end : end + 12].lstrip()[:1]
    is_short_number = word.isdigit() and len(word) < 3 and stop - start <= _LONGEST_LIST_MARK
    if is_short_number and text[start:stop].strip(" \t\r\n-*•#>") == word:
        return False
    if len(word) == 1 and word.isalpha() and following.isalpha() and following.isupper():
        return False
    if word in _ABBREVIATIONS:
        return word in _SHORT and (not following or following.isupper())
    return not following.islower()


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the line that ends at `end` continues in the next line, as in text wrapped at a width."""
    following = text[end + 1 : end + 80]
    if not following.strip(" \t\r") or following.lstrip(" \t\r").startswith("\n") or _BULLET.match(following):
        return False
    if _QUOTED.match(following.lstrip(" \t")):
        return False
    if following.lstrip()[0].islower():
        return True
    found = _LAST_WORD.search(text, max(start, end - 40), end)
    word = found[0].lower() if found else ""
    return word in _OPEN_ENDED or word.endswith(",")
