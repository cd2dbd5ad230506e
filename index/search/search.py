"""A search with patients left out: which images, series or studies answer each query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.reading import image_ids, images_of_patients
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.vectors import Ids, Vectors, unit_length

Answer = tuple[Vectors, Ids]
Ranked = tuple[list[float], list[int], list[int]]

# Up to this many rows left out per query, all queries go in one batch that fetches so many more.
_BATCHED_EXCLUSIONS = 1000


def ranking(
    database: Database,
    active: ActiveSpace,
    loaded: LoadedSpace,
    queries: Vectors,
    k: int,
    level: Level,
    where: Sequence[str],
    exclude_patients: Sequence[str | None],
) -> list[Ranked]:
    """For each query the scores, the ids at the level, and the best image of each; see `CaseIndex.search`."""
    if level not in ("image", "series", "study") or k < 1:
        raise CatalogError(
            "bad-query",
            f"Search for k >= 1 at level image, series or study, not for k={k} at level {level!r}.",
        )
    checked = _checked(queries, active.space.dimension)
    patients = exclude_patients or [None] * len(checked)
    if len(patients) != len(checked):
        raise CatalogError(
            "bad-query",
            f"{len(checked)} queries cannot exclude {len(patients)} patients; give one for each, or none.",
        )
    with database.read() as connection:
        allowed = allowed_images(connection, active.row_id, where)
        theirs = images_of_patients(connection, active.row_id, {key for key in patients if key is not None})
    nothing: list[int] = []
    excluded = [np.array(nothing if key is None else theirs[key], np.int64) for key in patients]
    found = answers(loaded, level, checked, k, allowed, excluded)
    return [
        (scores.tolist(), ids.tolist(), loaded.best_images(level, query, ids, allowed).tolist())
        for query, (scores, ids) in zip(checked, found, strict=True)
    ]


def allowed_images(
    connection: Connection, space_id: int, where: Sequence[str], among: Sequence[str] | None = None
) -> Ids | None:
    """Ids of the images that every filter lets pass, and that belong to the studies `among` which to look;
    None where there is no filter.
    """
    if not where and among is None:
        return None
    return np.array(image_ids(connection, space_id, where, among), np.int64)


def _checked(queries: Vectors, dimension: int) -> Vectors:
    """Queries as float32 [q, d] of unit length; raises `CatalogError` `bad-query`."""
    array = np.asarray(queries, np.float32)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise CatalogError(
            "bad-query",
            f"Queries of shape {array.shape} do not fit this index, which holds vectors of {dimension} "
            "values; encode them with the model of the index.",
        )
    if not np.isfinite(array).all() or (len(array) and not np.linalg.norm(array, axis=1).all()):
        raise CatalogError(
            "bad-query", "A query vector is zero or not finite; check the image or text it came from."
        )
    return unit_length(array)


def answers(
    loaded: LoadedSpace, level: Level, queries: Vectors, k: int, allowed: Ids | None, excluded: Sequence[Ids]
) -> list[Answer]:
    """For each query the scores and ids of its k nearest at the level.

    `allowed` and `excluded` (one array per query) are image ids. A series or study answers when one of its
    images is allowed; it is left out when one of its images is excluded.
    """
    allowed = None if allowed is None else np.unique(loaded.owners(level, allowed))
    left_out = [np.unique(loaded.owners(level, ids)) for ids in excluded]
    widest = max(map(len, left_out), default=0)
    if widest <= _BATCHED_EXCLUSIONS:
        scores, ids = loaded.nearest(level, queries, k + widest, allowed)
        keep = [~np.isin(row, gone) for row, gone in zip(ids, left_out, strict=True)]
        return [(s[mask][:k], i[mask][:k]) for s, i, mask in zip(scores, ids, keep, strict=True)]
    everything = allowed if allowed is not None else loaded.all_ids(level)
    found = []
    for query, gone in zip(queries, left_out, strict=True):
        scores, ids = loaded.nearest(level, query[None], k, np.setdiff1d(everything, gone))
        found.append((scores[0], ids[0]))
    return found
