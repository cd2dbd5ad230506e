"""The sides, sizes and numbers that a text states, and the findings to which they belong."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from medsiglip.medgemma.checks.lexicon import Claim, is_general
from medsiglip.medgemma.checks.phrases import mentions, phrases
from medsiglip.medgemma.checks.sentences import Sentence, split
from medsiglip.medgemma.checks.spelling import corrected
from medsiglip.medgemma.checks.tables import TableReading
from medsiglip.medgemma.checks.terms import PhraseTable, Word, folded, phrase_table, table
from medsiglip.medgemma.checks.wording import is_temporal

What = Literal["side", "size", "count", "level", "slice", "pictures", "age", "date"]
_NEAR = 8
"""Words before and after a value that are looked at."""
LEFT, RIGHT = frozenset({"left"}), frozenset({"right"})
BOTH = LEFT | RIGHT

_NUMBER = r"\d{1,3}(?:[.,]\d{1,2})?"
_SIZE = re.compile(
    rf"(?<![\d.,])({_NUMBER})(?:\s?(?:mm|cm)?\s?(?:x|×|by)\s?({_NUMBER}))?"
    rf"(?:\s?(?:mm|cm)?\s?(?:x|×|by)\s?({_NUMBER}))?"
    r"[ -]?(mm|cm|millimet(?:er|re)s?|centimet(?:er|re)s?)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"\b(slice|image|picture|frame)s?(?:\s(?:no\.?|number|numbers|#))?\s?#?(\d{1,6})"
    r"(?:\s?(?:-|–|to|through|and|,|of)\s?(\d{1,6}))?(?![\d.]*\d)",
    re.IGNORECASE,
)
_PICTURES = re.compile(
    r"\b(\d{1,4}|one|single|two|three|four|five|six|seven|eight|nine|ten)[ -](?:\w{2,14}[ -])?"
    r"(views?|projections?|slices|images|pictures|frames|radiographs)\b",
    re.IGNORECASE,
)
_LEVEL = re.compile(
    r"\b([CTL])(\d{1,2})\b(?!\s?-?\s?(?:weighted|hyper|hypo|iso|signal|bright|dark|image|sequence))"
)
_AGE = re.compile(r"\b(\d{1,3})[ -]?(?:years?|yrs?|y)[ -]?(?:old|/o|o)\b|\baged? (\d{1,3})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stated:
    """A side, size or number at `text[start:end]` of a text, and the findings that it is of.

    `values` are sides, lengths in mm, numbers, or levels of the spine; `denied` is whether the finding is
    denied there, `summary` whether the section sums up, `same` whether the sentence says that nothing has
    changed, `former` whether the value is one of an earlier study, `compared` whether it is named beside the
    other side, `partial` whether a number is of some among more: "on two images", `temporal` whether the
    sentence speaks of an earlier study.
    """

    what: What
    start: int
    end: int
    values: frozenset[Any]
    names: frozenset[str] = frozenset()
    denied: bool = False
    summary: bool = False
    unseen: bool = False
    same: bool = False
    former: bool = False
    compared: bool = False
    partial: bool = False
    temporal: bool = False


@dataclass(frozen=True, slots=True)
class _Named:
    names: frozenset[str]
    start: int
    end: int


def stated_in(text: str, own: PhraseTable[Claim]) -> tuple[Stated, ...]:
    """All that `text` states, in order; `own` are the phrases of labels that the lexicon does not know."""
    sections = table("wording")["sections"]
    unseen = frozenset(sections["unseen"])
    found: list[Stated] = []
    rows, known = TableReading(text), own.words()
    for sentence in _under_headings(text, unseen | frozenset(sections["seen"])):
        if not sentence.quoted:
            read = corrected(rows.words(sentence), known)
            found += _Sentence.of(text, sentence, read, own, sentence.heading in unseen).stated()
    return tuple(found)


def _under_headings(text: str, headings: frozenset[str]) -> Iterator[Sentence]:
    """The sentences of a text, those below a heading without a colon, such as "## Impression", under it."""
    above = ""
    for sentence in split(text, headings):
        alone = text[sentence.start : min(sentence.end, sentence.start + 60)].strip("#*_ \t:").lower()
        if alone in headings:
            above = alone
        yield sentence if sentence.heading else replace(sentence, heading=above)


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    sentence: Sentence
    found: Sequence[Word]
    texts: Sequence[str]
    named: Sequence[_Named]
    unseen: bool
    same: bool
    temporal: bool

    @classmethod
    def of(
        cls, text: str, sentence: Sentence, found: Sequence[Word], own: PhraseTable[Claim], unseen: bool
    ) -> _Sentence:
        row = phrases(found, own)
        named = [
            _Named(frozenset(one.claim.findings), row[one.position].start, row[one.position].end)
            for one in mentions(row)
            if not is_general(one.claim)
        ]
        texts = [word.text for word in found]
        same = next(_same().found(texts), None) is not None
        temporal = sentence.heading.startswith("comparison") or is_temporal(found)
        return cls(text, sentence, found, texts, named, unseen, same, temporal)

    def stated(self) -> list[Stated]:
        found = [*self._sides(), *self._sizes(), *self._counts(), *self._levels(), *self._of_study()]
        return sorted(found, key=lambda one: (one.start, one.end))

    def _sides(self) -> Iterator[Stated]:
        texts = self.texts
        at = [position for position, word in enumerate(texts) if word in _sides()]
        for number, position in enumerate(at):
            word = self.found[position]
            values = _sides()[word.text]
            if word.text in _listed("sides", "of_eyes") and not self.text[word.start : word.end].isupper():
                continue
            before = [one for one in texts[max(position - 2, 0) : position] if one != "the"]
            if before and before[-1] in _listed("sides", "direction"):
                continue
            following = self.found[at[number + 1]].start if number + 1 < len(at) else self.sentence.end
            names = self._named_at_side(
                word, following, bool(before) and before[-1] in _listed("sides", "after")
            )
            yield self._made("side", word.start, word.end, values, names)

    def _named_at_side(self, word: Word, following_side: int, after: bool) -> frozenset[str]:
        """The finding that a side belongs to: the next in its phrase, else the one before it."""
        at = bisect_left(self.named, word.end, key=lambda one: one.start)
        former = self.named[at - 1] if at else None
        latter = self.named[at] if at < len(self.named) else None
        around = next((one for one in self.named[max(at - 1, 0) : at] if one.end >= word.end), None)
        if around is not None:
            return around.names
        near = latter is not None and (latter.start < following_side or former is None)
        if near and (not after or former is None or ":" in self.text[former.end : word.start]):
            assert latter is not None
            return latter.names
        return former.names if former is not None else frozenset()

    def _sizes(self) -> Iterator[Stated]:
        for found in _SIZE.finditer(self.text, self.sentence.start, self.sentence.end):
            factor = 10.0 if found[4].lower().startswith("c") else 1.0
            lengths = [float(one.replace(",", ".")) * factor for one in found.groups()[:3] if one]
            values = frozenset([max(lengths)])
            of = frozenset() if self._is_distance(found) else self._nearest(found.start(), found.end())
            yield self._made("size", found.start(), found.end(), values, of)

    def _is_distance(self, found: re.Match[str]) -> bool:
        """Whether a length tells how far something lies or is to be moved: "4 cm from the nipple"."""
        at = bisect_left(self.found, found.end(), key=lambda one: one.start)
        first = bisect_left(self.found, found.start(), key=lambda one: one.start)
        before = {one.text for one in self.found[max(first - 3, 0) : first]}
        return (at < len(self.found) and self.found[at].text in _listed("sizes", "distance")) or bool(
            before & set(_listed("sizes", "moved"))
        )

    def _counts(self) -> Iterator[Stated]:
        """Numbers of findings: "three nodules"."""
        for position, word in enumerate(self.found):
            number = _number(word.text)
            at = bisect_left(self.named, word.end, key=lambda one: one.start)
            if number < 2 or at == len(self.named):
                continue
            named = self.named[at]
            between = [one for one in self.found[position + 1 : position + 5] if one.start < named.start]
            plural = self.text[named.end - 1].lower() == "s"
            if (
                plural
                and len(between) < 4
                and all(one.text.isalpha() and len(one.text) > 2 for one in between)
            ):
                yield self._made("count", word.start, named.end, frozenset([number]), named.names)

    def _levels(self) -> Iterator[Stated]:
        for found in _LEVEL.finditer(self.text, self.sentence.start, self.sentence.end):
            names = self._nearest(found.start(), found.end())
            yield self._made("level", found.start(), found.end(), frozenset([found[0].upper()]), names)

    def _of_study(self) -> Iterator[Stated]:
        """Numbers that are of the study: of its slices and pictures, its patient's age, dates."""
        first, last = self.sentence.start, self.sentence.end
        for found in _PLACE.finditer(self.text, first, last):
            values = frozenset(int(one) for one in found.groups()[1:] if one)
            yield self._made("slice", found.start(), found.end(), values)
        for found in _PICTURES.finditer(self.text, first, last):
            values = frozenset([_number(found[1].lower())])
            yield self._made("pictures", found.start(), found.end(), values)
        for found in _AGE.finditer(self.text, first, last):
            yield self._made("age", found.start(), found.end(), frozenset([int(found[1] or found[2])]))
        for start, end, dates in dates_in(self.text, first, last):
            yield self._made("date", start, end, dates)

    def _nearest(self, start: int, end: int) -> frozenset[str]:
        at = bisect_left(self.named, start, key=lambda one: one.start)
        near = [
            (max(one.start - end, start - one.end, 0), number, one)
            for number, one in enumerate(self.named[max(at - 1, 0) : at + 1])
        ]
        return min(near)[2].names if near else frozenset()

    def _made(
        self, what: What, start: int, end: int, values: frozenset[Any], names: frozenset[str] = frozenset()
    ) -> Stated:
        first = bisect_left(self.found, start, key=lambda one: one.start)
        near = self.texts[max(first - _NEAR, 0) : first + _NEAR]
        return Stated(
            what,
            start,
            end,
            values,
            names,
            denied=not _listed("sides", "denied").isdisjoint(near),
            summary=self.sentence.heading in _listed("sections", "summary"),
            unseen=self.unseen,
            same=self.same and "new" not in self.texts[max(first - 3, 0) : first],
            former=not _listed("words", "former").isdisjoint(self.texts[max(first - 2, 0) : first]),
            compared=not _listed("sides", "compared").isdisjoint(near),
            partial=not _listed("words", "partial").isdisjoint(self.texts[max(first - 2, 0) : first]),
            temporal=self.temporal,
        )


