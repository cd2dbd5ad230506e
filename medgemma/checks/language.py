"""Whether a text is English, the one language whose sentences the checks can read.

Words are weighed one by one: those of the dictionary and of the lexicon speak for English, those of
`terms/languages.toml`, letters with diacritics and words unknown to both against it. The Latin words that
reports of many languages share, such as pneumothorax, say nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from medsiglip.medgemma.checks.english import english_words
from medsiglip.medgemma.checks.phrases import vocabulary
from medsiglip.medgemma.checks.sentences import Sentence, split
from medsiglip.medgemma.checks.spelling import correction
from medsiglip.medgemma.checks.terms import folded, table

_WORD = re.compile(r"(?<![-+])[^\W\d_]+(?:['’][^\W\d_]+)*")
_ENDS_CELL = re.compile(r"[ \t*]{0,8}(?:[|.,;\n]|$)")
_ELISION = re.compile(r"^(?:[ldnscjm]|qu|dell|nell|sull|all|un)['’]")
_SCRIPTS = {
    "CYRILLIC": "ru",
    "GREEK": "el",
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "ARABIC": "ar",
    "HEBREW": "he",
    "THAI": "th",
    "DEVANAGARI": "hi",
}
_MEDICAL_ENDING = re.compile(
    r"(?:emia|emic|uria|pathy|pathic|itis|itic|osis|otic|ectomy|otomy|ostomy|plasty|scopy|scopic|graphy|graphic|gram"
    r"|ology|ologic|ologist|oma|megaly|cele|plegia|algia|rrhea|ular|[aiyt]tic|[lnhrm]ic|oid|oidal|genic"
    r"|genous|ed|ly|ness|able|ible"
    r"|tion|tions|less|ary|ectatic|ectasis|thorax|pnea|therapy|ine|ol|ib|ab|mycin|pril|in)$"
)
_SHORTEST_UNKNOWN, _LONGEST = 4, 60
_DOUBT = 0.75
_ENOUGH = 0.55
"""The weight of one word of another language that English has too, "gauche" or "sin"."""


def is_english(text: str) -> bool:
    """Whether a sentence is English, or has nothing that tells its language, such as "Pneumothorax.".

    False for another language, and for a script other than Latin.
    """
    return not _Evidence.of(text).is_foreign


def language(text: str) -> str:
    """The language of a text as a whole, by its ISO 639 code: "en", that of a bundled list of words, or that
    of a script; "und" for another, and "" for a text that does not tell.
    """
    evidence = _Evidence.of(text)
    if not evidence.is_foreign:
        return "en" if evidence.english else ""
    by_script = Counter(_SCRIPTS.get(script, "und") for script in _foreign_scripts(text))
    letters = sum(letter.isalpha() for letter in text)
    if by_script and 3 * sum(by_script.values()) >= letters:
        # Japanese is written with Chinese characters too.
        return "ja" if by_script["ja"] else by_script.most_common(1)[0][0]
    found: Counter[str] = Counter()
    for match in _WORD.finditer(text.lower()):
        for code, words in _lists().items():
            found[code] += _plain(match[0]) in words
    return found.most_common(1)[0][0] if any(found.values()) else "und"


def other_language(text: str) -> str | None:
    """The name of the language of a text as a whole, such as "German"; None for English and for a text that
    does not tell, "another language" where the name is not known.
    """
    code = language(text)
    return None if code in ("en", "") else table("languages")["names"].get(code, "another language")


def foreign_sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences that are not English, in order; of a text in another language also those that do not
    tell.
    """
    sections = table("wording")["sections"]
    whole = language(text)
    return tuple(
        sentence
        for sentence in split(text, frozenset(sections["unseen"] + sections["seen"]))
        if is_foreign(text[sentence.start : sentence.end], whole)
    )


def is_foreign(sentence: str, whole: str = "en") -> bool:
    """Whether a sentence of a text, whose language as a whole is `whole`, is not English."""
    evidence = _Evidence.of(sentence)
    if evidence.is_foreign:
        return True
    return whole not in ("en", "") and not evidence.english and any(letter.isalpha() for letter in sentence)


