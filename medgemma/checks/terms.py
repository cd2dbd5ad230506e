"""The tables of words behind the checks of drafts (`terms/*.toml`), and how words are compared.

Words are compared without case, hyphens, plural and British spellings such as haemorrhage, oedema or tumour.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from itertools import product
from typing import Any, Generic, TypeVar

from medsiglip.medgemma.checks.signs import SIGNS, WORD

_CHOICE = re.compile(r"\(([^()]*)\)")
# A choice of a part of a word, or of one that holds another.
_NOT_BY_PIECES = re.compile(r"[^\s()]\(|\)[^\s()]|\([^()]*\(")
_SPELLINGS = (
    ("haem", "hem"),
    ("oedem", "edem"),
    ("tumour", "tumor"),
    ("colour", "color"),
    ("naev", "nev"),
    ("visualis", "visualiz"),
    ("recognis", "recogniz"),
    ("ischaem", "ischem"),
    ("grey", "gray"),
)
_PLURALS = {
    "pneumothoraces": "pneumothorax",
    "metastases": "metastasis",
    "calculi": "calculus",
    "nevi": "nevus",
    "apices": "apex",
    "diagnoses": "diagnosis",
    "vertebrae": "vertebra",
    "pleurae": "pleura",
    "neoplasia": "neoplasm",
    "neg": "negative",
}
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Word:
    """A word or mark of punctuation as it is compared, and its character offsets."""

    text: str
    start: int
    end: int


def words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    """Return the words and marks of `text[start:end]`; a hyphen or slash inside a word splits it."""
    stop = len(text) if end is None else end
    found = []
    for match in WORD.finditer(text, start, stop):
        if match.lastgroup is not None:
            begin = match.end() - len(match[0].lstrip())
            found.append(Word(SIGNS[match.lastgroup], begin, match.end()))
        elif match[0] in "–—":
            found.append(Word("—", match.start(), match.end()))
        elif match[0] in "-/*#":
            spaced = (
                text[match.start() - 1 : match.start()].isspace()
                and text[match.end() : match.end() + 1].isspace()
            )
            if not (match[0] in "-/" and spaced and match.start() > start):
                continue
            found.append(Word("—" if match[0] == "-" else "/", match.start(), match.end()))
        else:
            found.append(Word(folded(match[0]), match.start(), match.end()))
    return found


@cache
def _folded_small(word: str) -> str:
    for british, american in _SPELLINGS:
        word = word.replace(british, american)
    if word in _PLURALS:
        return _PLURALS[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def folded(word: str) -> str:
    """Return the form in which `word` is compared."""
    small = word.lower().replace("’", "'")
    return _folded_small(small) if len(small) <= 24 and small.isascii() else small


def spelled_out(phrase: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each way to read `phrase`, in which `(a|b|)` is a choice, one of them nothing."""
    if _NOT_BY_PIECES.search(phrase):
        choice = _CHOICE.search(phrase)
        if choice is None:
            yield _split(phrase)
            return
        for chosen in choice[1].split("|"):
            yield from spelled_out(phrase[: choice.start()] + chosen + phrase[choice.end() :])
        return
    # Of the pieces between and inside the brackets each is split once.
    pieces = [
        [_split(chosen) for chosen in piece.split("|")] if at % 2 else [_split(piece)]
        for at, piece in enumerate(_CHOICE.split(phrase))
    ]
    for chosen in product(*pieces):
        yield tuple(word for words_of_piece in chosen for word in words_of_piece)


@lru_cache(maxsize=16384)
def _split(text: str) -> tuple[str, ...]:
    return tuple(word.text for word in words(text))


@dataclass(slots=True)
class PhraseTable(Generic[Value]):
    """Values by phrase; the longest phrase at a place wins, and equal phrases keep all their values."""

    entries: dict[tuple[str, ...], list[Value]] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)

    def add(self, phrase: str, value: Value) -> None:
        """Add each way to read `phrase`."""
        for key in dict.fromkeys(spelled_out(phrase)):
            self.add_words(key, value)

    def add_words(self, key: tuple[str, ...], value: Value) -> None:
        """Add one phrase by its words, as `words` returns them."""
        if not key:
            return
        values = self.entries.setdefault(key, [])
        if value not in values:
            values.append(value)
        known = self.lengths.setdefault(key[0], [])
        if len(key) not in known:
            known.append(len(key))
            known.sort(reverse=True)

    def at(self, texts: Sequence[str], position: int) -> tuple[int, list[Value]]:
        """Return the length in words and the values of the longest phrase at `position`; (0, []) if none."""
        for length in self.lengths.get(texts[position], ()):
            key = tuple(texts[position : position + length])
            if key in self.entries:
                return len(key), self.entries[key]
        return 0, []

    def words(self) -> frozenset[str]:
        """All words of the phrases."""
        return frozenset(word for key in self.entries for word in key)

    def found(self, texts: Sequence[str]) -> Iterator[tuple[int, int, list[Value]]]:
        """Yield (position, length, values) of the phrases in `texts`, none overlapping another."""
        position = 0
        while position < len(texts):
            length, values = self.at(texts, position)
            if length:
                yield position, length, values
            position += max(length, 1)


@cache
def table(name: str) -> Mapping[str, Any]:
    """Read `terms/<name>.toml`, once."""
    content = (resources.files("medsiglip.medgemma") / "terms" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(content)


def phrase_table(phrases: Iterable[tuple[str, Value]]) -> PhraseTable[Value]:
    """Build a table of (phrase, value)."""
    built: PhraseTable[Value] = PhraseTable()
    for phrase, value in phrases:
        built.add(phrase, value)
    return built
