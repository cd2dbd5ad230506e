"""Sentences of a report, with their offsets and the section that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from medsiglip.medgemma.checks.terms import table

_TITLES = frozenset(
    ["dr", "mr", "mrs", "ms", "prof", "st", "vs", "fig", "ca", "e.g", "i.e", "eg", "ie", "cf", "ref"]
)
_SHORT = frozenset(
    [
        *("no", "nos", "cm", "mm", "min", "max", "resp", "etc", "approx", "incl", "vol", "p.m", "a.m"),
        *("post", "eff", "neg", "pos", "pulm", "pleur", "consol", "infil", "opac", "bilat", "lat"),
        *("ant", "inf", "sup", "abd", "diff", "poss", "prob", "mod", "mediast", "pt", "yo", "dx"),
        *("hx", "fx", "sx", "rt", "lt"),
    ]
)
"""Abbreviations that never end a sentence, and those that do before a capital letter."""
_ABBREVIATIONS = _TITLES | _SHORT
_OPEN_ENDED = frozenset(
    [
        *("no", "the", "a", "an", "of", "and", "or", "with", "without", "for", "in", "on", "at", "to", "is"),
        *("are", "left"),
    ]
)
"""A line that ends in one of these continues in the next."""
_BREAK = re.compile(r"(?<![.!?])[.!?]++[\"')\]*_]*+(?=\s|$)|\n")
_BULLET = re.compile(r"[ \t]*(?:[-*•·>#]+|\d{1,2}[.)])[ \t]+")
_HEADING = re.compile(r"[\s#*_>•·-]*([A-Za-z][A-Za-z /&-]{0,38}[A-Za-z])[*_ \t]*:[*_]*")
_QUOTED = re.compile(r">(?!\d)")
_ANSWER = re.compile(
    r"(?:no|yes|none|nil|negative|positive|absent|present)\b[ \t]*(?:[.;,\n]|$)", re.IGNORECASE
)
_ASKED = re.compile(r"(?:[:\t…]|\.{3}| [-–—])[ \t.*_]{0,8}no[ \t]{0,8}\Z", re.IGNORECASE)
_LABEL = re.compile(r"[A-Za-z][A-Za-z ]{1,40}:")
_LAST_WORD = re.compile(r"\S{1,40}\Z")
# Characters of a list number and of what may precede it on its line.
_LONGEST_LIST_MARK = 80
# Letters of a word that may be an abbreviation with a full stop.
_LONGEST_ABBREVIATION = 6


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
    if mark[0] == "?":
        # "? effusion", and "Effusion? No."
        return bool(text[start:stop].strip(" \t\r\n-*•·>#(")) and not _is_asked(text, stop, end)
    if mark[0] == "!" or mark.startswith(".."):
        return _ANSWER.match(text[end : end + 24].lstrip(" \t")) is None
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
    return not following.islower() or _is_word(word)


def _is_asked(text: str, stop: int, end: int) -> bool:
    """Whether a question mark belongs to the words after it: "opacity ? pneumonia", "Effusion? No."."""
    following = text[end : end + 24].lstrip(" \t")
    spaced = text[stop - 1 : stop].isspace()
    return (spaced and following[:1].islower()) or _ANSWER.match(following) is not None


def _is_word(word: str) -> bool:
    """Whether a word is none that is written short, so that a full stop after it ends the sentence even where
    a small letter follows.
    """
    return word.isalpha() and (len(word) > _LONGEST_ABBREVIATION or word in _vocabulary())


@cache
def _vocabulary() -> frozenset[str]:
    tables = (table("findings")["findings"], table("polarity")["words"], table("polarity")["scopes"])
    found = {
        word
        for one in tables
        for value in one.values()
        for texts in (value.values() if isinstance(value, Mapping) else [value])
        for text in texts
        if isinstance(text, str)
        for word in re.findall(r"[a-z]{3,}", text.lower())
    }
    return frozenset(found) - _ABBREVIATIONS


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the line that ends at `end` continues in the next line, as in text wrapped at a width."""
    following = text[end + 1 : end + 80]
    if not following.strip(" \t\r") or following.lstrip(" \t\r").startswith("\n") or _BULLET.match(following):
        return False
    if _QUOTED.match(following.lstrip(" \t")) or _LABEL.match(following.lstrip(" \t")):
        return False
    if "|" in text[max(start, end - 80) : end] or "|" in following.partition("\n")[0]:
        return False
    if following.lstrip()[0].islower():
        return True
    found = _LAST_WORD.search(text, max(start, end - 40), end)
    word = found[0].lower() if found else ""
    if word == "no" and _ASKED.search(text, max(start, end - 60), end):
        return False
    return word in _OPEN_ENDED or word.endswith(",")
