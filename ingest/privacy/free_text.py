"""Free text without identifiers: descriptions that hold one are dropped, and codes must be valid codes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from medsiglip.ingest.privacy.deidentify import parse_date

# Least lengths of words of identifiers: MIN_WORD as a whole word, MIN_WITHIN within other words.
MIN_WORD = 3
MIN_WITHIN = 4
# A number of so many digits that is no date is a telephone, record or insurance number.
LONG_NUMBER = 6
_MAX_NAME_WORDS = 12
_WORD = re.compile(r"\w+")
_SEPARATED = re.compile(r"(?<=\d)[\s./:-]+(?=\d)")
# In capitals and without a dot, DR and MRS are digital radiography and spectroscopy.
_ADDRESSED = re.compile(
    r"\b(?i:dr|prof|mrs|dra|sra|mme|mlle)\.\s*[^\W\d]|\b(?:Dr|Prof|Mrs|Dra|Sra|Mme|Mlle)\b"
    r"|\b(?i:herr|frau|monsieur|madame|señora?|signora?)\b|\w@\w+\.\w"
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifying `words` and `numbers` of a header; `within` are those that count inside other words."""

    words: frozenset[str]
    within: tuple[str, ...]
    numbers: tuple[str, ...]


@lru_cache(maxsize=128)
def identity_of(
    identifiers: Sequence[str], names: Sequence[str] = (), phrases: Sequence[str] = ()
) -> Identity:
    """The identity from identifiers (IDs, a date of birth), person names (PS3.5 PN) and phrases, which count
    only as a whole.

    Family, given and middle names count at any length, other words from three characters on; from four on,
    and outside ASCII, also within a word. Arguments are tuples, so that the result is cached for a patient.
    """
    words = {part for name in names for part in _name_parts(name)}
    for text in (*identifiers, *names):
        words.update(word for word in _words(text) if len(word) >= MIN_WORD)
    words |= {spelt for word in words for spelt in (_unaccented(word), word.translate(_UMLAUTS))}
    within = {word for word in words if len(word) >= MIN_WITHIN or not word.isascii()}
    within |= {_folded(phrase).strip() for phrase in phrases} - {""}
    numbers = {run for identifier in identifiers for run in _digit_runs(identifier)}
    return Identity(frozenset(words), tuple(sorted(within)), tuple(sorted(numbers)))


@lru_cache(maxsize=1024)
def without_identifiers(description: str, identity: Identity) -> str | None:
    """A free-text description, or None if it holds part of an identity, an address or a long number.

    Series and study descriptions name protocols; the few that name people are dropped entirely, because the
    rest of the text may identify them too.
    """
    stripped = description.strip()
    if not stripped:
        return None
    text = _folded(description)
    for spelt in {text, _unaccented(text), text.translate(_UMLAUTS)}:
        if not identity.words.isdisjoint(_WORD.findall(spelt)) or any(w in spelt for w in identity.within):
            return None
    if _ADDRESSED.search(description):
        return None
    runs = re.findall(r"\d+", text)
    if any(len(run) >= LONG_NUMBER and parse_date(run) is None for run in runs):
        return None
    joined = _SEPARATED.sub("", text)
    return None if any(number in joined for number in identity.numbers) else stripped


@lru_cache(maxsize=1024)
def code_string(text: str, identity: Identity) -> str | None:
    """The first value of a Code String in upper case, or None if it is not valid (PS3.5 6.2: at most 16
    upper-case letters, digits, spaces and underscores) or holds part of an identity.
    """
    code = text.split("\\")[0].strip().upper()
    return without_identifiers(code, identity) if _CODE.fullmatch(code) else None


def _name_parts(name: str) -> set[str]:
    """The words of family, given and middle name, and what they make when written together.

    Prefix and suffix are left out: MR and MD are modalities and words of protocols.
    """
    parts = set()
    for group in re.split(r"[=\\]", name):
        components = group.split("^")[:3]
        words = [word for component in components for word in _words(component)][:_MAX_NAME_WORDS]
        parts |= {*words, *map("".join, permutations(words, 2))}
        parts.add("".join(words))
    return parts - {""}


def _digit_runs(identifier: str) -> set[str]:
    runs = {run for run in re.findall(r"\d+", _SEPARATED.sub("", identifier)) if len(run) >= MIN_WITHIN}
    day = parse_date(identifier)
    ways = ("%d%m%Y", "%m%d%Y", "%d%m%y", "%m%d%y", "%y%m%d") if day else ()
    return runs | {day.strftime(way) for way in ways if day}


def _words(text: str) -> list[str]:
    return _WORD.findall(_folded(text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("_", " ")


def _unaccented(text: str) -> str:
    if text.isascii():
        return text
    marked = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in marked if not unicodedata.combining(letter))


def manufacturer_known(text: str, known: Iterable[str]) -> str | None:
    """The known name that a manufacturer's text begins with or holds as a word, if any."""
    words = set(_words(text))
    return next((name for name in known if set(_words(name)) <= words), None)
