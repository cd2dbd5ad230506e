"""The images of studies as sets, to compare the studies image by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sqlalchemy import select

from medsiglip.index.catalogue.case_queries import unknown_study
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import studies
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.set_to_set import StoredSets


def study_sets(space: CurrentSpace, study_instance_uids: Sequence[str]) -> StoredSets:
    """The images of these studies, in this order; see `CaseIndex.study_sets`."""
    return space.settled(lambda: _study_sets(space, study_instance_uids))


def _study_sets(space: CurrentSpace, study_instance_uids: Sequence[str]) -> StoredSets:
    with space.view() as (loaded, connection):
        named = one_of(studies.c.study_instance_uid, study_instance_uids)
        rows = connection.execute(select(studies.c.study_instance_uid, studies.c.id).where(named))
        found = {row.study_instance_uid: row.id for row in rows}
        for uid in study_instance_uids:
            if uid not in found:
                raise unknown_study(uid)
        return loaded.study_sets(np.array([found[uid] for uid in study_instance_uids], np.int64))
