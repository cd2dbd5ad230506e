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
# many surnames could be put together. Of Hangul, whose letters are syllables, the parts have two; in a word
# that is longer than most names one of them may have one (폐결절).
_LEAST_PART, _MOST_PARTS = 4, 3
_LEAST_SYLLABLES, _LONGER_THAN_NAMES = 2, 4
_LONGEST_WORD = 40
_LEAST_BEGUN, _LONGEST_BEGUN = 6, 24
_MODALITIES = frozenset({"ct", "cr", "dx", "mg", "mr", "nm", "pt", "rx", "xr"})
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Scripts by how their words are put together: Latin; others with spaces between words; Hangul; those without
# spaces, which are Thai, Lao, Burmese, Khmer, kana and Chinese characters, in ranges of Unicode.
_LATIN, _SPACED, _HANGUL, _JOINED = 1, 2, 3, 4
_HANGUL_RANGES = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF))
_JOINED_RANGES = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x312F),
    (0x3190, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_KANA = re.compile("[\u3040-\u30ff]{1,2}")
# Characters of body parts, of which no names are made; of the others (左, 上, 三, 正) many are.
_BODY = frozenset(
    "头頭颅顱脑腦脳眼鼻咽喉耳颈頸頚颌顎胸肋肩肺腹肝胆膽胰膵脾肾腎胃肠腸腰骶椎髋髖股膝踝足脚趾踵肘腕手指骨腔牙齿歯腿乳腺胎盆뇌폐골뼈코귀눈턱발"
)
# Letters of Arabic (and, with, for, like, so) and Hebrew (and, the, in, to, from) that join the next word.
_ARABIC_PREFIXES, _ARABIC_ARTICLE, _HEBREW_PREFIXES = "وبلكف", "ال", "והבלמ"


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
    """The kind of a letter or mark by its script, 0 for what is neither."""
    if not (letter.isalpha() or is_mark(letter)):
        return 0
    if letter < "\u0250" or "\u1e00" <= letter < "\u1f00" or "\u0300" <= letter < "\u0370":
        return _LATIN
    code = ord(letter)
    for kind, ranges in ((_HANGUL, _HANGUL_RANGES), (_JOINED, _JOINED_RANGES)):
        if any(first <= code <= last for first, last in ranges):
            return kind
    return _SPACED


def _is_known(kind: int, run: str) -> bool:
    word = folded(run)
    if len(word) > _LONGEST_WORD:
        return False
    if kind != _LATIN:
        return any(_is_listed(spelt) or _COMPOUNDS[kind](spelt) for spelt in _forms(word))
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


def _is_spaced_compound(word: str) -> bool:
    if _is_compound(word, _LEAST_PART, _MOST_PARTS):
        return True
    if word[0] in _ARABIC_PREFIXES:
        joined = _ARABIC_ARTICLE + word[2:] if word.startswith("لل") else word[1:]
        return joined.startswith(_ARABIC_ARTICLE) and _is_listed(joined)
    return word[0] in _HEBREW_PREFIXES and len(word) >= _LEAST_PART and _is_listed(word[1:])


def _is_hangul_compound(word: str) -> bool:
    if _is_compound(word, _LEAST_SYLLABLES, len(word)):
        return True
    words, _ = _parts()
    rests = ((word[0], word[1:]), (word[-1], word[:-1]))
    return any(
        one in words
        and (len(word) >= _LONGER_THAN_NAMES or one in _BODY)
        and _is_compound(rest, _LEAST_SYLLABLES, len(word))
        for one, rest in rests
    )


def _is_row_of_words(word: str) -> bool:
    """Whether a run is a row of known words of any length without two short ones side by side, of which names
    are made (三上, 左正, ありの).
    """
    words, longest = _parts()
    # Whether a row ends before each letter, with a longer word and with a short one.
    after_longer, after_short = [True, *[False] * len(word)], [False] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - longest), end):
            if not (after_longer[start] or after_short[start]) or word[start:end] not in words:
                continue
            if not _is_short(word[start:end]):
                after_longer[end] = True
            elif after_longer[start]:
                after_short[end] = True
    return after_longer[-1] or after_short[-1]


_COMPOUNDS = {_SPACED: _is_spaced_compound, _HANGUL: _is_hangul_compound, _JOINED: _is_row_of_words}


def _is_short(part: str) -> bool:
    return (len(part) == 1 and part not in _BODY) or _KANA.fullmatch(part) is not None


def _forms(word: str) -> frozenset[str]:
    """A folded word as it is listed, also without accents; not in scripts where marks make other letters
    (カイト is not ガイド) or a syllable of Hangul would come apart.
    """
    kind = _kind_of(word[0]) if word else 0
    if kind not in (_LATIN, _SPACED):
        return frozenset({word})
    forms = {word, unaccented(word), with_digraphs(word)}
    # A word of another script in Latin letters may be a name (Greek moira, Turkish karın apart).
    return frozenset(forms | {romanised(word)} if kind == _LATIN else forms)


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
