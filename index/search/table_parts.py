"""A level as columns, part by part, for what goes through a whole archive in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import passing_by_study
from medsiglip.index.records import CaseTable, Level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.table import ShardVectors, columns
from medsiglip.index.vectors import Ids


def table_parts(
    database: Database, space: CurrentSpace, level: Level, where: Sequence[str], images_at_once: int
) -> Iterator[CaseTable]:
    """Everything of a level that passes the filters, in parts; see `CaseIndex.table_parts`."""
    active = space.needed()
    with database.read() as connection:
        passing = passing_by_study(connection, where)
    for part in _parts(passing[:, 0], passing[:, 1], images_at_once):
        if space.is_loaded:
            found = space.settled(partial(_part, space, level, part))
        else:
            with database.read() as connection:
                source = ShardVectors(connection, database.objects, active)
                found = columns(connection, source, level, part, None)
        yield found


def _part(space: CurrentSpace, level: Level, part: Ids) -> CaseTable:
    with space.view() as (loaded, connection):
        held = part[np.isin(part, loaded.index.ids)]
        return columns(connection, loaded, level, held, None)


def _parts(image_ids: Ids, study_ids: Ids, most: int) -> Iterator[Ids]:
    """Images in parts of whole studies, of at most so many images or of one study; one empty part of none."""
    by_id = np.argsort(image_ids)
    image_ids = image_ids[by_id]
    _, first, study = np.unique(study_ids[by_id], return_index=True, return_inverse=True)
    place = first[study]  # of the first image of each image's study
    order = np.argsort(place, kind="stable")
    ends = [*np.flatnonzero(np.diff(place[order])) + 1, len(image_ids)]
    low = 0
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is None or following - low > most:
            yield image_ids[order[low:end]]
            low = end
