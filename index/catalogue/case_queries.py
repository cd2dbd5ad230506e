"""Questions about studies, series, instances and images, each one query for all rows that it is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Label, Row, Select, func, select

from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import parsed
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.labels.case_attributes import CaseAttributes, case_attributes
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.catalogue.rows import record_of, row_ids
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    LEVEL_IDS,
    files,
    images,
    instances,
    patients,
    series,
    studies,
)
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import PatientGroups
from medsiglip.index.records import (
    CaseTable,
    Hit,
    InstanceRecord,
    Level,
    ProbeRecord,
    RenderingCount,
    SeriesRecord,
    SeriesSummary,
    StoredImage,
    StudyDetail,
    StudyHeader,
    StudyRecord,
    StudySummary,
)


def file_path() -> Label[str | None]:
    """The path of a file that holds the image, the first by name of several; NULL if paths are hidden."""
    found = select(func.min(files.c.path)).where(
        files.c.instance_id == images.c.instance_id, func.substr(files.c.path, 1, len(HIDDEN)) != HIDDEN
    )
    return found.correlate(images).scalar_subquery().label("path")


def rendering_version() -> Label[int]:
    """The version of an image's rendering; images of before versions were stored are of the first."""
    stored = images.c.rendering_params["version"].as_integer()
    return func.coalesce(stored, 1).label("rendering_version")


_IMAGE = select(
    images.c.id.label("image_id"),
    images.c.series_id,
    images.c.study_id,
    studies.c.study_instance_uid,
    series.c.series_instance_uid,
    instances.c.sop_instance_uid,
    images.c.frame,
    series.c.modality,
    series.c.body_part_examined,
    patients.c.patient_key,
    images.c.rendering,
    rendering_version(),
    file_path(),
).select_from(filters.joined((), instances, series, studies, patients))
# What hits and stored images take from a row as it is.
_SHARED = (
    "image_id",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "frame",
    "modality",
    "patient_key",
    "path",
)
ImageRow = Row[*tuple[Any, ...]]


def image_rows(connection: Connection, image_ids: Collection[int]) -> dict[int, ImageRow]:
    """Ids, UIDs, frame, modality, body part, patient key and path of images, by image id."""
    rows = connection.execute(_IMAGE.where(one_of(images.c.id, list(image_ids))))
    return {row.image_id: row for row in rows}


def hits(
    connection: Connection,
    level: Level,
    answers: Sequence[tuple[Sequence[float], Sequence[int], Sequence[int]]],
) -> list[list[Hit]]:
    """Ranked hits from (scores, ids at the level, best image ids) of each query."""
    rows = image_rows(connection, {image_id for _, _, best in answers for image_id in best})
    values = labels.of_level(connection, level, {group for _, ids, _ in answers for group in ids})
    found = []
    for scores, ids, best in answers:
        # An image that another process deleted since the search is left out.
        present = [entry for entry in zip(scores, ids, best, strict=True) if entry[2] in rows]
        found.append(
            [
                Hit(
                    rank=rank,
                    score=score,
                    labels=values[group],
                    rendering=rows[image_id].rendering,
                    rendering_version=rows[image_id].rendering_version,
                    **_shared(rows[image_id]),
                )
                for rank, (score, group, image_id) in enumerate(present, start=1)
            ]
        )
    return found


def _shared(row: ImageRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _SHARED}


def rendering_counts(connection: Connection) -> tuple[RenderingCount, ...]:
    """Images of the active space by rendering and version."""
    drawn = (
        select(images.c.rendering, rendering_version()).where(images.c.space_id == ACTIVE_SPACE).subquery()
    )
    rendering, version = drawn.c.rendering, drawn.c.rendering_version
    counted = select(rendering, version, func.count().label("images")).group_by(rendering, version)
    rows = connection.execute(counted.order_by(rendering, version))
    return tuple(RenderingCount(row.rendering, row.rendering_version, row.images) for row in rows)


def images_of_patients(connection: Connection, keys: Collection[str]) -> dict[str, list[int]]:
    """Image ids of the active space by patient."""
    found: dict[str, list[int]] = {key: [] for key in keys}
    if not found:
        return found
    statement = (
        select(patients.c.patient_key, images.c.id)
        .join(studies, studies.c.patient_id == patients.c.id)
        .join(images, images.c.study_id == studies.c.id)
        .where(one_of(patients.c.patient_key, list(found)), images.c.space_id == ACTIVE_SPACE)
    )
    for key, image_id in connection.execute(statement):
        found[key].append(image_id)
    return found


