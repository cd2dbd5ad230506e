"""Search: the images, series or studies nearest to each query, with filters and without some patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection

from medsiglip.index.catalogue.case_queries import hits, images_of_patients
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import passing_by_level
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Hit, Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.vector_search import Mask
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.vectors import Ids, Vectors, unit_length

# With up to this many excluded rows per query, all queries are one batch that fetches as many rows more.
_BATCHED_EXCLUSIONS = 1000


def search(
    database: Database,
    space: CurrentSpace,
    queries: Vectors,
    *,
    k: int,
    level: Level,
    where: Sequence[str],
    exclude_patients: Sequence[str | None],
) -> list[list[Hit]]:
    """The k best hits of a level for each query; see `CaseIndex.search`."""
    with space.loaded() as loaded:
        active = space.needed()
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
                f"{len(checked)} queries cannot exclude {len(patients)} patients; give one for each, "
                "or none.",
            )
        allowed: Mask | None = None
        with database.read() as connection:
            if where:
                allowed = _passing(connection, loaded, where)
            known = {key for key in patients if key is not None}
            theirs = images_of_patients(connection, known)
        nothing: list[int] = []
        excluded = [np.array(nothing if key is None else theirs[key], np.int64) for key in patients]
        ranked = [
            (scores.tolist(), ids.tolist(), loaded.best_images(level, query, ids, allowed).tolist())
            for query, (scores, ids) in zip(
                checked, _nearest(loaded, level, checked, k, allowed, excluded), strict=True
            )
        ]
    with database.read() as connection:
        return hits(connection, level, ranked)


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


def _passing(connection: Connection, loaded: LoadedSpace, where: Sequence[str]) -> Mask:
    """The images that pass the filters, bool [n] in the order of the loaded index."""
    masks = [
        loaded.mask(level, np.array(rows, np.int64))
        for level, rows in passing_by_level(connection, where).items()
    ]
    passing: Mask = np.logical_and.reduce(masks)
    return passing


def _nearest(
    loaded: LoadedSpace, level: Level, queries: Vectors, k: int, allowed: Mask | None, excluded: Sequence[Ids]
) -> list[tuple[Vectors, Ids]]:
    """For each query the scores and ids of its k nearest at the level.

    `allowed` is a mask of images, `excluded` (one array per query) are image ids. A series or study answers
    when one of its images is allowed; it is left out when one of its images is excluded.
    """
    left_out = [np.unique(loaded.owners(level, ids)) for ids in excluded]
    widest = max(map(len, left_out), default=0)
    if widest <= _BATCHED_EXCLUSIONS:
        scores, ids, _, _ = loaded.nearest(level, queries, k + widest, allowed)
        keep = [~np.isin(row, gone) for row, gone in zip(ids, left_out, strict=True)]
        return [(s[mask][:k], i[mask][:k]) for s, i, mask in zip(scores, ids, keep, strict=True)]
    found = []
    for query, gone in zip(queries, left_out, strict=True):
        nearest = loaded.nearest(level, query[None], k, allowed, without=gone)
        found.append((nearest.scores[0], nearest.ids[0]))
    return found
