"""Sentences of a text that share runs of words with texts of other patients.

Words are compared as in `medsiglip.medgemma.checks.terms`, and without accents and punctuation. Runs of up to
three words are looked up in tables, so that the work grows with the total length of the texts and not with
the product of their lengths.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from medsiglip.medgemma.checks.sentences import split
from medsiglip.medgemma.checks.terms import Word, folded, table

Kind = Literal["identity", "wording", "place", "stock"]
Run = tuple[str, ...]
Part = TypeVar("Part", str, Run)

_RUN = 3
"""Words in a row that are looked up at once."""
_WHOLE, _WHOLE_UNUSUAL = 0.8, 0.6
"""The share of a sentence's words that counts as the whole, and the share where some words are unusual."""
_LONG = 8
"""Words in a row that are a copy in a sentence of any length."""
_OF_ONE = 10
"""Words in a row with a side or place that are likely to be of one report only."""
_PART = 3
"""The fewest words of a line or part of a sentence that are a copy by themselves."""
_FEW_DIGITS, _DIGITS = 4, 6
"""Digits of a year or identifier in one number, and in a number that is written in groups."""
_EACH_ITS_OWN = "぀-ヿ㐀-鿿가-힯"
_WORD = re.compile(
    rf"[{_EACH_ITS_OWN}]|\d+|(?:(?![{_EACH_ITS_OWN}])[^\W\d_][\u0300-\u036f]*)+"  # scripts without spaces
)
_PART_END = re.compile(r"[\n;]")
_NUMBER = re.compile(r"\d(?:[ \t().\-/+]{0,3}\d)*")
_ADDRESS = re.compile(r"(?<![^\s@<>\"'])[^\s@<>\"']++@[^\s@<>\"']*\w")
_LEAD = re.compile(r"[\s>*•·#-]*(?:\d{1,2}[.)]\s+)?(?:[A-Za-z][A-Za-z /&-]{0,38}:(?=\s))?")
_PERSON = re.compile(
    r"\b([^\W\d_]{2,})\^([^\W\d_]{2,})"  # as DICOM writes names (PS3.5 6.2.1), and surnames before a comma
    r"|(?:^|\b(?:(?i:name|patient|re)):? )([A-Z][A-Z'’-]+), ([A-Z][A-Z'’-]+)\b",
    re.MULTILINE,
)
_BEFORE_A_START = frozenset('.!?:;\n"“(>')


@dataclass(frozen=True, slots=True)
class Overlap:
    """The sentence `text[start:end]`, which holds words of `others[source]` that the own texts do not hold.

    `kind` is what the two have in common:
    - `identity`: a name, an address, or a number, date or size with its words;
    - `wording`: the sentence, or eight words in a row, with a word that reports do not use of everybody;
    - `place`: the whole sentence, in words that reports use of everybody, with a side or place;
    - `stock`: such a sentence without a side or place, "No pleural effusion."
    """

    start: int
    end: int
    source: int
    kind: Kind


def overlaps(text: str, others: Sequence[str], own: Sequence[str] = ()) -> tuple[Overlap, ...]:
    """The sentences of `text` that have words of one of `others` and of none of `own`, in order.

    `own` are the texts of the patient that `text` is about. A sentence counts whose words are found whole, or
    nearly, and one that has a name or number of `others` amid words of its own.
    """
    if not any(other.strip() for other in others):
        return ()
    sections = table("wording")["sections"]
    comparison = _Comparison.of(others, own)
    found = []
    for sentence in split(text, frozenset(sections["unseen"] + sections["seen"])):
        start = _LEAD.match(text, sentence.start, sentence.end)
        shared = comparison.shared(text, start.end() if start else sentence.start, sentence.end)
        if shared is not None:
            found.append(Overlap(sentence.start, sentence.end, *shared))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What other patients' texts hold and the own ones do not: runs of words, digits, addresses, each with
    the position of its text. `known` are words that identify nothing, `names` those that are written as
    names.
    """

    runs: Mapping[Run, int]
    digits: Mapping[str, int]
    addresses: Mapping[str, int]
    known: Collection[str]
    names: Collection[str]

    @classmethod
    def of(cls, others: Sequence[str], own: Sequence[str]) -> _Comparison:
        mine = _by_source(own, _runs)
        return cls(
            _by_source(others, _runs, mine),
            _by_source(others, _digits, _by_source(own, _digits)),
            _by_source(others, _addresses, _by_source(own, _addresses)),
            _vocabulary() | {run[0] for run in mine if len(run) == 1},
            _names(others),
        )

    def shared(self, text: str, start: int, end: int) -> tuple[int, Kind] | None:
        """The source and kind of what a sentence shares; None if it shares nothing."""
        found = _words(text, start, end)
        row = [word.text for word in found]
        identity = self._identity(text, start, end, found)
        if identity is not None:
            return identity, "identity"
        covered, source = self._covered(row)
        longest = max((len(stretch) for stretch in _stretches(covered)), default=0)
        words = [word for word, here in zip(row, covered, strict=True) if here]
        unusual = any(word not in self.known for word in words)
        share = _WHOLE_UNUSUAL if unusual and len(words) > _RUN else _WHOLE
        if source is None or (longest < _LONG and not _is_whole(text, found, covered, share)):
            return None
        placed = not _places().isdisjoint(words)
        if unusual or (placed and longest >= _OF_ONE):
            return source, "wording"
        return source, "place" if placed else "stock"

    def _covered(self, row: Sequence[str]) -> tuple[list[bool], int | None]:
        """Which words stand in runs of other patients' texts, and where the first does."""
        size = min(_RUN, len(row))
        covered, first = [False] * len(row), None
        if size < 2:
            return covered, None
        for at in range(len(row) - size + 1):
            source = self.runs.get(tuple(row[at : at + size]))
            if source is not None:
                first = source if first is None else first
                covered[at : at + size] = [True] * size
        return covered, first

    def _identity(self, text: str, start: int, end: int, found: Sequence[Word]) -> int | None:
        here = text[start:end]
        signs = [self.digits.get(digits) for digits in _digits(here)]
        signs += [self.addresses.get(address) for address in _addresses(here)]
        signs += [self._number(found, at) for at, word in enumerate(found) if word.text.isdigit()]
        signs += [self._name(text, found, at) for at in range(len(found))]
        return next((source for source in signs if source is not None), None)

    def _number(self, found: Sequence[Word], at: int) -> int | None:
        """A long number by itself, another with the words around it."""
        if len(found[at].text) >= _FEW_DIGITS:
            return self.runs.get((found[at].text,))
        size = min(_RUN, len(found))
        if size < 2:
            return None
        for first in range(max(at - size + 1, 0), min(at, len(found) - size) + 1):
            source = self.runs.get(tuple(word.text for word in found[first : first + size]))
            if source is not None:
                return source
        return None

    def _name(self, text: str, found: Sequence[Word], at: int) -> int | None:
        word = found[at].text
        labelled = _is_labelled(text, found, at)
        if word in self.known:
            # Still a name where the same title or label precedes it in another patient's text.
            return self.runs.get((found[at - 1].text, word)) if labelled else None
        if len(word) < 2 or not word.isalpha():
            return None
        written = labelled or word in self.names or _is_proper(text, found[at])
        return self.runs.get((word,)) if written else None


