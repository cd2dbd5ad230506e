"""The images, series and studies of the active space as arrays, from which values are counted quickly.

A catalogue would read all rows anew for each of a dozen fields, and again for each filter. The arrays are as
the catalogue's `version` says; of a newer one, the images that came are read and the rest is kept, for rows
of images never change and their ids rise.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from medsiglip.index.browsing.browsing_records import QUALITY_MARKS
from medsiglip.index.catalogue.rows import row_ids
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, home, images, series, studies

Ids = NDArray[np.int64]
Places = NDArray[np.int32]
Mask = NDArray[np.bool_]
BURNED_IN = ("", "yes", "likely", "no")
"""What `quality.burned_in` says, by the code in `ImageColumns.burned_in`; '' for nothing or another word."""
_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class ImageColumns:
    """Of each image, by its id ascending: row ids int64 [n] of its series and study; `marks` uint8 [n] has
    bit i set for `QUALITY_MARKS[i]`, `burned_in` uint8 [n] is a code of `BURNED_IN`.
    """

    ids: Ids
    series: Ids
    study: Ids
    marks: NDArray[np.uint8]
    burned_in: NDArray[np.uint8]


@dataclass(frozen=True)
class ArchiveColumns:
    """One state of the catalogue. `series_study` and `image_series` hold places in `series_ids` and
    `study_ids`, int32; `texts` what rows have of a column, None for nothing.
    """

    version: int
    space_id: int | None
    images: ImageColumns
    series_ids: Ids
    study_ids: Ids
    image_series: Places
    image_study: Places
    series_study: Places
    texts: Mapping[str, Sequence[Any]]

    @cached_property
    def every(self) -> Mask:
        """All images, bool [n]."""
        return np.ones(len(self.images.ids), bool)

    def studies_of(self, chosen: Mask) -> Mask:
        """The studies, bool [s], of which an image is chosen."""
        return _marked(len(self.study_ids), self.image_study[chosen])

    def series_of(self, chosen: Mask) -> Mask:
        """The series, bool [s], of which an image is chosen."""
        return _marked(len(self.series_ids), self.image_series[chosen])


def _marked(count: int, places: Places) -> Mask:
    marked = np.zeros(count, bool)
    marked[places] = True
    return marked


class ColumnsHolder:
    """The columns of one catalogue, read when they are first asked for. Safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: ArchiveColumns | None = None

    def of(self, connection: Connection) -> ArchiveColumns:
        """The columns as this connection sees the catalogue."""
        version, space_id = connection.execute(select(home.c.version, home.c.space_id)).one()
        held = self._held
        if held is not None and (held.version, held.space_id) == (version, space_id):
            return held
        with self._lock:
            held = self._held
            if held is None or (held.version, held.space_id) != (version, space_id):
                held = _read(connection, version, space_id, held)
                if self._held is None or self._held.version < version:
                    self._held = held
            return held


def _read(
    connection: Connection, version: int, space_id: int | None, earlier: ArchiveColumns | None
) -> ArchiveColumns:
    same = earlier is not None and earlier.space_id == space_id and earlier.version < version
    found = _images(connection, earlier.images if earlier is not None and same else _NONE)
    codes = (func.upper(series.c.modality), func.upper(series.c.body_part_examined))
    of_series = (series.c.id, series.c.study_id, *codes)
    series_rows = _columns(connection, select(*of_series).order_by(series.c.id), 4)
    facts = (func.upper(studies.c.patient_sex), studies.c.patient_age, studies.c.study_date)
    of_studies = (studies.c.id, *facts)
    study_rows = _columns(connection, select(*of_studies).order_by(studies.c.id), 4)
    series_ids, study_ids = np.array(series_rows[0], np.int64), np.array(study_rows[0], np.int64)
    return ArchiveColumns(
        version=version,
        space_id=space_id,
        images=found,
        series_ids=series_ids,
        study_ids=study_ids,
        image_series=np.searchsorted(series_ids, found.series).astype(np.int32),
        image_study=np.searchsorted(study_ids, found.study).astype(np.int32),
        series_study=np.searchsorted(study_ids, np.array(series_rows[1], np.int64)).astype(np.int32),
        texts={
            "modality": series_rows[2],
            "body_part_examined": series_rows[3],
            "sex": study_rows[1],
            "age": study_rows[2],
            "date": study_rows[3],
        },
    )


def _columns(connection: Connection, statement: Any, count: int) -> Sequence[Sequence[Any]]:
    """The columns of what a statement selects, as the driver gives them."""
    with connection.execute(statement) as result:
        rows = result.cursor.fetchall() if result.cursor is not None else ()
    return list(zip(*rows, strict=True)) or [()] * count


_EMPTY = np.empty(0, np.int64)
_NONE = ImageColumns(_EMPTY, _EMPTY, _EMPTY, np.empty(0, np.uint8), np.empty(0, np.uint8))


def _images(connection: Connection, earlier: ImageColumns) -> ImageColumns:
    """The images of the active space, of which `earlier` need not be read where none of them is gone."""
    count = connection.execute(select(func.count()).where(images.c.space_id == ACTIVE_SPACE)).scalar_one()
    newest = int(earlier.ids[-1]) if len(earlier.ids) else 0
    came = _newer_images(connection, newest)
    if len(earlier.ids) + len(came.ids) != count:
        earlier = _kept(connection, earlier, newest)
    parts = zip(_fields(earlier), _fields(came), strict=True)
    return ImageColumns(*(np.concatenate(pair) for pair in parts))


def _kept(connection: Connection, earlier: ImageColumns, newest: int) -> ImageColumns:
    """Those of the earlier images that are still there."""
    there = row_ids(
        connection, select(images.c.id).where(images.c.space_id == ACTIVE_SPACE, images.c.id <= newest)
    )
    keep = np.isin(earlier.ids, there)
    return ImageColumns(*(one[keep] for one in _fields(earlier)))


def _fields(columns: ImageColumns) -> tuple[NDArray[Any], ...]:
    return columns.ids, columns.series, columns.study, columns.marks, columns.burned_in


def _newer_images(connection: Connection, newest: int) -> ImageColumns:
    owners = select(images.c.id, images.c.series_id, images.c.study_id)
    newer = (images.c.space_id == ACTIVE_SPACE, images.c.id > newest)
    table = row_ids(connection, owners.where(*newer).order_by(images.c.id)).reshape(-1, 3)
    codes = np.fromiter(_quality_codes(connection, newer), np.uint16)
    return ImageColumns(
        table[:, 0].copy(),
        table[:, 1].copy(),
        table[:, 2].copy(),
        (codes & 0xFF).astype(np.uint8),
        (codes >> 8).astype(np.uint8),
    )


def _quality_codes(connection: Connection, newer: Sequence[Any]) -> Iterator[int]:
    """Marks, and the code of `burned_in` above them, of each image."""
    statement = select(images.c.quality).where(*newer).order_by(images.c.id)
    with connection.execute(statement, execution_options={"yield_per": _ROWS}) as result:
        for quality in result.scalars():
            word = quality.get("burned_in")
            code = BURNED_IN.index(word) << 8 if word in BURNED_IN else 0
            for bit, name in enumerate(QUALITY_MARKS):
                value = quality.get(name)
                if value and (value == "1" or (value == 1 and value is not True)):
                    code |= 1 << bit
            yield code
