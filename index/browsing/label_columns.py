"""Which images have a label as 1, for all names at once: of each image the most specific value counts, as for
the filter `label:NAME=1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, select

from medsiglip.index.browsing.archive_columns import ArchiveColumns, Mask
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, instances, labels, series, studies


class _Given(NamedTuple):
    """Labels that were given to rows: places of the rows, codes of names, and whether the value is 1."""

    places: NDArray[np.int64]
    names: NDArray[np.int64]
    positive: Mask


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Names, and who has them as 1: places of studies int64 [n] with codes of names, for names that are given
    to whole studies only, and places of images with codes of names for all others.
    """

    names: Sequence[str]
    studies: NDArray[np.int64]
    study_names: NDArray[np.int64]
    images: NDArray[np.int64]
    image_names: NDArray[np.int64]

    def counts(self, columns: ArchiveColumns, chosen: Mask) -> NDArray[np.int64]:
        """How many studies have an image that is chosen and has the label as 1, int64 [names]."""
        held = columns.studies_of(chosen)
        found = np.bincount(self.study_names[held[self.studies]], minlength=len(self.names))
        passing = chosen[self.images]
        pairs = columns.image_study[self.images[passing]].astype(np.int64) * max(len(self.names), 1)
        pairs = np.unique(pairs + self.image_names[passing])
        return found + np.bincount(pairs % max(len(self.names), 1), minlength=len(self.names))


def label_columns(connection: Connection, columns: ArchiveColumns) -> LabelColumns:
    """The labels of all images of the columns."""
    codes: dict[str, int] = {}
    of_study, of_series = (_given(connection, _of_owner(level), codes) for level in ("study", "series"))
    by_uid, by_pixels = (_given(connection, _of_images(exact), codes) for exact in (False, True))
    inner = _named(len(codes), (of_series, by_uid, by_pixels))
    whole = ~inner[of_study.names]
    places, is_there = _places(columns.study_ids, of_study.places)
    own = whole & of_study.positive & is_there
    nearest = [
        _at_images(columns.images.ids, by_pixels),
        _at_images(columns.images.ids, by_uid),
        _expanded(columns.series_ids, columns.image_series, of_series),
        _expanded(columns.study_ids, columns.image_study, _chosen(of_study, ~whole)),
    ]
    together = _Given(
        np.concatenate([one.places for one in nearest]),
        np.concatenate([one.names for one in nearest]),
        np.concatenate([one.positive for one in nearest]),
    )
    # Of equal keys `unique` gives the first, which is the most specific.
    keys = together.places * max(len(codes), 1) + together.names
    _, first = np.unique(keys, return_index=True)
    first = first[together.positive[first]]
    return LabelColumns(
        tuple(codes), places[own], of_study.names[own], together.places[first], together.names[first]
    )


def _chosen(given: _Given, mask: Mask) -> _Given:
    return _Given(given.places[mask], given.names[mask], given.positive[mask])


def _named(count: int, parts: Sequence[_Given]) -> Mask:
    named = np.zeros(count, bool)
    for part in parts:
        named[part.names] = True
    return named


def _of_owner(level: str) -> Select[Any]:
    uid = {"study": studies.c.study_instance_uid, "series": series.c.series_instance_uid}[level]
    joined = uid.table.join(labels, and_(labels.c.level == level, labels.c.uid == uid))
    statement = select(uid.table.c.id, labels.c.name, labels.c.value).select_from(joined)
    return statement.where(labels.c.pixel_hash == "")


def _of_images(exact: bool) -> Select[Any]:
    of_file = labels.c.pixel_hash == (instances.c.pixel_hash if exact else "")
    same = and_(labels.c.level == "instance", labels.c.uid == instances.c.sop_instance_uid, of_file)
    source = labels.join(instances, same).join(images, images.c.instance_id == instances.c.id)
    statement = select(images.c.id, labels.c.name, labels.c.value).select_from(source)
    return statement.where(images.c.space_id == ACTIVE_SPACE)


def _given(connection: Connection, statement: Select[Any], codes: dict[str, int]) -> _Given:
    with connection.execute(statement) as result:
        rows = result.cursor.fetchall() if result.cursor is not None else ()
    return _Given(
        np.fromiter((row[0] for row in rows), np.int64, len(rows)),
        np.fromiter((codes.setdefault(row[1], len(codes)) for row in rows), np.int64, len(rows)),
        np.fromiter((row[2] == 1 for row in rows), bool, len(rows)),
    )


def _places(ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], Mask]:
    """Where ids stand among `ids`, ascending, and whether they do."""
    places = np.searchsorted(ids, wanted)
    clipped = np.minimum(places, max(len(ids) - 1, 0))
    return places, (ids[clipped] == wanted) if len(ids) else np.zeros(len(wanted), bool)


def _at_images(ids: NDArray[np.int64], given: _Given) -> _Given:
    places, is_there = _places(ids, given.places)
    return _Given(places[is_there], given.names[is_there], given.positive[is_there])


def _expanded(ids: NDArray[np.int64], owner: NDArray[np.int32], given: _Given) -> _Given:
    """What was given to rows, for each of their images."""
    places, is_there = _places(ids, given.places)
    places, names, positive = places[is_there], given.names[is_there], given.positive[is_there]
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(len(ids) + 1))
    counts = np.diff(first)[places]
    ends = np.cumsum(counts)
    within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
    return _Given(
        order[np.repeat(first[:-1][places], counts) + within],
        np.repeat(names, counts),
        np.repeat(positive, counts),
    )
