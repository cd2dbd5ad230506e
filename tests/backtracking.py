"""A regular expression matched step by step, as `re` does it, so that its steps can be counted.

Works on the tree that Python's own parser makes of a pattern. `re` takes short cuts that this does not, so it
takes at most as many steps, up to a constant factor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from re import _constants as op
from re import _parser
from typing import Any

_CHARACTERS = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT)
_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    op.CATEGORY_SPACE: str.isspace,
    op.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    op.CATEGORY_DIGIT: str.isdecimal,
    op.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    op.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    op.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
}
Nodes = Sequence[tuple[Any, Any]]
Then = Callable[[int], bool]


class TooManyStepsError(Exception):
    """A match took more steps than it was allowed."""


class Stepper:
    """Matches one pattern, and counts in `steps`; texts of bytes patterns are given as latin-1."""

    def __init__(self, pattern: str | bytes, flags: int = 0) -> None:
        self.tree = _parser.parse(pattern, flags)
        self.flags: int = self.tree.state.flags
        self.steps = 0
        self._most = 0
        self._text = ""

    def search(self, text: str, most: int = 10**9) -> tuple[int, int] | None:
        """The first match, from any place on."""
        return next(self.found(text, most), None)

    def found(self, text: str, most: int = 10**9) -> Iterator[tuple[int, int]]:
        """All matches, from the left; those after an empty one begin behind the next character."""
        self._begin(text, most)
        at = 0
        while at <= len(text):
            end = self._end(at)
            if end is None:
                at += 1
                continue
            yield at, end
            at = max(end, at + 1)

    def match(self, text: str, most: int = 10**9, *, full: bool = False) -> int | None:
        """Where the match from the beginning ends, which must be the end of the text if `full`."""
        self._begin(text, most)
        return self._end(0, full=full)

    def _begin(self, text: str, most: int) -> None:
        self._text, self._most, self.steps = text, most, 0

    def _end(self, start: int, *, full: bool = False) -> int | None:
        ends: list[int] = []

        def last(at: int) -> bool:
            if full and at != len(self._text):
                return False
            ends.append(at)
            return True

        return ends[0] if self._run(self.tree, 0, start, self.flags, last) else None

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._most:
            raise TooManyStepsError

    def _run(self, nodes: Nodes, number: int, at: int, flags: int, then: Then) -> bool:
        while number < len(nodes) and nodes[number][0] in _CHARACTERS:
            self._step()
            if at >= len(self._text) or not accepts(nodes[number], self._text[at], flags):
                return False
            number, at = number + 1, at + 1
        if number == len(nodes):
            return then(at)
        self._step()
        kind, value = nodes[number]

        def rest(end: int) -> bool:
            return self._run(nodes, number + 1, end, flags, then)

        if kind in _REPEATS:
            return self._repeat(kind, value, at, flags, rest)
        if kind is op.BRANCH:
            return any(self._run(one, 0, at, flags, rest) for one in value[1])
        if kind is op.SUBPATTERN:
            _, added, taken, inner = value
            return self._run(inner, 0, at, (flags | added) & ~taken, rest)
        if kind is op.ATOMIC_GROUP:
            end = self._first(value, at, flags)
            return end is not None and rest(end)
        if kind in (op.ASSERT, op.ASSERT_NOT):
            return self._looks(value, at, flags) == (kind is op.ASSERT) and rest(at)
        if kind is op.AT:
            return self._is_at(value, at, flags) and rest(at)
        raise NotImplementedError(kind)

    def _first(self, nodes: Nodes, at: int, flags: int) -> int | None:
        """Where the first way to match ends."""
        ends: list[int] = []

        def take(end: int) -> bool:
            ends.append(end)
            return True

        return ends[0] if self._run(nodes, 0, at, flags, take) else None

    def _repeat(self, kind: Any, value: Any, at: int, flags: int, rest: Then) -> bool:
        least, most, body = value
        if kind is op.POSSESSIVE_REPEAT:
            count = 0
            while count < most and (end := self._first(body, at, flags)) is not None and end > at:
                count, at = count + 1, end
            return count >= least and rest(at)
        if len(body) == 1 and body[0][0] in _CHARACTERS:
            return self._run_of_one(kind, value, at, flags, rest)

        def again(count: int, here: int) -> bool:
            def more() -> bool:
                return count < most and self._run(
                    body, 0, here, flags, lambda end: end > here and again(count + 1, end)
                )

            if count < least:
                return more()
            return rest(here) or more() if kind is op.MIN_REPEAT else more() or rest(here)

        return again(0, at)

    def _run_of_one(self, kind: Any, value: Any, at: int, flags: int, rest: Then) -> bool:
        """A repeat of one character: its lengths, the longest first or last."""
        least, most, body = value
        if kind is op.MIN_REPEAT:
            for end in range(at, min(len(self._text), at + most) + 1):
                self._step()
                if end - at >= least and rest(end):
                    return True
                if end == len(self._text) or not accepts(body[0], self._text[end], flags):
                    return False
            return False
        end = at
        while end < min(len(self._text), at + most) and accepts(body[0], self._text[end], flags):
            self._step()
            end += 1
        return any(self._stepped(rest, place) for place in range(end, at + least - 1, -1))

    def _stepped(self, rest: Then, at: int) -> bool:
        self._step()
        return rest(at)

    def _looks(self, value: Any, at: int, flags: int) -> bool:
        direction, inner = value
        start = at if direction > 0 else at - inner.getwidth()[0]
        return start >= 0 and self._run(inner, 0, start, flags, lambda end: direction > 0 or end == at)

    def _is_at(self, place: Any, at: int, flags: int) -> bool:
        text = self._text
        before, after = text[at - 1 : at] if at else "", text[at : at + 1]
        if place in (op.AT_BOUNDARY, op.AT_NON_BOUNDARY):
            is_word = _CATEGORIES[op.CATEGORY_WORD]
            is_boundary = (bool(before) and is_word(before)) != (bool(after) and is_word(after))
            return is_boundary == (place is op.AT_BOUNDARY)
        of_line = bool(flags & re.MULTILINE)
        if place in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return not at or (of_line and place is op.AT_BEGINNING and before == "\n")
        if place is op.AT_END:
            return text[at:] in ("", "\n") or (of_line and after == "\n")
        return at == len(text)


def accepts(node: tuple[Any, Any], one: str, flags: int) -> bool:
    """Whether a node for one character takes `one`."""
    kind, value = node
    if kind is op.ANY:
        return one != "\n" or bool(flags & re.DOTALL)
    spelt = {one, one.lower(), one.upper()} if flags & re.IGNORECASE else {one}
    if kind is op.IN:
        negated = value[0][0] is op.NEGATE
        return any(_is_in(value[negated:], each) for each in spelt) != negated
    return any(ord(each) == value for each in spelt if len(each) == 1) == (kind is op.LITERAL)


def _is_in(members: Nodes, one: str) -> bool:
    for kind, value in members:
        if kind is op.CATEGORY:
            found = _CATEGORIES[value](one)
        elif kind is op.RANGE:
            found = len(one) == 1 and value[0] <= ord(one) <= value[1]
        else:
            found = len(one) == 1 and ord(one) == value
        if found:
            return True
    return False


def is_bounded(nodes: Nodes) -> bool:
    """Whether no repeat goes on without an end: such a pattern looks so far ahead at most from any place."""
    return all(kind not in _REPEATS or value[1] < op.MAXREPEAT for kind, value in everything(nodes))


def everything(nodes: Nodes) -> Iterator[tuple[Any, Any]]:
    """All nodes of a tree."""
    for node in nodes:
        yield node
        kind, value = node
        if kind is op.BRANCH:
            for one in value[1]:
                yield from everything(one)
        elif kind in (*_REPEATS, op.SUBPATTERN, op.ASSERT, op.ASSERT_NOT):
            yield from everything(value[-1])
        elif kind is op.ATOMIC_GROUP:
            yield from everything(value)