def dates_in(text: str, start: int, end: int) -> Iterator[tuple[int, int, frozenset[str]]]:
    """Dates with a day, each with its ISO 8601 readings: of 03/04/2020 there are two."""
    for found in _DATE.finditer(text, start, end):
        yield found.start(), found.end(), frozenset(_readings(found))


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DATE = re.compile(
    r"\b(?:(?P<y1>(?:19|20)\d\d)-(?P<m1>\d\d)-(?P<d1>\d\d)"
    r"|(?P<a>\d{1,2})[./](?P<b>\d{1,2})[./](?P<y2>(?:19|20)\d\d)"
    rf"|(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\.? (?P<m3>{_MONTH})\.?,? (?P<y3>(?:19|20)\d\d)"
    rf"|(?P<m4>{_MONTH})\.? (?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<y4>(?:19|20)\d\d))\b",
    re.IGNORECASE,
)


def _readings(found: re.Match[str]) -> Iterator[str]:
    if found["y1"]:
        yield found[0]
    elif found["y2"]:
        a, b = int(found["a"]), int(found["b"])
        yield f"{found['y2']}-{b:02}-{a:02}"
        yield f"{found['y2']}-{a:02}-{b:02}"
    elif found["y3"]:
        yield f"{found['y3']}-{_month(found['m3']):02}-{int(found['d3']):02}"
    else:
        yield f"{found['y4']}-{_month(found['m4']):02}-{int(found['d4']):02}"


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1


def _number(word: str) -> int:
    """The value of a short number in digits or words, 0 for another word."""
    known: int = table("attributes")["numbers"].get(word, 0)
    return int(word) if word.isdecimal() and len(word) < 5 else known


@cache
def _sides() -> Mapping[str, frozenset[str]]:
    sides = table("attributes")["sides"]
    values = {"left": LEFT, "right": RIGHT, "both": BOTH}
    return {word: value for name, value in values.items() for word in sides[name]}


@cache
def _listed(section: str, name: str) -> frozenset[str]:
    return frozenset(folded(word) for word in table("attributes")[section][name])


@cache
def _same() -> PhraseTable[str]:
    return phrase_table((phrase, phrase) for phrase in table("attributes")["words"]["same"])


@cache
def one_sided_parts() -> PhraseTable[str]:
    """Parts of the body that lie on one side, by their words."""
    return phrase_table(
        (phrase, side) for side, listed in table("attributes")["one_sided"].items() for phrase in listed
    )
