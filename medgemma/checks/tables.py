"""Rows of tables as sentences: `| Pneumothorax | No |` is read as "pneumothorax: no"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from medsiglip.medgemma.checks.phrases import phrases
from medsiglip.medgemma.checks.sentences import Sentence
from medsiglip.medgemma.checks.terms import PhraseTable, Word, words

_RULE = re.compile(r"[\s|:+=-]+")
_LEADERS = re.compile(r"\t+|(?:\.{3,}|…|_{3,})|[ ]{4,}")
_DENIED = frozenset(["no", "absent", "negative", "none", "not", "nil", "normal", "n", "false", "0"])
_AFFIRMED = frozenset(["yes", "present", "positive", "y", "true", "abnormal", "1", "x"])
_ASKED = frozenset(["?", "unknown", "uncertain", "equivocal", "possible", "indeterminate"])
_MARKS = frozenset(["x", "positive", "yes", "y", "1", "•", "●"])
_LONGEST_LABEL = 40
_COLUMNS = frozenset(
    ["left", "right", "l", "r", "od", "os", "rcc", "lcc", "rmlo", "lmlo", "current", "today"]
)
_FORMER = frozenset(["prior", "previous"])
_ITEM = re.compile(r"(?:[-*•·+]|\d{1,2}[.)])[ \t]+")
_OPENING = frozenset(["negation", "negation_clause", "negation_after", "hedge", "differential", "open"])
_LONGEST_LEAD = 12
"""Words of a line that what is listed below it is read with: "No evidence of:"."""


@dataclass(slots=True)
class TableReading:
    """Reads the sentences of a text in order; of a table it keeps what the columns of the last head say."""

    text: str
    columns: Sequence[str] = field(default_factory=list)
    heads: Sequence[frozenset[str]] = ()
    lead: Sequence[Word] = ()
    before: int = 0

    def words(self, sentence: Sentence) -> list[Word]:
        """The words of a sentence; those of a table's row with a colon after what it is about."""
        start, end = sentence.start, sentence.end
        if "|" not in self.text[start:end]:
            self.columns, self.heads = [], ()
            return self._listed(start, end, _dotted(self.text, start, end))
        if _RULE.fullmatch(self.text, start, end):
            return []
        cells = [words(self.text, *cell) for cell in _cells(self.text, start, end)]
        head = [_answer(cell) for cell in cells]
        names = [frozenset(word.text for word in cell) for cell in cells]
        if not any(head) and sum(bool(one & (_COLUMNS | _FORMER)) for one in names[1:]) > 1:
            self.columns, self.heads = [], names
            return []
        if self.heads and cells[0]:
            return list(self._by_column(cells))
        if len(cells) > 1 and any(head[1:]) and not _known(cells[0], head[0]):
            self.columns = head
            return []
        return list(self._row(cells, end))

    def _row(self, cells: Sequence[list[Word]], end: int) -> Iterator[Word]:
        asked = False
        for column, cell in enumerate(cells):
            if not cell:
                continue
            answer = self._marked(column, cell)
            if asked and answer is not None:
                yield Word(answer, cell[0].start, cell[-1].end)
            else:
                yield from cell
            last = not any(cells[column + 1 :])
            if last:
                return
            denied = _answer(cell) == "no"
            following = next(one for one in cells[column + 1 :] if one)
            answered = not _answer(cell) and bool(_answer(following))
            if not (denied and not asked):
                yield Word(":" if answered or not asked else ";", cell[-1].end, cell[-1].end)
            asked = answered or (not asked and not denied)

    def _by_column(self, cells: Sequence[list[Word]]) -> Iterator[Word]:
        """A row whose columns are sides or dates: what it is about, with each column and its answer."""
        own = [
            (names & _COLUMNS, cell)
            for names, cell in zip(self.heads[1:], cells[1:], strict=False)
            if cell and not names & _FORMER
        ]
        if own and all(_answer(cell) == "no" for _, cell in own):
            own = [(frozenset(), own[0][1])]
        for number, (names, cell) in enumerate(own):
            at = cell[0].start
            if number:
                yield Word(";", at, at)
            yield from (Word(word.text, at, at) for word in cells[0]) if number else cells[0]
            yield from (Word(name, at, at) for name in sorted(names - {"current", "today"}))
            yield Word(":", at, at)
            yield from cell

    def _listed(self, start: int, end: int, found: list[Word]) -> list[Word]:
        """The words of an item with those of the line above its list, where that denies or leaves open."""
        near = self.text.count("\n", self.before, start) <= 2
        self.before = end
        if self.lead and near and found and _ITEM.match(self.text, start):
            return [*(Word(word.text, found[0].start, found[0].start) for word in self.lead), *found]
        heads = bool(found) and len(found) <= _LONGEST_LEAD and found[-1].text == ":"
        opens = heads and any(phrase.parts & _OPENING for phrase in phrases(found, PhraseTable()))
        self.lead = found if opens else ()
        return found

    def _marked(self, column: int, cell: Sequence[Word]) -> str | None:
        """What a mark in a column says that a head names "present" or "absent"."""
        head = self.columns[column] if column < len(self.columns) else ""
        if not head or len(cell) > 1 or cell[0].text not in _MARKS | _DENIED:
            return None
        marked = cell[0].text in _MARKS
        if head == "?":
            return "?" if marked else None
        return "present" if marked == (head == "yes") else "absent"


def _cells(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start + 1 if text[start] == "|" else start
    while at < end:
        stop = text.find("|", at, end)
        stop = end if stop < 0 else stop
        yield at, stop
        at = stop + 1


def _answer(cell: Sequence[Word]) -> str:
    """What a cell answers by itself: "yes", "no", "?", or "" where it answers nothing."""
    texts = {word.text for word in cell}
    if not texts or len(cell) > 1:
        return ""
    if texts <= _DENIED:
        return "no"
    if texts <= _AFFIRMED:
        return "yes"
    return "?" if texts <= _ASKED else ""


def _known(cell: Sequence[Word], answer: str) -> bool:
    """Whether a first cell is that of a row, not of a head such as "Finding"."""
    if not cell:
        return False
    return bool(answer) or not {word.text for word in cell} & {
        *(
            "finding",
            "label",
            "sign",
            "feature",
            "item",
            "abnormality",
            "pathology",
            "observation",
            "condition",
        ),
        *("structure", "diagnosis", "parameter", "category", "organ", "region", "area"),
    }


def _dotted(text: str, start: int, end: int) -> list[Word]:
    """The words of a line, in which a tab or leaders may stand for the colon: "Pneumothorax ..... no"."""
    found = words(text, start, end)
    if end - start > 2 * _LONGEST_LABEL:
        return found
    lead = _LEADERS.search(text, start, end)
    if lead is None or lead.start() == start:
        return found
    after = [word for word in found if word.start >= lead.end()]
    if not 1 <= len(after) <= 3 or not _answer(after[:1]):
        return found
    before = [word for word in found if word.end <= lead.start()]
    return [*before, Word(":", lead.start(), lead.start()), *after]
