"""One text in the spellings that it may have elsewhere: without accents, with digraphs, in Latin letters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby, pairwise

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
_LOWER, _UPPER, _CASELESS = 1, 2, 3
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


def parts_of_words(text: str) -> set[str]:
    """The folded parts of words, of two letters or more, of a text whose case is kept: what digits, another
    script or another case sets off (`XU1`, `KNEExu`), and what begins with a capital (`MRXuKnee`).
    """
    parts, runs = set(), _runs_of_case(unicodedata.normalize("NFKC", text))
    for (before, previous), (kind, run) in pairwise([(0, ""), *runs]):
        parts.add(run)
        if (before, kind) == (_UPPER, _LOWER):
            parts |= {previous[:-1], previous[-1] + run}
    return {folded(part) for part in parts if len(part) > 1}


def _runs_of_case(text: str) -> list[tuple[int, str]]:
    """The runs of letters of one kind with their marks, and between them 0 and what is no letter."""
    runs: list[tuple[int, str]] = []
    for letter in text:
        last = runs[-1] if runs else (0, "")
        kind = last[0] if is_mark(letter) else _case_of(letter)
        if runs and kind == last[0]:
            runs[-1] = kind, last[1] + letter
        else:
            runs.append((kind, letter))
    return runs


def _case_of(letter: str) -> int:
    if not letter.isalpha():
        return 0
    return _LOWER if letter.islower() else _UPPER if letter.isupper() else _CASELESS


def rows_of_letters(text: str) -> list[str]:
    """What letters that stand alone in a folded text make, whatever separates them: `X . U`, `C h e s t`."""
    rows = groupby(words_of(text), lambda word: len(word) == 1 and word.isalpha())
    return ["".join(row) for alone, row in rows if alone]


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
