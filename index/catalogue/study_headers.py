"""What headers say of the parts of the body that studies show, for many studies with few statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import Connection, or_, select

from medsiglip.index.catalogue.conditions.quality import equals_any
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import record_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, series, studies
from medsiglip.index.records import SeriesRecord, StudyHeader

_ASIDE = ("near_blank", "blank", "localizer")
"""Qualities of images that say little of what the study shows."""


def study_headers(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, StudyHeader]:
    """The headers of those of the studies that exist, by UID."""
    wanted = one_of(studies.c.study_instance_uid, list(study_instance_uids))
    names = ("id", "study_instance_uid", "study_description", "patient_age", "study_time")
    rows = list(connection.execute(select(*(studies.c[name] for name in names)).where(wanted)))
    ids = [row.id for row in rows]
    records: dict[int, dict[int, SeriesRecord]] = defaultdict(dict)
    for one in connection.execute(select(series).where(one_of(series.c.study_id, ids)).order_by(series.c.id)):
        records[one.study_id][one.id] = record_of(SeriesRecord, one)
    aside = or_(*(equals_any(name, ["1", "true"]) for name in _ASIDE)).label("aside")
    found = select(images.c.id, images.c.series_id, images.c.study_id, aside)
    theirs = (one_of(images.c.study_id, ids), images.c.space_id == ACTIVE_SPACE)
    owners: dict[int, dict[int, int]] = defaultdict(dict)
    telling: dict[int, set[int]] = defaultdict(set)
    for image_id, series_id, study_id, is_aside in connection.execute(found.where(*theirs)):
        owners[study_id][image_id] = series_id
        if not is_aside:
            telling[study_id].add(image_id)
    return {
        row.study_instance_uid: StudyHeader(
            row.study_instance_uid,
            row.study_description,
            row.patient_age,
            row.study_time,
            row.id,
            records[row.id],
            owners[row.id],
            frozenset(telling[row.id]),
        )
        for row in rows
    }