def _words(text: str, start: int = 0, end: int | None = None) -> list[Word]:
    stop = len(text) if end is None else end
    return [Word(_folded(m[0]), m.start(), m.end()) for m in _WORD.finditer(text, start, stop)]


def _folded(word: str) -> str:
    if word.isascii():
        return folded(word)
    plain = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    return folded(plain.casefold())


def _by_source(
    texts: Sequence[str], parts: Callable[[str], Iterable[Part]], without: Collection[Part] = ()
) -> dict[Part, int]:
    """The parts of all texts, each with the position of the first text that holds it."""
    found: dict[Part, int] = {}
    for number, text in enumerate(texts):
        for part in parts(text):
            if part not in without:
                found.setdefault(part, number)
    return found


def _runs(text: str) -> Iterator[Run]:
    row = [word.text for word in _words(text)]
    for size in range(1, _RUN + 1):
        for at in range(len(row) - size + 1):
            yield tuple(row[at : at + size])


def _digits(text: str) -> Iterator[str]:
    for number in _NUMBER.finditer(text):
        digits = "".join(c for c in number[0] if c.isdigit())
        for at in range(len(digits) - _DIGITS + 1):
            yield digits[at : at + _DIGITS]


def _addresses(text: str) -> Iterator[str]:
    return (found[0].casefold() for found in _ADDRESS.finditer(text))


def _names(texts: Iterable[str]) -> frozenset[str]:
    """Words that are written as names are, and nowhere with a small letter."""
    names, small = set(), set()
    for text in texts:
        found = _words(_ADDRESS.sub(lambda address: " " * len(address[0]), text))
        for at, word in enumerate(found):
            if text[word.start].islower():
                small.add(word.text)
            elif _is_proper(text, word) or _is_labelled(text, found, at):
                names.add(word.text)
        names |= {_folded(part) for pair in _PERSON.findall(text) for part in pair if part}
    return frozenset(names - small)


def _is_proper(text: str, word: Word) -> bool:
    """Whether a word has a capital that is not due to the start of a sentence or to an abbreviation."""
    written = text[word.start : word.end]
    if not written[0].isupper() or written.isupper():
        return False
    before = text[max(word.start - 3, 0) : word.start].rstrip(" \t")
    return bool(before) and before[-1] not in _BEFORE_A_START


def _is_labelled(text: str, found: Sequence[Word], at: int) -> bool:
    """Whether a title precedes a word, or a label such as "Patient:"."""
    if not at or not text[found[at].start].isupper():
        return False
    before = found[at - 1]
    return before.text in _listed("titles") or (
        before.text in _listed("labels") and ":" in text[before.end : found[at].start]
    )


def _is_whole(text: str, found: Sequence[Word], covered: Sequence[bool], share: float) -> bool:
    """Whether a sentence, or a line or part of it that ends in a semicolon, is covered to that share."""
    if sum(covered) >= share * len(found):
        return True
    parts: list[list[bool]] = [[]]
    end = found[0].start
    for word, here in zip(found, covered, strict=True):
        if _PART_END.search(text, end, word.start):
            parts.append([])
        parts[-1].append(here)
        end = word.end
    return any(len(part) >= _PART and sum(part) >= share * len(part) for part in parts)


def _stretches(covered: Sequence[bool]) -> Iterator[range]:
    start = None
    for at, here in enumerate([*covered, False]):
        if here and start is None:
            start = at
        elif not here and start is not None:
            yield range(start, at)
            start = None


@cache
def _listed(name: str) -> frozenset[str]:
    return frozenset(_folded(word) for word in table("copied")[name].split())


@cache
def _places() -> frozenset[str]:
    of = table("polarity")["words"]
    phrases = " ".join([*of["side"], *of["place"]])
    return frozenset(word.text for word in _words(phrases))


@cache
def _vocabulary() -> frozenset[str]:
    tables = (table("findings"), table("polarity"), table("wording"))
    texts = [text for one in tables for text in _strings(one)]
    known = {word.text for text in texts for word in _words(text)}
    return frozenset(known) | _listed("stock") | _listed("proper") | _listed("titles")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for member in value.values():
            yield from _strings(member)
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member)
