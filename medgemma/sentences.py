"""Sentences of a report, with their offsets and the section they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st vs no nos fig approx ca cm mm e.g i.e eg ie etc resp cf incl min max "
    "dept ref vol p.m a.m pt pts hx dx tx rt lt inf sup ant post".split()
)
_UNITS = frozenset({"cm", "mm", "min", "resp", "post", "no", "etc"})
"""Abbreviations that also end sentences: they do so before a capital letter."""
_OPEN_ENDED = frozenset("no the a an of and or with without for in on at to is are , left right".split())
"""A line that ends in one of these goes on in the next."""
_BREAK = re.compile(r"[.!?]+[\"')\]*_]*(?=\s|$)|\n")
_BULLET = re.compile(r"[ \t]*(?:[-*•·>#]+|\d{1,2}[.)])[ \t]+")
_HEADING = re.compile(r"[\s#*_>•·-]*([A-Za-z][A-Za-z /&-]{0,38}[A-Za-z])[*_ \t]*:[*_]*")
_LAST_WORD = re.compile(r"\S{1,40}\Z")


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]`, without white space around it. `heading` is the last heading before it or at its
    start, in lower case; "" where there is none.
    """

    start: int
    end: int
    heading: str = ""


def split(text: str, headings: frozenset[str]) -> tuple[Sentence, ...]:
    """Split `text` into sentences, in order and without overlap; between them lies white space only.

    A sentence ends at `.`, `!` or `?` before white space, but not after an abbreviation, initial or list number,
    and at a line's end unless the line plainly goes on. `headings` are the names, in lower case, that a colon
    makes the heading of a section. One on a line of its own holds up to the first empty line after its text, one
    with text after it to the end of its line, and "comparison" for its own sentence.
    """
    found: list[Sentence] = []
    heading, alone, begun = "", False, False
    for start, end in _spans(text):
        gap = text[found[-1].end : start] if found else ""
        breaks = gap.count("\n")
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
    if text[start:stop].strip(" \t\r\n-*•#>") == word and word.isdigit() and len(word) < 3:
        return False
    if len(word) == 1 and word.isalpha() and following.isalpha() and following.isupper():
        return False
    if word in _ABBREVIATIONS:
        return word in _UNITS and (not following or following.isupper())
    return not following.islower()


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the line that ends at `end` runs on in the next line, as in text folded at a width."""
    following = text[end + 1 : end + 80]
    if not following.strip(" \t\r") or following.lstrip(" \t\r").startswith("\n") or _BULLET.match(following):
        return False
    if following.lstrip()[0].islower():
        return True
    found = _LAST_WORD.search(text, max(start, end - 40), end)
    word = found[0].lower() if found else ""
    return word in _OPEN_ENDED or word.endswith(",")
