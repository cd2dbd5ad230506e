"""Labels in the columns of a CSV: `label`, a class name, and `label:<name>`, 1, 0 or nothing for unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

CLASS_COLUMN = "label"
LABEL_PREFIX = "label:"
MAX_NAME = 4096
"""Characters of a label's name, here as over HTTP."""
_VALUES = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0}


class LabelColumnError(ValueError):
    """A bad column; `str()` is a clause to follow file and line.

    It never quotes a field: the column may hold names.
    """


class GivenLabel(NamedTuple):
    """One field. `is_class`: the name is one class of several, from column `label`."""

    name: str
    value: float
    is_class: bool


def label_columns(header: Iterable[str]) -> list[str]:
    """The columns with labels. Raises `LabelColumnError` for one without a label name."""
    columns = [name for name in header if name == CLASS_COLUMN or name.startswith(LABEL_PREFIX)]
    for column in columns:
        name = label_name(column)
        if not name:
            raise LabelColumnError(f"has a column `{column}` without a name")
        if len(name) > MAX_NAME:
            raise LabelColumnError(f"has a column for a label of more than {MAX_NAME} characters")
    return columns


def label_name(column: str) -> str:
    """The label of a column of values."""
    return column.removeprefix(LABEL_PREFIX).strip()


def given_labels(row: Mapping[str, str], columns: Collection[str]) -> Iterator[GivenLabel]:
    """The labels of a row; `row` holds the fields that are present, so that short rows of a wide table are
    cheap. Raises `LabelColumnError` for a value other than 0, 1 and nothing.
    """
    for column, field in row.items():
        text = field.strip() if column in columns else ""
        if not text:
            continue
        if column == CLASS_COLUMN:
            if len(text) > MAX_NAME:
                raise LabelColumnError(f"has a label of more than {MAX_NAME} characters")
            yield GivenLabel(text, 1.0, True)
        elif text in _VALUES:
            yield GivenLabel(label_name(column), _VALUES[text], False)
        else:
            shown = column if len(column) <= 80 else f"{column[:80]}..."
            raise LabelColumnError(f"has another value than 0, 1 or nothing in column `{shown}`")
