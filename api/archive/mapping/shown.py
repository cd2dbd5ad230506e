"""What a map shows: its summary, its points, and their colours."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.maps import KeptMap, Map, MapColours, MapList
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.storage.map_store import MapRecord
    from medsiglip.index.storage.maps.map_file import MapPoints
    from medsiglip.index.vectors import Ids, Vectors

KEPT = "neighbours_kept"
UNKNOWN = 255
HIGHEST = 250
_MOST_NAMES = 20
OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class ShownMap:
    """The points of a map that are still there, with the image that stands for each, `image_ids` int64
    [n]."""

    record: MapRecord
    points: MapPoints
    image_ids: Ids

    @property
    def places(self) -> Vectors:
        """Float32 [n, 2], within -1 and 1."""
        return self.points.places


def map_points(archive: OpenedArchive, *, level: str = "study", version: int | None = None) -> ShownMap:
    """The points of a map of the archive's own space, without a version the newest. Raises ServiceError
    `bad-level`, `no-map` or `unknown-map`, and CatalogError `map-gone`.
    """
    return _opened(archive, _found(archive, level, version))


def show_map(archive: OpenedArchive, *, level: str = "study", version: int | None = None) -> Map:
    """What is known of a map; raises as `map_points` does."""
    return map_answer(archive, _found(archive, level, version))


def list_maps(archive: OpenedArchive) -> MapList:
    """The maps that are kept, of the archive's own space."""
    if archive.index.space is None:
        return MapList(maps=())
    return MapList(
        maps=tuple(
            KeptMap(
                level=one.level,
                version=one.version,
                points=one.summary["left"],
                created_at=one.created_at,
            )
            for one in archive.index.maps.listed()
        )
    )


def _found(archive: OpenedArchive, level: str, version: int | None) -> MapRecord:
    wanted = level_named(level)
    record = archive.index.maps.find(wanted, version)
    if record is None and version is not None:
        raise ServiceError(
            "unknown-map",
            f"there is no map {version} at level {wanted}: the newest three of a level are kept.",
        )
    if record is None:
        raise ServiceError(
            "no-map", f"no map at level {wanted} was made yet: `map make --level {wanted}` makes one."
        )
    return record


def _opened(archive: OpenedArchive, record: MapRecord) -> ShownMap:
    points = archive.index.maps.points(record)
    image_ids = archive.index.points.images_of(record.level, points.row_ids)
    gone = points.row_ids[image_ids == 0]
    if len(gone):
        points, image_ids = points.without(gone), image_ids[image_ids != 0]
    return ShownMap(record, points, image_ids)


def map_answer(archive: OpenedArchive, record: MapRecord) -> Map:
    """What is known of a map, and what its points may be coloured by."""
    from medsiglip.index.browsing.point_values import COLUMNS

    shown, summary = _opened(archive, record), record.summary
    values = archive.index.points
    fields: dict[str, tuple[str, ...]] = {}
    for field, texts in values.texts(tuple(COLUMNS), shown.image_ids).items():
        if names := _names(texts):
            fields[field] = names
    fields[KEPT] = ()
    fields |= {f"label:{name}": ("yes", "no") for name in values.label_names()}
    fields |= {f"probe:{one.probe}/{one.label}": () for one in values.scored_labels()}
    there, made = len(shown.image_ids), int(summary["points"])
    outdated = there != made or archive.index.maps.newest_image() != int(summary["newest"])
    return Map(
        version=record.version,
        level=record.level,
        points=there,
        rows=summary["rows"],
        method=summary["method"],
        seed=summary["seed"],
        neighbours=summary["neighbours"],
        neighbours_kept=summary["neighbours_kept"],
        trustworthiness=summary["trustworthiness"],
        fields=fields,
        created_at=record.created_at,
        outdated=outdated,
        space=record.space,
        warnings=tuple(_warnings(made, int(summary["rows"]), outdated)),
    )


def _warnings(made: int, rows: int, outdated: bool) -> list[str]:
    found = []
    if made < rows:
        found.append(f"the map shows {made} of {rows}, spread evenly over all")
    if outdated:
        found.append("images came or went since the map was made: make it again to see them")
    return found


def _names(texts: list[str | None]) -> tuple[str, ...]:
    counted = Counter(one for one in texts if one is not None)
    best = sorted(counted, key=lambda name: (-counted[name], name))
    return tuple(best) if len(best) <= _MOST_NAMES else (*best[: _MOST_NAMES - 1], OTHER)


def map_colours(
    archive: OpenedArchive, field: str, *, level: str = "study", version: int | None = None
) -> MapColours:
    """What the points of a map have of a field: one that the map names. Raises ServiceError `unknown-field`,
    and as `map_points` does.
    """
    from medsiglip.index.browsing.point_values import COLUMNS

    shown = map_points(archive, level=level, version=version)
    rows, values = shown.points.row_ids, archive.index.points
    kind, _, name = field.partition(":")
    if field in COLUMNS:
        return _categories(shown, field, values.texts((field,), shown.image_ids)[field])
    if field == KEPT:
        return _numbers(shown, field, shown.points.kept.astype(np.float64), 0.0, 1.0)
    if kind == "label" and name in values.label_names():
        held = values.labels(shown.record.level, name, rows)
        texts = [None if np.isnan(one) else ("yes" if one > 0.5 else "no") for one in held.tolist()]
        return _categories(shown, field, texts)
    for one in values.scored_labels():
        if field == f"probe:{one.probe}/{one.label}":
            return _numbers(shown, field, values.scores(shown.record.level, one, rows), 0.0, 1.0)
    raise ServiceError(
        "unknown-field",
        f"points cannot be coloured by {excerpt(field)}: `map show` lists the fields.",
    )


def _categories(shown: ShownMap, field: str, texts: list[str | None]) -> MapColours:
    names = _names(texts)
    has_other = len(set(texts) - {None}) > len(names)
    place = {name: code for code, name in enumerate(names)}
    rest = len(names) - 1 if has_other else UNKNOWN
    codes = np.array([UNKNOWN if one is None else place.get(one, rest) for one in texts], np.uint8)
    counts = np.bincount(codes, minlength=256)
    return MapColours(
        level=shown.record.level,
        version=shown.record.version,
        field=field,
        kind="category",
        names=names,
        counts=tuple(counts[: len(names)].tolist()),
        unknown=int(counts[UNKNOWN]),
        codes=b64encode(codes.tobytes()).decode("ascii"),
    )


def _numbers(shown: ShownMap, field: str, values: Floats, low: float, high: float) -> MapColours:
    known = ~np.isnan(values)
    share = np.clip((np.where(known, values, low) - low) / (high - low), 0, 1)
    codes = np.where(known, np.round(share * HIGHEST), UNKNOWN).astype(np.uint8)
    return MapColours(
        level=shown.record.level,
        version=shown.record.version,
        field=field,
        kind="number",
        unknown=int((~known).sum()),
        low=low,
        high=high,
        codes=b64encode(codes.tobytes()).decode("ascii"),
    )
