"""The columns of a Milvus collection, and values as they are stored there.

Versions before 2.5 have no NULL, and a text has a longest length. So what is absent has a value that nothing
else has, and a text that cannot be compared as SQL does (too long, or with letters whose case depends on the
database) is stored as `UNCLEAR`, which every condition lets pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.index.catalogue.filters import FIELDS as FILTERS
from medsiglip.index.engines.engine import FIELDS, Collection, FieldKind

if TYPE_CHECKING:
    from pymilvus import CollectionSchema

ID, VECTOR = "id", "vector"
UNCLEAR = "\x01"
ABSENT_WHOLE = -(2**62)
ABSENT_NUMBER = -1.5e308
LONGEST = 256
"""The most bytes of a text."""
CODES = frozenset(name for name, (_, kind) in FILTERS.items() if kind == "code")
"""The fields that are compared without regard to case."""

Value = int | float | str


def schema_of(collection: Collection) -> CollectionSchema:
    """The schema of a collection."""
    from pymilvus import CollectionSchema, DataType, FieldSchema

    types = {"whole": DataType.INT64, "number": DataType.DOUBLE, "text": DataType.VARCHAR}
    fields = [
        FieldSchema(ID, DataType.INT64, is_primary=True, auto_id=False),
        FieldSchema(VECTOR, DataType.FLOAT_VECTOR, dim=collection.dimension),
    ]
    for name, kind in FIELDS[collection.level].items():
        more = {"max_length": LONGEST} if kind == "text" else {}
        fields.append(FieldSchema(name, types[kind], **more))
    return CollectionSchema(fields, enable_dynamic_field=False)


def stored(name: str, kind: FieldKind, values: Sequence[int | float | str | None]) -> list[Value]:
    """The values of a field as the collection has them."""
    if kind == "text":
        return [stored_text(name, "" if value is None else str(value)) for value in values]
    if kind == "whole":
        return [ABSENT_WHOLE if value is None else int(value) for value in values]
    return [ABSENT_NUMBER if value is None else float(value) for value in values]


def stored_text(name: str, text: str) -> str:
    """A text, in capitals where its case does not count."""
    if name in CODES:
        text = text.upper() if text.isascii() else UNCLEAR
    return text if len(text.encode("utf-8", "replace")) <= LONGEST and "\0" not in text else UNCLEAR
