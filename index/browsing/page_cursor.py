"""The cursor of a page of cases: the place of its last case, bound to its sort and filters."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from medsiglip.index.errors import CatalogError

Key = str | float | int | datetime | None
LONGEST = 1024
"""The most characters of a cursor."""
_LONGEST_TEXT = 256
_MOMENT = "at:"
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Place:
    """The value that cases are sorted by, and the row id, of a study."""

    key: Key
    study_id: int


def cursor_of(place: Place, sort: str, where: Sequence[str]) -> str:
    """The cursor that goes on behind a place: letters, digits, `-` and `_`."""
    key = _MOMENT + place.key.isoformat() if isinstance(place.key, datetime) else place.key
    body = json.dumps([_digest(sort, where), key, place.study_id], separators=(",", ":"))
    return urlsafe_b64encode(body.encode()).decode("ascii").rstrip("=")


def place_of(cursor: str, sort: str, where: Sequence[str], kind: type) -> Place:
    """The place that a cursor of the same sort and filters stands for; `kind` is the type of its key.

    Raises `CatalogError` `bad-cursor`.
    """
    try:
        if len(cursor) > LONGEST or not cursor.isascii():
            raise ValueError
        digest, key, study_id = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        place = Place(_checked(key, kind), study_id)
        if type(study_id) is not int or not 0 < study_id < 2**63:
            raise ValueError
    # The moments at the ends of the calendar overflow in another time zone.
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise CatalogError(
            "bad-cursor", "The cursor cannot be read: give it as it came with an answer, or ask without one."
        ) from None
    if digest != _digest(sort, where):
        raise CatalogError(
            "bad-cursor",
            "The cursor belongs to another sort or to other filters: repeat the question that it came with, "
            "or ask without a cursor.",
        )
    return place


def _checked(key: object, kind: type) -> Key:
    """The key of a cursor; raises ValueError for one of another type."""
    if key is None and kind is not int:
        return None
    if kind is datetime and isinstance(key, str) and key.startswith(_MOMENT):
        moment = datetime.fromisoformat(key.removeprefix(_MOMENT))
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    if kind is str and isinstance(key, str) and len(key) <= _LONGEST_TEXT and key.isprintable():
        return key
    if isinstance(key, bool) or not isinstance(key, int | float):
        raise ValueError
    if kind is float and abs(key) < _LARGEST:
        return float(key)
    if kind is int and isinstance(key, int) and 0 <= key < 2**63:
        return key
    raise ValueError


def _digest(sort: str, where: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([sort, list(where)]).encode()).hexdigest()[:16]
