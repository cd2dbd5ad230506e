"""The words that name nobody: of body parts, techniques, contrast, views, findings and makers.

They stand in `words/`: `dicom.txt` holds those of DICOM's own codes, `radiology.toml` those of descriptions
in some thirty languages.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from itertools import groupby

from medsiglip.ingest.privacy.spelling import folded, is_mark, romanised, unaccented, with_digraphs

# Abbreviations need no list: one or two letters, or three or four without a vowel.
_ABBREVIATION = re.compile(r"[a-z]{1,2}|[b-df-hj-np-tv-xz]{3,4}")
# Compounds (`Kniegelenk`) are at most so many known words, each of at least so many letters: of shorter ones,
# many surnames could be put together.
_LEAST_PART, _MOST_PARTS = 4, 3
_LONGEST_WORD = 40
_LEAST_BEGUN, _LONGEST_BEGUN = 6, 24
_MODALITIES = frozenset({"ct", "cr", "dx", "mg", "mr", "nm", "pt", "rx", "xr"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LATIN, _OTHER = 1, 2


@lru_cache(maxsize=1024)
def all_known(text: str) -> bool:
    """Whether every word of a text is known, an abbreviation, or made of known words."""
    return all(_is_known(kind, run) for kind, run in _letter_runs(unicodedata.normalize("NFKC", text)))


def _letter_runs(text: str) -> Iterable[tuple[int, str]]:
    """The runs of letters, with their marks, of one script: `CT胸部` is two."""
    for kind, run in groupby(text, _kind_of):
        if kind:
            yield kind, "".join(run)


def _kind_of(letter: str) -> int:
    """`_LATIN` or `_OTHER`, 0 for what is no letter."""
    if letter.isalpha():
        return _LATIN if letter < "\u0250" or "\u1e00" <= letter < "\u1f00" else _OTHER
    if is_mark(letter):
        return _LATIN if letter < "\u0370" else _OTHER
    return 0


def _is_known(kind: int, run: str) -> bool:
    word = folded(run)
    if len(word) > _LONGEST_WORD:
        return False
    if kind == _OTHER:
        # Chinese, Japanese and Thai are written without spaces, so that parts have any length.
        return any(_is_listed(spelt) or _is_compound(spelt, 1, len(spelt)) for spelt in _forms(word))
    parts = _CAMEL.split(run)
    return _is_known_latin(word) or (len(parts) > 1 and all(_is_known_latin(folded(part)) for part in parts))


def _is_known_latin(word: str) -> bool:
    if _ABBREVIATION.fullmatch(word):
        return True
    forms = _forms(word)
    singular = {form.removesuffix("s") for form in forms if len(form) > _LEAST_PART}
    if any(_is_listed(spelt) for spelt in forms | singular):
        return True
    return any(_is_compound(spelt, _LEAST_PART, _MOST_PARTS) for spelt in forms)


def _is_listed(word: str) -> bool:
    if word in _words():
        return True
    beginnings, lengths = _beginnings()
    return _LEAST_BEGUN <= len(word) <= _LONGEST_BEGUN and any(word[:n] in beginnings for n in lengths)


def _is_compound(word: str, least: int, most: int) -> bool:
    """Whether a word is a row of at most `most` known words of at least `least` letters."""
    words, longest = _parts()
    if word[:2] in _MODALITIES and len(word) >= 2 + least and word[2:] in words:
        return True
    fewest = [0, *[most + 1] * len(word)]
    for end in range(least, len(word) + 1):
        for start in range(max(0, end - longest), end - least + 1):
            if fewest[start] + 1 < fewest[end] and word[start:end] in words:
                fewest[end] = fewest[start] + 1
    return fewest[-1] <= most


def _forms(word: str) -> frozenset[str]:
    forms = {word, unaccented(word), with_digraphs(word)}
    # A word of another script in Latin letters may be a name (Greek moira, Turkish karın apart).
    return frozenset(forms | {romanised(word)} if word and _kind_of(word[0]) == _LATIN else forms)


@cache
def _words() -> frozenset[str]:
    return frozenset(form for word in (*_listed(), *_of_dicom()) for form in _forms(word))


@cache
def _parts() -> tuple[frozenset[str], int]:
    parts = frozenset(form for word in _listed() for form in _forms(word))
    return parts, max(map(len, parts))


@cache
def _beginnings() -> tuple[frozenset[str], tuple[int, ...]]:
    begun = frozenset(form for word in _radiology()["beginnings"].split() for form in _forms(word))
    return begun, tuple(sorted(set(map(len, begun))))


@cache
def _listed() -> tuple[str, ...]:
    lists = (words for name, words in _radiology().items() if name != "beginnings")
    return tuple(folded(word) for words in lists for word in words.split())


@cache
def _radiology() -> dict[str, str]:
    return tomllib.loads(_file("radiology.toml"))


@cache
def _of_dicom() -> tuple[str, ...]:
    return tuple(word for line in _file("dicom.txt").splitlines() if line[0] != "#" for word in line.split())


def _file(name: str) -> str:
    return (files("medsiglip.ingest.privacy") / "words" / name).read_text(encoding="utf-8")
