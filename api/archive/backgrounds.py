"""What is measured of an archive's own scores when it is first needed: kept by the process, and its numbers
in the catalogue. It is measured again when the archive has grown or shrunk by a fifth, and when a case is
deleted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.storage.backgrounds import BackgroundRecord

Value = TypeVar("Value")
# A background is measured again when the number of images has changed by more than this part.
_CHANGE = 0.2
_MOST_KEPT = 32
_PATIENCE_SECONDS = 10.0
_NOT_STORED = ("read-only-home", "catalog-busy", "disk-full")


class Storable(Protocol):
    """A background that is stored as numbers."""

    def to_json(self) -> dict[str, Any]:
        """What is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of background: its name in the catalogue, and how it is measured and read. Measuring gives None
    where the archive has too little for it.
    """

    name: str
    measure: Callable[[], Storable | None]
    read: Callable[[Mapping[str, Any]], Storable]


@dataclass(frozen=True, slots=True)
class _Kept:
    row_id: int | None
    images: int
    value: Storable | None


class Backgrounds:
    """The backgrounds of one archive, for any number of threads. Each is measured by one of them; others wait
    for it a little, and then do without, as a large model may take minutes on a processor.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._measuring: dict[tuple[str, str], threading.Event] = {}
        self._lock = threading.Lock()

    def of(self, index: CaseIndex, space: str, kind: Kind, images: int) -> Storable | None:
        """The background of a kind of scores in a space, by its name, that holds so many images; None where
        there is none, or where another thread is measuring it still.
        """
        key = (space, kind.name)
        with self._lock:
            other = self._measuring.get(key)
            if other is None:
                self._measuring[key] = threading.Event()
        if other is not None:
            other.wait(_PATIENCE_SECONDS)
            kept = self._kept.get(key)
            return None if kept is None or not _is_near(kept.images, images) else kept.value
        try:
            kept = self._found(index, space, kind, images) or _measured(index, space, kind, images)
            with self._lock:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
            return kept.value
        finally:
            with self._lock:
                self._measuring.pop(key).set()

    def _found(self, index: CaseIndex, space: str, kind: Kind, images: int) -> _Kept | None:
        """What is known and still holds."""
        record = index.backgrounds.get(space, kind.name)
        kept = self._kept.get((space, kind.name))
        row_id = None if record is None else record.row_id
        if kept is not None and kept.row_id == row_id and _is_near(kept.images, images):
            # One that could not be stored: whether a case was deleted since, only the number tells.
            return kept if record is not None or kept.images == images else None
        return None if record is None else _read(kind, record, images)


def _read(kind: Kind, record: BackgroundRecord, images: int) -> _Kept | None:
    try:
        measured = int(record.summary["images"])
        if not _is_near(measured, images):
            return None
        content = record.summary["content"]
        value = None if content is None else kind.read(content)
    except (KeyError, TypeError, ValueError):
        return None
    return _Kept(record.row_id, measured, value)


def _measured(index: CaseIndex, space: str, kind: Kind, images: int) -> _Kept:
    from medsiglip.index.errors import CatalogError

    value = kind.measure()
    summary = {"images": images, "content": None if value is None else value.to_json()}
    try:
        stored = index.backgrounds.put(space, kind.name, summary)
    except CatalogError as error:
        if error.code not in _NOT_STORED:
            raise
        stored = None
    return _Kept(None if stored is None else stored.row_id, images, value)


def _is_near(measured: int, images: int) -> bool:
    return abs(images - measured) <= _CHANGE * measured
