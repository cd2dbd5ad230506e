"""What limits on hits and the collapsing of duplicates need to know of images, series and studies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import chunks
from medsiglip.index.catalogue.schema import images, instances, series, studies
from medsiglip.index.records import Level

# A label is positive above this value.
_POSITIVE = 0.5
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class HitFacts:
    """What a row counts for, by kind: the row ids of its `patient`, `study` and `series`, and the names of
    its positive `label`s. `picture` identifies the pixels of an image, None at other levels.
    """

    counts: dict[str, tuple[int | str, ...]]
    picture: tuple[str, int] | None


def hit_facts(
    connection: Connection, level: Level, row_ids: Collection[int], *, with_labels: bool
) -> dict[int, HitFacts]:
    """The facts of rows of a level, by row id; rows that are gone are missing."""
    found: dict[int, HitFacts] = {}
    for chunk in chunks(row_ids, _CHUNK):
        named = labels.of_level(connection, level, chunk) if with_labels else {}
        for row_id, owners, picture in _owners(connection, level, chunk):
            positive = tuple(name for name, value in named.get(row_id, {}).items() if value > _POSITIVE)
            found[row_id] = HitFacts({**owners, "label": positive}, picture)
    return found


def _owners(
    connection: Connection, level: Level, row_ids: list[int]
) -> list[tuple[int, dict[str, tuple[int | str, ...]], tuple[str, int] | None]]:
    if level == "image":
        statement = (
            select(
                images.c.id,
                studies.c.patient_id,
                images.c.study_id,
                images.c.series_id,
                instances.c.pixel_hash,
                images.c.frame,
            )
            .join(studies, images.c.study_id == studies.c.id)
            .join(instances, images.c.instance_id == instances.c.id)
            .where(one_of(images.c.id, row_ids))
        )
        return [
            (
                row.id,
                {"patient": (row.patient_id,), "study": (row.study_id,), "series": (row.series_id,)},
                (row.pixel_hash, row.frame),
            )
            for row in connection.execute(statement)
        ]
    if level == "series":
        of_series = (
            select(series.c.id, studies.c.patient_id, series.c.study_id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(one_of(series.c.id, row_ids))
        )
        return [
            (row.id, {"patient": (row.patient_id,), "study": (row.study_id,), "series": (row.id,)}, None)
            for row in connection.execute(of_series)
        ]
    of_studies = select(studies.c.id, studies.c.patient_id).where(one_of(studies.c.id, row_ids))
    return [
        (row.id, {"patient": (row.patient_id,), "study": (row.id,)}, None)
        for row in connection.execute(of_studies)
    ]
