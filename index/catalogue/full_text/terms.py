"""Texts as terms: the words of full-text search, made in Python so that every database finds the same.

A term is a word in lower case without accents, in the singular. What people write in several ways is one:

    Ergüsse, ERGUSSE            ergusse         œdème, oedeme       oedeme
    opacities, opacity          opacity         masses, mass        mass
    1.5, 1,5                    1.5             1.5cm, 1.5 cm       1.5 cm
    5mm, 5-mm, 5 mm             5 mm            patient's, patient  patient

Words with hyphens are their parts, next to each other, and also one word: `ground-glass` is found as
`ground glass` and as `groundglass`. A slash separates words, but not numbers (3/1/2024, 120/80).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

MOST_TERM_CHARACTERS = 64
"""Characters of a term; the end of a longer word is not compared."""
MOST_BYTES = 500_000
"""Bytes of a text's terms: PostgreSQL takes 1 MB of them (postgresql.org/docs/current/
textsearch-limitations.html). The end of a longer text is not found.
"""
# Characters of what is remembered.
_REMEMBERED = 40
# Written as one word, a word of more parts is a line of dashes rather than a word.
_MOST_PARTS = 6
JOINED = "."
"""What a term begins with that stands for the parts of a hyphenated word written as one."""

# Scripts without spaces between words: a character is a term, and several are looked for next to each other.
_UNSPACED = "\u3041-\u3096\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"\d+(?:\.\d+)+|\d+,\d+|[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_MEASURE = re.compile(r"(\d+)(mm|cm|m|ml|cc|l|mg|g|kg|hu|msv|gy|mhz|ms|mmhg)")
_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2212\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"),
        "\u00ad": None,  # a place where a word may be broken
        "\u200b": None,
        "œ": "oe",
        "æ": "ae",
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ı": "i",
    }
)


class Compound(NamedTuple):
    """Terms written without a space between them; `joined` is all of them as one word, of a word with
    hyphens.
    """

    terms: tuple[str, ...]
    joined: str | None = None


class Terms(NamedTuple):
    """The terms of a text as they are stored, each between blanks of its own, and their number.

    The joined forms of words with hyphens stand at the end, and are not counted.
    """

    stored: str
    number: int


def terms_of(text: str) -> Terms:
    """The terms of a text. Costs time and memory in proportion to it."""
    terms: list[str] = []
    joined: list[str] = []
    for written in folded(text).split():
        # No compound goes beyond a blank, and texts of one kind share most of their words.
        for compound in _remembered(written) if len(written) <= _REMEMBERED else _compounds(written, True):
            terms.extend(compound.terms)
            if compound.joined:
                joined.append(JOINED + compound.joined)
    whole = stored([*terms, *joined])
    if 4 * len(whole) <= MOST_BYTES or len(whole.encode()) <= MOST_BYTES:
        return Terms(whole, len(terms))
    sizes = accumulate(len(term.encode()) + 2 for term in terms)
    kept = [term for term, size in zip(terms, sizes, strict=True) if size <= MOST_BYTES]
    return Terms(stored(kept), len(kept))


def stored(terms: list[str] | tuple[str, ...]) -> str:
    """Terms as a text in which each has a blank of its own before and behind, so that terms that follow each
    other are found as a part of it.
    """
    return "".join(f" {term} " for term in terms)


def compounds(text: str, *, stemmed: bool = True) -> Iterator[Compound]:
    """The terms of a text in order, those together that are written together; plurals as they are unless
    `stemmed`.
    """
    return _compounds(folded(text), stemmed)


def _compounds(reduced: str, stemmed: bool) -> Iterator[Compound]:
    """As `compounds`, of a folded text."""
    parts: list[str] = []
    gaps: set[str] = set()
    end = 0
    for found in _WORD.finditer(reduced):
        word, (begin, next_end) = found[0], found.span()
        gap, end = reduced[end:begin], next_end
        if gap == "'" and word == "s" and begin > 1:
            continue
        if parts:
            is_number = gap == "/" and word[0].isdigit() and parts[-1][-1].isdigit()
            if gap in ("", "-") or is_number:
                gaps.add(gap)
            else:
                yield _compound(parts, gaps, stemmed)
                parts, gaps = [], set()
        parts.append(word)
    if parts:
        yield _compound(parts, gaps, stemmed)


@lru_cache(1 << 15)
def _remembered(written: str) -> tuple[Compound, ...]:
    return tuple(_compounds(written, True))


def folded(text: str) -> str:
    """A text in lower case, without accents, with one kind of hyphen and apostrophe."""
    if text.isascii():
        return text.lower()
    wide = unicodedata.normalize("NFKD", text.translate(_ALIKE)).casefold().translate(_ALIKE)
    return "".join(
        one for one in unicodedata.normalize("NFKD", wide) if one.isascii() or not unicodedata.combining(one)
    )


def stem(word: str) -> str:
    """An English word in the singular: the S-stemmer (Harman, How effective is suffixing?, JASIS 42, 1991),
    and `-es` after a hissing sound.
    """
    if len(word) < 4 or word[-1] != "s" or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def _compound(parts: list[str], gaps: set[str], stemmed: bool) -> Compound:
    reduce = stem if stemmed else str
    if len(parts) == 1 and not parts[0][0].isdigit():
        return Compound((reduce(parts[0])[:MOST_TERM_CHARACTERS],))
    joined = None
    if gaps == {"-"} and len(parts) <= _MOST_PARTS:
        joined = reduce("".join(parts))[:MOST_TERM_CHARACTERS]
    terms: list[str] = []
    for part in parts:
        measure = _MEASURE.fullmatch(part) if part[0].isdigit() else None
        terms.extend(measure.groups() if measure else [reduce(part.replace(",", "."))[:MOST_TERM_CHARACTERS]])
    return Compound(tuple(terms), joined)
