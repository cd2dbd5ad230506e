"""Free text without identifiers: a description is kept if it is known to name nobody, a code if valid.

A text names somebody if it holds a name, an identifier or a date of birth of the header in a usual spelling,
a form of address, or a number that looks like anybody's. Besides, each of its words must be known; names that
the header does not hold, or that are spelt in a way of their own, are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from medsiglip.ingest.privacy.identifying_numbers import Numbers, may_identify, numbers_of
from medsiglip.ingest.privacy.known_words import all_known
from medsiglip.ingest.privacy.spelling import (
    folded,
    parts_of_words,
    rows_of_letters,
    sound,
    spellings,
    words_of,
)

# Least lengths of words of identifiers: MIN_WORD as a whole word, MIN_WITHIN within other words, MIN_ACROSS
# where spaces and hyphens are left out.
MIN_WORD = 3
MIN_WITHIN = 4
MIN_ACROSS = 6
# PS3.5 6.2 allows 64 characters for a description.
MAX_TEXT = 1024
_MAX_NAME_WORDS = 12
# In capitals and without a dot, DR and MRS are digital radiography and spectroscopy.
_ADDRESSED = re.compile(
    r"\b(?i:dr|prof|mrs|dra|sra|mme|mlle)\.\s*[^\W\d]|\b(?:Dr|Prof|Mrs|Dra|Sra|Mme|Mlle)\b"
    r"|\b(?i:herr|frau|monsieur|madame|señora?|signora?)\b|\w@\w+\.\w"
    r"|\b(?i:mrn|ssn|nhs|svnr|dob|hkid|bsn)\b"
)
# So many letters of a script with capitals, each on its own, are a word that is spelt out.
_SPELT_OUT = 5
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifying `words` and `numbers` of a header; `within` are those that count inside other words,
    `across` those that count across spaces, `sounds` are what spellings of a name have in common.
    """

    words: frozenset[str]
    within: tuple[str, ...]
    across: tuple[str, ...]
    sounds: frozenset[str]
    numbers: Numbers


@lru_cache(maxsize=128)
def identity_of(
    identifiers: Sequence[str],
    names: Sequence[str] = (),
    phrases: Sequence[str] = (),
    days: Sequence[str] = (),
) -> Identity:
    """The identity from identifiers (IDs, a date of birth), person names (PS3.5 PN) and phrases, which count
    only as a whole; `days` (PS3.5 DA) are dates that a text may hold where no date of birth is known.

    Family, given and middle names count at any length, other words from three characters on, also without
    leading zeros; from four on, and outside ASCII, also within a word. Arguments are tuples, so that the
    result is cached for a patient.
    """
    of_names = {part for name in names for part in _name_parts(name)}
    words = set(of_names)
    for text in (*identifiers, *names):
        found = words_of(folded(text))
        written = {*found, "".join(found) if len(found) <= _MAX_NAME_WORDS else ""}
        words.update(word for one in written for word in (one, one.lstrip("0")) if len(word) >= MIN_WORD)
    words = {spelt for word in words for spelt in spellings(word)} - {""}
    within = {word for word in words if len(word) >= MIN_WITHIN or not word.isascii()}
    within |= {folded(phrase).strip() for phrase in phrases} - {""}
    across = {"".join(words_of(spelt)) for part in of_names for spelt in spellings(part)}
    return Identity(
        frozenset(words),
        tuple(sorted(within)),
        tuple(sorted(word for word in across if len(word) >= MIN_ACROSS)),
        frozenset(key for part in of_names if (key := sound(part)) is not None),
        numbers_of(identifiers, days),
    )


@lru_cache(maxsize=1024)
def without_identifiers(description: str, identity: Identity) -> str | None:
    """A free-text description, or None if it is not known to name nobody.

    It is dropped entirely, because the rest of a text that names a person may identify it too.
    """
    stripped = description.strip()
    if not stripped or len(description) > MAX_TEXT:
        return None
    if _names(description, identity) or may_identify(description, identity.numbers):
        return None
    if _ADDRESSED.search(description) or not all_known(description):
        return None
    return stripped


def _names(text: str, identity: Identity) -> bool:
    """Whether a text holds a word of the identity, or a word that is spelt out."""
    spelt = spellings(folded(text))
    words = {word for one in spelt for word in words_of(one)}
    words |= {word for part in parts_of_words(text) for one in spellings(part) for word in words_of(one)}
    words |= {word.lstrip("0") for word in words}
    if not identity.words.isdisjoint(words) or any(word in one for word in identity.within for one in spelt):
        return True
    if identity.sounds and not identity.sounds.isdisjoint(map(sound, words)):
        return True
    joined = {"".join(words_of(one)) for one in spelt} if identity.across else ()
    if any(word in one for word in identity.across for one in joined):
        return True
    return any(_is_name(row, identity) for one in spelt for row in rows_of_letters(one))


def _is_name(row: str, identity: Identity) -> bool:
    """Whether letters that stand alone are a word of the identity, or long enough to be anybody's name."""
    if len(row) >= _SPELT_OUT and row.upper() != row:
        return True
    return any(word in row for word in identity.words if len(word) > 1)


@lru_cache(maxsize=1024)
def code_string(text: str, identity: Identity) -> str | None:
    """The first value of a Code String in upper case, or None if it is not valid (PS3.5 6.2: at most 16
    upper-case letters, digits, spaces and underscores) or not known to name nobody.
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
        words = [word for component in components for word in words_of(folded(component))][:_MAX_NAME_WORDS]
        parts |= {*words, *map("".join, permutations(words, 2))}
        parts.add("".join(words))
    return parts - {""}


def manufacturer_known(text: str, known: Iterable[str]) -> str | None:
    """The known name that a manufacturer's text begins with or holds as a word, if any."""
    words = set(words_of(folded(text)))
    return next((name for name in known if _known_words(name) <= words), None) if words else None


@lru_cache(maxsize=256)
def _known_words(name: str) -> frozenset[str]:
    return frozenset(words_of(folded(name)))
