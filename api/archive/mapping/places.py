"""Where on a map a text or a stored image belongs: by its true neighbours, never by the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.maps import MapPlace, PlacedCase
from medsiglip.api.archive.mapping.shown import ShownMap, map_points
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.similar.search import search
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import Hit
    from medsiglip.index.vectors import Vectors

MOST_NEIGHBOURS = 50


@in_one_space
def map_place(
    archive: OpenedArchive,
    *,
    text: str | None = None,
    image_id: int | None = None,
    k: int = 10,
    level: str = "study",
    version: int | None = None,
) -> MapPlace:
    """The `k` nearest in truth of a text, or of the case at the map's level that a stored image is of, and
    where they stand on the map. Raises ServiceError `one-of`, `empty-text`, `bad-number`, `no-map` or
    `unknown-map`, and CatalogError `unknown-image`.
    """
    if (text is None) == (image_id is None):
        raise ServiceError("one-of", "give either a text or a stored image.")
    if not 1 <= k <= MOST_NEIGHBOURS:
        raise ServiceError("bad-number", f"ask for 1 to {MOST_NEIGHBOURS} neighbours, not for {k}.")
    shown = map_points(archive, level=level, version=version)
    if text is not None:
        found = search(archive, text=text, k=k, level=shown.record.level)
        cases = [(one.image_id, one.study_instance_uid, one.score) for one in found.hits]
        warnings = tuple(found.warnings)
    else:
        assert image_id is not None
        hits = _nearest(archive, shown, image_id, k)
        cases = [(one.image_id, one.study_instance_uid, one.score) for one in hits]
        warnings = ()
    return _placed(archive, shown, cases, image_id, warnings)


def _nearest(archive: OpenedArchive, shown: ShownMap, image_id: int, k: int) -> list[Hit]:
    """The k nearest of the row that an image is of, without itself."""
    level, image_id = shown.record.level, archive.index.get(image_id).image_id
    [row] = archive.index.instances.rows_of_images(level, [image_id]).tolist()
    table = archive.index.table(level, [f"image_id={image_id}"])
    hits = archive.index.search(table.vectors[:1], k=k + 1, level=level)[0]
    rows = archive.index.instances.rows_of_images(level, [one.image_id for one in hits])
    return [one for one, theirs in zip(hits, rows.tolist(), strict=True) if theirs != row][:k]


def _placed(
    archive: OpenedArchive,
    shown: ShownMap,
    cases: list[tuple[int, str, float]],
    image_id: int | None,
    warnings: tuple[str, ...],
) -> MapPlace:
    level = shown.record.level
    rows = archive.index.instances.rows_of_images(level, [one[0] for one in cases])
    points = shown.points.row_ids
    places = np.minimum(np.searchsorted(points, rows), max(len(points) - 1, 0))
    held = points[places] == rows if len(points) else np.zeros(len(rows), bool)
    neighbours = []
    for (image, study, score), place, is_held in zip(cases, places.tolist(), held.tolist(), strict=True):
        x, y = shown.places[place].tolist() if is_held else (None, None)
        index = place if is_held else None
        shown_image = int(shown.image_ids[place]) if is_held else image
        neighbours.append(
            PlacedCase(index=index, x=x, y=y, image_id=shown_image, study_instance_uid=study, score=score)
        )
    if not held.all():
        missing = int((~held).sum())
        warnings = (*warnings, f"{missing} of the nearest are not on this map: make it again to see them")
    x, y, scatter = _middle(shown.places[places[held]])
    own_study = None
    if image_id is not None:
        own_study = archive.index.get(image_id).study_instance_uid
        x, y = _own_place(archive, shown, image_id)
    return MapPlace(
        level=level,
        version=shown.record.version,
        study_instance_uid=own_study,
        x=x,
        y=y,
        scatter=scatter,
        neighbours=tuple(neighbours),
        warnings=warnings,
    )


def _own_place(archive: OpenedArchive, shown: ShownMap, image_id: int) -> tuple[float | None, float | None]:
    level, points = shown.record.level, shown.points.row_ids
    stored = archive.index.get(image_id).image_id
    row = archive.index.instances.rows_of_images(level, [stored])[0]
    place = int(np.searchsorted(points, row))
    if place == len(points) or points[place] != row:
        return None, None
    x, y = shown.places[place].tolist()
    return x, y


def _middle(places: Vectors) -> tuple[float | None, float | None, float | None]:
    """The place [2] of that point which is nearest to all others, and their median distance from it."""
    if not len(places):
        return None, None, None
    apart = np.linalg.norm(places[:, None].astype(np.float64) - places[None], axis=2)
    best = int(apart.sum(axis=1).argmin())
    others = np.delete(apart[best], best)
    x, y = places[best].tolist()
    return x, y, float(np.median(others)) if len(others) else 0.0
