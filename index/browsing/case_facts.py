"""What a list shows of each case, in a few statements for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, func, select

from medsiglip.index.browsing.browsing_records import QUALITY_MARKS, CaseRecord, SeriesPicture
from medsiglip.index.catalogue.conditions.quality import equals_any
from medsiglip.index.catalogue.draft_schema import drafts
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, images, patients, series, studies


def case_records(connection: Connection, study_ids: Sequence[int]) -> list[CaseRecord]:
    """The cases of these row ids, in their order; those that are gone are left out."""
    columns = (
        studies.c.id,
        studies.c.study_instance_uid,
        patients.c.patient_key,
        studies.c.patient_age,
        studies.c.patient_sex,
        studies.c.study_date,
        studies.c.study_description,
        studies.c.added_at,
    )
    statement = select(*columns).join(patients, studies.c.patient_id == patients.c.id)
    rows = {row.id: row for row in connection.execute(statement.where(one_of(studies.c.id, list(study_ids))))}
    ids = [study_id for study_id in study_ids if study_id in rows]
    of_series = _of_series(connection, ids)
    pictures = _pictures(connection, ids)
    values = labels.of_groups(connection, "study", ids)
    quality = _quality(connection, ids)
    counted = select(drafts.c.study_id, func.count()).where(one_of(drafts.c.study_id, ids))
    draft_count = {row[0]: row[1] for row in connection.execute(counted.group_by(drafts.c.study_id))}
    return [
        CaseRecord(
            **{column.name: getattr(rows[study_id], column.name) for column in columns[1:]},
            **of_series[study_id],
            images=sum(one.images for one in pictures[study_id]),
            labels=values[study_id],
            pictures=tuple(pictures[study_id]),
            quality=quality.get(study_id, ()),
            drafts=draft_count.get(study_id, 0),
        )
        for study_id in ids
    ]


def _of_series(connection: Connection, study_ids: Sequence[int]) -> Mapping[int, dict[str, Any]]:
    """How many series each study has, and their modalities and parts of the body."""
    columns = (series.c.study_id, series.c.modality, series.c.body_part_examined)
    counted = select(*columns, func.count()).where(one_of(series.c.study_id, list(study_ids)))
    modalities: dict[int, set[str]] = defaultdict(set)
    body_parts: dict[int, set[str]] = defaultdict(set)
    count: dict[int, int] = defaultdict(int)
    for study_id, modality, body_part, number in connection.execute(counted.group_by(*columns)):
        modalities[study_id].update([modality] if modality else [])
        body_parts[study_id].update([body_part] if body_part else [])
        count[study_id] += number
    return {
        study_id: {
            "series": count[study_id],
            "modalities": tuple(sorted(modalities[study_id])),
            "body_parts": tuple(sorted(body_parts[study_id])),
        }
        for study_id in study_ids
    }


def _pictures(connection: Connection, study_ids: Sequence[int]) -> Mapping[int, list[SeriesPicture]]:
    """The middle image of each series of the studies, in the order of slices, and how many images it has."""
    order = (func.coalesce(images.c.slice_index, images.c.frame), images.c.id)
    ranked = (
        select(
            images.c.id,
            func.row_number().over(partition_by=images.c.series_id, order_by=order).label("place"),
            func.count().over(partition_by=images.c.series_id).label("images"),
        )
        .where(images.c.space_id == ACTIVE_SPACE, one_of(images.c.study_id, list(study_ids)))
        .subquery()
    )
    middle = (
        select(images.c.study_id, images.c.id, ranked.c.images, images.c.quality)
        .join(ranked, images.c.id == ranked.c.id)
        .where(ranked.c.place == ranked.c.images // 2 + 1)
        .order_by(images.c.series_id)
    )
    found: dict[int, list[SeriesPicture]] = defaultdict(list)
    for study_id, image_id, count, quality in connection.execute(middle):
        found[study_id].append(SeriesPicture(image_id, count, quality))
    return found


def _quality(connection: Connection, study_ids: Sequence[int]) -> Mapping[int, tuple[str, ...]]:
    """The marks that at least one image of each study has."""
    held = [func.max(case((equals_any(name, ["1"]), 1), else_=0)) for name in QUALITY_MARKS]
    statement = select(images.c.study_id, *held).where(
        images.c.space_id == ACTIVE_SPACE, one_of(images.c.study_id, list(study_ids))
    )
    return {
        row[0]: tuple(name for name, is_held in zip(QUALITY_MARKS, row[1:], strict=True) if is_held)
        for row in connection.execute(statement.group_by(images.c.study_id))
    }