def stored_images(connection: Connection, *conditions: Any) -> list[StoredImage]:
    """Images ordered by study, series, slice, instance and frame."""
    more = (
        instances.c.pixel_hash,
        images.c.slice_index,
        images.c.rendering_params,
        images.c.quality,
    )
    statement = (
        _IMAGE.add_columns(*more, images.c.warnings)
        .where(*conditions)
        .order_by(
            studies.c.id,
            series.c.id,
            func.coalesce(images.c.slice_index, -1),
            func.coalesce(instances.c.instance_number, -1),
            instances.c.id,
            images.c.frame,
            images.c.id,
        )
    )
    rows = list(connection.execute(statement))
    values = labels.of_images(connection, [row.image_id for row in rows])
    return [
        StoredImage(
            rendering=row.rendering,
            **_shared(row),
            **{column.name: getattr(row, column.name) for column in more},
            warnings=tuple(row.warnings),
            labels=values[row.image_id],
        )
        for row in rows
    ]


def study_summaries(connection: Connection, where: Iterable[str]) -> list[StudySummary]:
    """Studies of which at least one image passes the filters, with counts over the whole study."""
    chosen = parsed(connection, where)
    statement = select(
        studies.c.id, studies.c.study_instance_uid, patients.c.patient_key, studies.c.study_date
    ).join(patients, studies.c.patient_id == patients.c.id)
    if chosen:
        passing = select(images.c.study_id).select_from(filters.joined(chosen))
        passing = passing.where(images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen))
        statement = statement.where(studies.c.id.in_(passing))
    rows = list(connection.execute(statement.order_by(studies.c.study_date, studies.c.study_instance_uid)))
    ids = [row.id for row in rows]
    modalities: dict[int, set[str]] = defaultdict(set)
    series_count: dict[int, int] = defaultdict(int)
    by_modality = select(series.c.study_id, series.c.modality, func.count())
    by_modality = by_modality.where(one_of(series.c.study_id, ids))
    for study_id, modality, count in connection.execute(
        by_modality.group_by(series.c.study_id, series.c.modality)
    ):
        modalities[study_id].update([modality] if modality else [])
        series_count[study_id] += count
    theirs = (images.c.space_id == ACTIVE_SPACE, one_of(images.c.study_id, ids))
    image_count = _counts(connection, select(images.c.study_id, func.count()).where(*theirs))
    values = labels.of_groups(connection, "study", ids)
    return [
        StudySummary(
            study_instance_uid=row.study_instance_uid,
            patient_key=row.patient_key,
            study_date=row.study_date,
            modalities=tuple(sorted(modalities[row.id])),
            series=series_count[row.id],
            images=image_count.get(row.id, 0),
            labels=values[row.id],
        )
        for row in rows
    ]


def study_detail(connection: Connection, study_instance_uid: str) -> StudyDetail:
    """A study with its series, images and labels. Raises `CatalogError` `unknown-study`."""
    statement = select(studies, patients.c.patient_key).join(patients, studies.c.patient_id == patients.c.id)
    row = connection.execute(statement.where(studies.c.study_instance_uid == study_instance_uid)).first()
    if row is None:
        raise unknown_study(study_instance_uid)
    theirs = select(series.c.id).where(series.c.study_id == row.id)
    instance_count = _counts(
        connection, select(instances.c.series_id, func.count()).where(instances.c.series_id.in_(theirs))
    )
    chosen = (images.c.study_id == row.id, images.c.space_id == ACTIVE_SPACE)
    image_count = _counts(connection, select(images.c.series_id, func.count()).where(*chosen))
    rows = connection.execute(select(series).where(series.c.study_id == row.id).order_by(series.c.id))
    return StudyDetail(
        study=record_of(StudyRecord, row),
        series=tuple(
            SeriesSummary(
                record_of(SeriesRecord, one),
                instance_count.get(one.id, 0),
                image_count.get(one.id, 0),
            )
            for one in rows
        ),
        images=tuple(stored_images(connection, *chosen)),
        labels=labels.of_groups(connection, "study", [row.id])[row.id],
    )


def _counts(connection: Connection, statement: Select[int, int]) -> dict[int, int]:
    owner = statement.selected_columns[0]
    return {row[0]: row[1] for row in connection.execute(statement.group_by(owner))}


def unknown_study(study_instance_uid: str) -> CatalogError:
    """The error for a study that is not in the index."""
    return CatalogError(
        "unknown-study",
        f"There is no study {study_instance_uid} in this index; `study list` shows what there is.",
    )


def patients_of(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, str]:
    """The patient key of each of these studies that is in the index, by study UID."""
    statement = select(studies.c.study_instance_uid, patients.c.patient_key).join(
        patients, studies.c.patient_id == patients.c.id
    )
    theirs = one_of(studies.c.study_instance_uid, list(study_instance_uids))
    return {row[0]: row[1] for row in connection.execute(statement.where(theirs))}


