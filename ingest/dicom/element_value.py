"""The value of one element of a data set, for common VRs directly from its bytes: the conversion by pydicom
takes ten times as long, and rendering an image needs some thirty values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.tag import BaseTag

# Header values by keyword: text with backslashes between several values, or an integer.
Elements = Mapping[str, str | int]

_TEXTS = frozenset({"CS", "LO", "SH", "UI"})
_PARSED = {"DS": float, "IS": int}
_SHORTS = {"US": False, "SS": True}


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The value that pydicom gives, None if the element is absent; texts are `str` without the spaces around
    them, numbers `int` or `float`, and several of them a list.

    Raises whatever pydicom raises for a value that it cannot convert.
    """
    tag = _tag(keyword)
    held = dataset.keys()
    if tag not in held:  # of most; `get_item` takes ten times as long to say so
        return None
    element: DataElement | RawDataElement | None = dataset.get_item(tag)
    if element is None:
        return None
    plain = _plain_value(cast("RawDataElement", element)) if element.is_raw else None
    return dataset[tag].value if plain is None else plain


@cache
def _tag(keyword: str) -> BaseTag:
    from pydicom.tag import Tag

    return Tag(keyword)


def _plain_value(element: RawDataElement) -> Any:
    """The value of ASCII text, of numbers as text, and of one 16-bit number, None for any other."""
    vr, data = element.VR, element.value
    if not data or vr is None:
        return None
    if vr in _SHORTS:
        if len(data) != 2:
            return None
        return int.from_bytes(data, "little" if element.is_little_endian else "big", signed=_SHORTS[vr])
    if vr not in _TEXTS and vr not in _PARSED:
        return None
    text = data.decode("latin-1").rstrip(" \0")
    if not text.isascii() or not text.isprintable():  # an escape changes the character set (PS3.5 6.1.2.5.3)
        return None
    parts = text.split("\\")
    if vr in _TEXTS:
        texts = [part.strip() for part in parts]
        return texts[0] if len(texts) == 1 else texts
    try:
        numbers = [_PARSED[vr](part) for part in parts]
    except ValueError:
        return None
    return numbers[0] if len(numbers) == 1 else numbers
