"""Counts the lines of Python that a call runs, and compares how they grow with what was given.

What is written in C is not seen: regular expressions are looked at by `test_patterns.py`, and a method of a
text that is called once for each line costs no more than the text.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

SIZES = (250, 500, 1000, 2000)
SLACK = 1.5
"""By how much more than the text its work may grow: room for a logarithm. A square grows eight times more."""
_FIXED = 400
_MOST = 3_000_000


class TooMuchWorkError(BaseException):
    """A call ran more lines than any linear one would."""


def refusal(call: Callable[[], object]) -> Exception | None:
    """The error of ours, which has a `code`, that a call raises, if any."""
    try:
        call()
    except Exception as error:
        if not hasattr(error, "code"):
            raise
        return error
    return None


def lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python run until `call` returns, or refuses what it was given."""
    count = 0

    def trace(_frame: FrameType, event: str, _given: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count > _MOST:
                raise TooMuchWorkError
        return trace

    former = sys.gettrace()
    gc.disable()  # what it ends, such as connections of other tests, would be counted, too
    sys.settrace(trace)
    try:
        refusal(call)
    finally:
        sys.settrace(former)
        gc.enable()
    return count


def check_growth(
    make: Callable[[int], Any], work: Callable[[Any], object], sizes: Sequence[int] = SIZES
) -> None:
    """That `work` on what `make` gives for a size runs lines in proportion to the size."""

    def count(size: int) -> int:
        given = make(size)
        return lines_run(lambda: work(given))

    count(sizes[0])  # what is imported and cached at the first call is no work of the next
    counts = [count(size) for size in sizes]
    for size, found in zip(sizes[1:], counts[1:], strict=True):
        assert found <= SLACK * size / sizes[0] * counts[0] + _FIXED, (sizes, counts)