class InstanceStore:
    """The instances of one catalogue, known by SOP Instance UID and pixel hash."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def studies_named(self, beginning: str, end: str = "", limit: int = 10) -> list[str]:
        """The UIDs of studies that begin and end so, in order, at most `limit`."""
        uid = studies.c.study_instance_uid
        statement = (
            select(uid)
            .where(uid.startswith(beginning, autoescape=True), uid.endswith(end, autoescape=True))
            .where(func.length(uid) >= len(beginning) + len(end))
            .order_by(uid)
            .limit(limit)
        )
        with self._database.read() as connection:
            return list(connection.execute(statement).scalars())

    def owners_of_images(self, image_ids: Collection[int]) -> dict[int, tuple[str, str]]:
        """The StudyInstanceUID and the patient key of each of these images of the active space, by its id."""
        statement = select(images.c.id, studies.c.study_instance_uid, patients.c.patient_key)
        statement = statement.select_from(filters.joined((), studies, patients))
        theirs = (images.c.space_id == ACTIVE_SPACE, one_of(images.c.id, list(image_ids)))
        with self._database.read() as connection:
            return {row[0]: (row[1], row[2]) for row in connection.execute(statement.where(*theirs))}

    def rows_of_images(self, level: Level, image_ids: Sequence[int]) -> NDArray[np.int64]:
        """The row ids, int64 [n], of the images, series or studies that images are of; 0 for unknown ones."""
        statement = select(images.c.id, LEVEL_IDS[level]).where(one_of(images.c.id, list(image_ids)))
        with self._database.read() as connection:
            pairs = row_ids(connection, statement).reshape(-1, 2)
        found: dict[int, int] = dict(zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True))
        return np.array([found.get(image_id, 0) for image_id in image_ids], np.int64)

    def patient_keys(self) -> list[str]:
        """The keys of all patients."""
        with self._database.read() as connection:
            return list(connection.execute(select(patients.c.patient_key)).scalars())

    def of_study(self, study_instance_uid: str) -> list[tuple[str, InstanceRecord]]:
        """The instances of a study, each with its Series Instance UID, by series and instance number."""
        columns = (instances.c[name] for name in InstanceRecord.__slots__)
        statement = (
            select(series.c.series_instance_uid, *columns)
            .join(series, instances.c.series_id == series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(studies.c.study_instance_uid == study_instance_uid)
            .order_by(series.c.id, instances.c.instance_number, instances.c.id)
        )
        with self._database.read() as connection:
            return [(row[0], InstanceRecord(*row[1:])) for row in connection.execute(statement)]

    def headers_of(self, study_instance_uids: Collection[str]) -> dict[str, StudyHeader]:
        """What headers say of the part of the body that each of these studies shows, by UID."""
        from medsiglip.index.catalogue.study_headers import study_headers

        with self._database.read() as connection:
            return study_headers(connection, study_instance_uids)

    def attributes_of(self, table: CaseTable) -> list[CaseAttributes]:
        """Sex, age, manufacturer and site of each row of a table, by its first image."""
        with self._database.read() as connection:
            return case_attributes(connection, table.image_ids.tolist())

    def of_series(self, study_instance_uid: str, series_instance_uid: str) -> set[tuple[str, str]]:
        """SOP Instance UID and pixel hash of every instance of a series, with or without a file on record."""
        statement = (
            select(instances.c.sop_instance_uid, instances.c.pixel_hash)
            .join(series, instances.c.series_id == series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(
                studies.c.study_instance_uid == study_instance_uid,
                series.c.series_instance_uid == series_instance_uid,
            )
        )
        with self._database.read() as connection:
            return {(uid, pixel_hash) for uid, pixel_hash in connection.execute(statement)}

    def patient_groups(self, table: CaseTable) -> PatientGroups:
        """The group of each row of a table: its patient, and those that share pictures with the patient."""
        from medsiglip.index.catalogue.labels.patient_groups import patient_groups

        with self._database.read() as connection:
            return patient_groups(connection, table)

    def seen_patients(self, keys: Iterable[str], probes: Iterable[ProbeRecord]) -> dict[str, frozenset[str]]:
        """Those of the patients `keys` whom each probe has seen, by the probe's name: it was trained on them,
        or on one who shares a picture with them.
        """
        from medsiglip.index.catalogue.labels.seen_patients import seen_patients

        with self._database.read() as connection:
            return seen_patients(connection, keys, probes)

    def holders_of_pictures(self, pixel_hashes: Collection[str]) -> dict[str, set[str]]:
        """The keys of the patients who have each of these pictures, by pixel hash."""
        from medsiglip.index.catalogue.labels.seen_patients import holders_of_pictures

        with self._database.read() as connection:
            return holders_of_pictures(connection, pixel_hashes)

    def rendering_counts(self) -> tuple[RenderingCount, ...]:
        """How many images of the active space each version of a rendering drew; reads every image."""
        with self._database.read() as connection:
            return rendering_counts(connection)

    def pixel_hashes(self, sop_instance_uids: Collection[str]) -> dict[str, set[str]]:
        """The pixel hashes of each of these SOP Instance UIDs that is in the index."""
        statement = select(instances.c.sop_instance_uid, instances.c.pixel_hash)
        statement = statement.where(one_of(instances.c.sop_instance_uid, list(sop_instance_uids)))
        found: dict[str, set[str]] = defaultdict(set)
        with self._database.read() as connection:
            for uid, pixel_hash in connection.execute(statement):
                found[uid].add(pixel_hash)
        return dict(found)
