"""One text in the spellings that it may have elsewhere: without accents, with digraphs, in Latin letters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

from anyascii import anyascii

_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "ß": "ss"})
# Spellings of one sound in the romanisations of several languages and systems, the longest first.
_SOUNDS = {
    "shch": "s", "tsch": "c", "dsch": "d", "tch": "c", "sch": "s", "dzh": "d", "ch": "c", "cz": "c",
    "tz": "c", "ts": "c", "sh": "s", "sz": "s", "zh": "z", "rz": "z", "kh": "h", "gh": "g", "dh": "d",
    "th": "t", "ph": "f", "dj": "d", "ck": "k", "ae": "a", "oe": "o", "ue": "u", "ou": "u", "oo": "u",
    "oh": "o", "ij": "i", "iy": "i", "j": "i", "y": "i", "w": "v", "q": "k", "x": "ks", "c": "k",
}  # fmt: skip
_SOUND = re.compile("|".join(_SOUNDS))
# A shorter word sounds like too many others.
_LEAST_SOUND = 4


def folded(text: str) -> str:
    """Text in one case and one form of each letter; underscores are spaces."""
    return unicodedata.normalize("NFKC", text).casefold().replace("_", " ")


def is_mark(letter: str) -> bool:
    """Whether a character belongs to the letter before it: an accent, a vowel sign of an Indic script."""
    return unicodedata.category(letter)[0] == "M"


def words_of(text: str) -> list[str]:
    r"""The runs of letters, their marks and digits of a folded text.

    Unlike `\w+`, a vowel sign of an Indic or Thai word does not end it.
    """
    return ["".join(run) for in_word, run in groupby(text, _in_word) if in_word]


def _in_word(letter: str) -> bool:
    return letter.isalnum() or is_mark(letter)


@lru_cache(maxsize=4096)
def spellings(text: str) -> frozenset[str]:
    """A folded text as it is, and in its usual other spellings: ü as u and ue, ł as l, Cyrillic, kana and
    other scripts in Latin letters (kanji in the reading of Chinese).
    """
    if text.isascii():
        return frozenset({text})
    return frozenset({text, unaccented(text), romanised(text), romanised(with_digraphs(text))})


def with_digraphs(text: str) -> str:
    """A folded text with ae, oe, ue, aa and ss for single letters."""
    return text.translate(_DIGRAPHS)


def unaccented(text: str) -> str:
    """A folded text without accents and other marks."""
    if text.isascii():
        return text
    marked = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in marked if not unicodedata.combining(letter))


def romanised(text: str) -> str:
    """A folded text in lower-case ASCII, letter by letter; hiragana and katakana give the same."""
    return text if text.isascii() else anyascii(text).lower()


@lru_cache(maxsize=4096)
def sound(word: str) -> str | None:
    """What the spellings of a name in several romanisations have in common (Shcherbakov, Schtscherbakow);
    None for a word that is too short.
    """
    latin = romanised(word)
    if len(latin) < _LEAST_SOUND:
        return None
    key = "".join(letter for letter, _ in groupby(_SOUND.sub(lambda match: _SOUNDS[match[0]], latin)))
    return key if len(key) >= _LEAST_SOUND - 1 else None