@dataclass(slots=True)
class _Evidence:
    """What the words of a text weigh: for English, for another language, and as words of neither."""

    english: float = 0.0
    foreign: float = 0.0
    unknown: float = 0.0

    @classmethod
    def of(cls, text: str) -> _Evidence:
        others = len(_foreign_scripts(text))
        found = cls(foreign=0.5 * others if others > 1 else 0.0)
        capitals = text.isupper() and " " in text.strip()
        for match in _WORD.finditer(text):
            written = match[0]
            if len(written) > _LONGEST or (len(written) < 4 and written.isupper() and not capitals):
                continue  # no word, or an abbreviation
            english, foreign, unknown = _weight(written.lower())
            if written in ("non", "Non") and _ENDS_CELL.match(text, match.end()):
                foreign = 1.0  # the answer no, not a part of an English word
            if written[0].isupper() and not written.isascii() and _may_be_name(written.lower()):
                foreign *= 0.5  # as Ménière is
            if not written.islower() and foreign < 1 and match.start() > 0:
                unknown *= 0.35  # a name or an abbreviation
                foreign = foreign if written.isupper() else min(foreign, 0.2)
            if written.isupper() and len(written) < 6 and not foreign:
                unknown = 0.0
            found.english += english
            found.foreign += foreign
            found.unknown += unknown
        return found

    @property
    def is_foreign(self) -> bool:
        # One word that nobody knows is more often a rare or mistyped word of English.
        against = self.foreign + self.unknown * (_DOUBT if self.english else 1)
        return against >= _ENOUGH and against >= 0.9 * self.english


def _may_be_name(word: str) -> bool:
    return word not in _foreign() and not word.endswith(_endings())


def _foreign_scripts(text: str) -> list[str]:
    """The scripts of the letters that are not Latin, by letter; single Greek letters are symbols."""
    if text.isascii():
        return []
    return [
        name
        for match in _WORD.finditer(text)
        if not match[0].isascii()
        for letter in match[0]
        if ord(letter) > 0x2AF and (name := _script(letter)) and (name != "GREEK" or len(match[0]) > 1)
    ]


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").partition(" ")[0]
    return "" if name in ("LATIN", "COMBINING", "MICRO", "MODIFIER", "FULLWIDTH") else name or "UNKNOWN"


@lru_cache(maxsize=16384)
def _weight(word: str) -> tuple[float, float, float]:
    """What one word in lower case weighs for English, for another language, and as a word of neither."""
    if word in _english():
        return 1.0, 0.0, 0.0
    plain = _plain(word)
    if plain in _shared() or (len(plain) == 1 and plain.isascii()):
        return 0.0, 0.0, 0.0
    known = plain in english_words() or folded(plain) in english_words() or folded(plain) in _lexicon_words()
    if plain in _foreign() or (plain != word.replace("’", "'") and "'" not in plain and _ELISION.match(word)):
        return 0.0, 0.6 if known else 1.0, 0.0
    if known:
        return 0.5, 0.0, 0.0
    if not word.isascii():
        return 0.0, 1.0, 0.0
    if (
        len(plain) < _SHORTEST_UNKNOWN
        or plain in _beginnings()
        or correction(folded(plain)) in _lexicon_words()
    ):
        return 0.0, 0.0, 0.0
    if _MEDICAL_ENDING.search(plain):
        return 0.0, 0.0, 0.0
    return (0.0, 0.7, 0.0) if plain.endswith(_endings()) else (0.0, 0.0, _ENOUGH)


def _plain(word: str) -> str:
    """A word without the article that French and Italian join to it: "d'épanchement"."""
    return _ELISION.sub("", word)


@cache
def _lexicon_words() -> frozenset[str]:
    stock = " ".join(table("copied")[name] for name in ("stock", "proper")).split()
    return frozenset([*(word for key in vocabulary().entries for word in key), *stock])


@cache
def _beginnings() -> frozenset[str]:
    """What words of the lexicon are shortened to: opac, consol."""
    return frozenset(word[:length] for word in _lexicon_words() for length in range(3, min(len(word), 7)))


@cache
def _lists() -> Mapping[str, frozenset[str]]:
    return {code: frozenset(words.split()) for code, words in table("languages")["words"].items()}


@cache
def _english() -> frozenset[str]:
    return frozenset(table("languages")["english"].split())


@cache
def _shared() -> frozenset[str]:
    return frozenset(table("languages")["shared"].split())


@cache
def _foreign() -> frozenset[str]:
    return frozenset().union(*_lists().values()) - _shared()


@cache
def _endings() -> tuple[str, ...]:
    return tuple(table("languages")["endings"].split())
