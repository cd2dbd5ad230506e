"""Checks of arguments that Python itself would take for something else, and say nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def several(name: str, values: Iterable[Item]) -> list[Item]:
    """The values of an argument that takes several.

    Raises TypeError for one string or path: to Python a string is a sequence of its letters.
    """
    if isinstance(values, str | bytes | os.PathLike):
        raise TypeError(f"{name} takes a list, not one {type(values).__name__}: write [{values!r}]")
    return list(values)


def one_of(**given: Any) -> None:
    """Raise TypeError unless exactly one argument is given: neither None nor empty."""
    present = [name for name, value in given.items() if not _is_missing(value)]
    if len(present) != 1:
        what = f"not {' and '.join(present)} together" if present else "none was given"
        raise TypeError(f"give exactly one of {', '.join(given)}: {what}")


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, Sequence) and not isinstance(value, str) and not len(value))
