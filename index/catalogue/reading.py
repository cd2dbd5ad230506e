"""Questions to the catalogue, each one query for all rows asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Label, Row, Select, func, select, true, type_coerce

from medsiglip.index.catalogue import filters, labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.catalogue.schema import PathText, files, images, instances, patients, series, studies
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.records import (
    SEPARATOR,
    FileRecord,
    Hit,
    Holdings,
    InstanceRecord,
    Level,
    Owner,
    SeriesRecord,
    SeriesSummary,
    StoredImage,
    StudyDetail,
    StudyRecord,
    StudySummary,
)


def file_path() -> Label[str | None]:
    """A path that leads to the image, the first by name where there are several; NULL if paths are hidden."""
    found = select(func.min(files.c.path)).where(
        files.c.instance_id == images.c.instance_id, func.substr(files.c.path, 1, len(HIDDEN)) != HIDDEN
    )
    return found.correlate(images).scalar_subquery().label("path")


# Every image carries nearly the same names, so a few tell them all.
_SOME_IMAGES = 1000
_JOINED = filters.joined((), instances, series, studies, patients)
_HIT = select(
    images.c.id,
    images.c.series_id,
    images.c.study_id,
    studies.c.study_instance_uid,
    series.c.series_instance_uid,
    instances.c.sop_instance_uid,
    images.c.frame,
    series.c.modality,
    patients.c.patient_key,
    file_path(),
).select_from(_JOINED)


def owners(connection: Connection, paths: Collection[str]) -> dict[str, Owner]:
    """What each of these files stands under, by path."""
    statement = (
        select(files.c.path, patients.c.patient_key, studies.c.study_instance_uid, series.c.modality)
        .join(instances, files.c.instance_id == instances.c.id)
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .join(patients, studies.c.patient_id == patients.c.id)
    )
    rows = connection.execute(statement.where(one_of(files.c.path, list(paths))))
    return {path: Owner(*owner) for path, *owner in rows}


def embedded_below(connection: Connection, folder: str) -> set[str]:
    """The files below a folder, by path, whose instances are held."""
    prefix = f"{folder}/"
    below = files.c.path.startswith(prefix, autoescape=True)
    found = connection.execute(select(files.c.path).where(files.c.instance_id.is_not(None), below)).scalars()
    return {path for path in found if path.startswith(prefix)}  # SQLite's LIKE takes a for A


def patients_of(connection: Connection, study_instance_uids: Collection[str]) -> dict[str, str]:
    """The patient's key of each study that is held, by study UID."""
    statement = select(studies.c.study_instance_uid, patients.c.patient_key).join(
        patients, studies.c.patient_id == patients.c.id
    )
    asked = one_of(studies.c.study_instance_uid, list(study_instance_uids))
    return {row[0]: row[1] for row in connection.execute(statement.where(asked))}


def image_rows(connection: Connection, image_ids: Collection[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    """What a hit tells of its image, by image id."""
    asked = _HIT.where(one_of(images.c.id, list(image_ids)))
    return {row.id: row for row in connection.execute(asked)}


def hits(
    connection: Connection,
    level: Level,
    answers: Sequence[tuple[Sequence[float], Sequence[int], Sequence[int]]],
) -> list[list[Hit]]:
    """Ranked hits from (scores, ids at the level, best image ids) of each query."""
    rows = image_rows(connection, {image_id for _, _, best in answers for image_id in best})
    groups = {group for _, ids, _ in answers for group in ids}
    values = (
        labels.of_images(connection, groups)
        if level == "image"
        else labels.of_groups(connection, level, groups)
    )
    found = []
    for scores, ids, best in answers:
        # An image that another process took out between the two looks is no answer any more.
        present = [entry for entry in zip(scores, ids, best, strict=True) if entry[2] in rows]
        found.append(
            [
                _hit(rank, score, rows[image_id], values[group])
                for rank, (score, group, image_id) in enumerate(present, start=1)
            ]
        )
    return found


def _hit(rank: int, score: float, row: Row[*tuple[Any, ...]], values: dict[str, float]) -> Hit:
    return Hit(
        rank=rank,
        score=score,
        image_id=row.id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        frame=row.frame,
        modality=row.modality,
        patient_key=row.patient_key,
        path=row.path,
        labels=values,
    )


def image_ids(
    connection: Connection, space_id: int, where: Iterable[str], among: Sequence[str] | None = None
) -> list[int]:
    """Ids of the images of a space that every filter lets pass, of all studies or only of those `among`
    which to look, by UID. Raises `CatalogError` `bad-filter`.
    """
    chosen = parsed(connection, where)
    statement = select(images.c.id).select_from(filters.joined(chosen))
    statement = statement.where(images.c.space_id == space_id, filters.conjunction(chosen), _of(among))
    return list(connection.execute(statement).scalars())


def _of(among: Sequence[str] | None) -> ColumnElement[bool]:
    """That an image belongs to one of these studies, if any are named."""
    if among is None:
        return true()
    return images.c.study_id.in_(select(studies.c.id).where(one_of(studies.c.study_instance_uid, among)))


def passing_studies(
    connection: Connection, space_id: int | None, where: Iterable[str], among: Sequence[str]
) -> set[str]:
    """Those of the studies, by UID, of which one image passes the filters. Raises `CatalogError`
    `bad-filter`.
    """
    chosen = parsed(connection, where)
    statement = select(studies.c.study_instance_uid).select_from(filters.joined(chosen, studies))
    passing = (images.c.space_id == space_id, filters.conjunction(chosen), _of(among))
    return set(connection.execute(statement.where(*passing).distinct()).scalars())


def parsed(connection: Connection, where: Iterable[str]) -> tuple[filters.Filter, ...]:
    """The filters that expressions stand for. Raises `CatalogError` `bad-filter`."""
    if isinstance(where, str):
        raise TypeError("where takes a sequence of expressions, not one string")
    chosen = filters.parse_all(tuple(where))
    asked = {one.label for one in chosen if one.label is not None}
    for name in sorted(asked.difference(labels.names(connection) if asked else ())):
        known = filters.suggestion(name, labels.names(connection))
        raise CatalogError(
            "bad-filter",
            f"The filter on label {excerpt(name)} cannot be used: no case has that label{known}.",
        )
    for name in sorted({one.quality for one in chosen if one.quality is not None}):
        _require_quality(connection, name)
    return chosen


def condition_values(
    connection: Connection, space_id: int | None, expression: str, study_instance_uids: Collection[str]
) -> dict[str, list[Any]]:
    """What images of a space have of the field that a filter names, by study UID, each value once and sorted;
    nothing for a report. Raises `CatalogError` `bad-filter`.
    """
    [chosen] = parsed(connection, [expression])
    found: dict[str, list[Any]] = {uid: [] for uid in study_instance_uids}
    if chosen.value is None:
        return found
    statement = select(studies.c.study_instance_uid, chosen.value).select_from(
        filters.joined([chosen], studies)
    )
    theirs = (images.c.space_id == space_id, one_of(studies.c.study_instance_uid, list(found)))
    for uid, value in connection.execute(statement.where(*theirs).distinct()):
        if value is not None:
            found[uid].append(value)
    return {uid: sorted(values, key=str) for uid, values in found.items()}


def _require_quality(connection: Connection, name: str) -> None:
    """Raise `CatalogError` `bad-filter` if there are images and none has that quality."""
    given = images.c.quality[name].as_string().is_not(None)
    if connection.execute(select(images.c.id).where(given).limit(1)).first() is not None:
        return
    some = connection.execute(select(images.c.quality).limit(_SOME_IMAGES)).scalars()
    names = {one for quality in some for one in quality}
    if names:
        known = filters.suggestion(name, names)
        raise CatalogError(
            "bad-filter",
            f"The filter on quality {excerpt(name)} cannot be used: no image has that{known}.",
        )


def images_of_patients(connection: Connection, space_id: int, keys: Collection[str]) -> dict[str, list[int]]:
    """Image ids of a space by patient."""
    found: dict[str, list[int]] = {key: [] for key in keys}
    statement = (
        select(patients.c.patient_key, images.c.id)
        .join(studies, studies.c.patient_id == patients.c.id)
        .join(images, images.c.study_id == studies.c.id)
        .where(one_of(patients.c.patient_key, list(found)), images.c.space_id == space_id)
    )
    for key, image_id in connection.execute(statement):
        found[key].append(image_id)
    return found


def holdings(connection: Connection, space_id: int | None, paths: Collection[str]) -> Holdings:
    """Count the studies, series, instances and images that files led to."""
    counted = (
        select(func.count())
        .where(images.c.instance_id == instances.c.id, images.c.space_id == space_id)
        .correlate(instances)
        .scalar_subquery()
    )
    statement = (
        select(instances.c.id, instances.c.series_id, series.c.study_id, counted)
        .select_from(files.join(instances, files.c.instance_id == instances.c.id))
        .join(series, instances.c.series_id == series.c.id)
        .where(one_of(files.c.path, list(paths)))
    )
    found = {row[0]: (row[1], row[2], row[3]) for row in connection.execute(statement)}
    columns = list(zip(*found.values(), strict=True)) or [(), (), ()]
    return Holdings(len(set(columns[1])), len(set(columns[0])), len(found), sum(columns[2]))


def stored_images(connection: Connection, *conditions: Any) -> list[StoredImage]:
    """Images in the order a person would leaf through them."""
    statement = (
        _HIT.add_columns(
            instances.c.pixel_hash,
            images.c.slice_index,
            images.c.rendering,
            images.c.rendering_params,
            images.c.warnings,
            images.c.quality,
        )
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
    values = labels.of_images(connection, [row.id for row in rows])
    return [_stored(row, values[row.id]) for row in rows]


def _stored(row: Row[*tuple[Any, ...]], values: dict[str, float]) -> StoredImage:
    return StoredImage(
        image_id=row.id,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_instance_uid=row.sop_instance_uid,
        pixel_hash=row.pixel_hash,
        frame=row.frame,
        slice_index=row.slice_index,
        rendering=row.rendering,
        rendering_params=row.rendering_params,
        warnings=tuple(row.warnings),
        quality=row.quality,
        modality=row.modality,
        patient_key=row.patient_key,
        path=row.path,
        labels=values,
    )


def study_summaries(connection: Connection, space_id: int | None, where: Iterable[str]) -> list[StudySummary]:
    """Studies of which at least one image passes the filters, with counts over the whole study."""
    chosen = parsed(connection, where)
    statement = select(
        studies.c.id, studies.c.study_instance_uid, patients.c.patient_key, studies.c.study_date
    ).join(patients, studies.c.patient_id == patients.c.id)
    if chosen:
        passing = select(images.c.study_id).select_from(filters.joined(chosen))
        passing = passing.where(images.c.space_id == space_id, filters.conjunction(chosen))
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
    theirs = (images.c.space_id == space_id, one_of(images.c.study_id, ids))
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


def study_detail(connection: Connection, space_id: int | None, study_instance_uid: str) -> StudyDetail:
    """Everything about a study. Raises `CatalogError` `unknown-study`."""
    statement = select(studies, patients.c.patient_key).join(patients, studies.c.patient_id == patients.c.id)
    row = connection.execute(statement.where(studies.c.study_instance_uid == study_instance_uid)).first()
    if row is None:
        raise unknown_study(study_instance_uid)
    theirs = select(series.c.id).where(series.c.study_id == row.id)
    instance_count = _counts(
        connection, select(instances.c.series_id, func.count()).where(instances.c.series_id.in_(theirs))
    )
    chosen = (images.c.study_id == row.id, images.c.space_id == space_id)
    image_count = _counts(connection, select(images.c.series_id, func.count()).where(*chosen))
    rows = connection.execute(select(series).where(series.c.study_id == row.id).order_by(series.c.id))
    return StudyDetail(
        study=StudyRecord(**{name: getattr(row, name) for name in StudyRecord.__slots__}),
        series=tuple(
            SeriesSummary(
                SeriesRecord(**{name: getattr(one, name) for name in SeriesRecord.__slots__}),
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
    """The error for a study that is not there."""
    return CatalogError(
        "unknown-study",
        f"There is no study {study_instance_uid} in this index; `study list` shows what there is.",
    )


def at(paths: Sequence[str]) -> ColumnElement[bool]:
    """That a file lies at one of these paths."""
    return one_of(files.c.path, paths)


def members_of(connection: Connection, archive: str) -> list[FileRecord]:
    """What is known of the files in an archive, by path."""
    prefix = archive + SEPARATOR
    # Before the first separator stands the outermost archive; comparing that needs one scan and no pattern.
    find = func.instr if connection.dialect.name == "sqlite" else func.strpos
    outermost = func.substr(files.c.path, 1, find(files.c.path, SEPARATOR) - 1)
    place = type_coerce(outermost, PathText) == archive.partition(SEPARATOR)[0]
    found = file_records(connection, find(files.c.path, SEPARATOR) > 0, place)
    return [record for record in found if record.path.startswith(prefix)]


_FILE_COLUMNS = [files.c[name] for name in FileRecord.__slots__]


def file_records(
    connection: Connection, *conditions: Any, series_instance_uid: str | None = None
) -> list[FileRecord]:
    """What is known of files, by path."""
    statement = select(*_FILE_COLUMNS).where(*conditions).order_by(files.c.path)
    if series_instance_uid is not None:
        statement = (
            statement.join(instances, files.c.instance_id == instances.c.id)
            .join(series, instances.c.series_id == series.c.id)
            .where(series.c.series_instance_uid == series_instance_uid)
        )
    return [FileRecord(*row) for row in connection.execute(statement)]


def pixel_hashes(connection: Connection, sop_instance_uids: Collection[str]) -> dict[str, set[str]]:
    """Pixel hashes held of these instances, by SOP Instance UID."""
    statement = select(instances.c.sop_instance_uid, instances.c.pixel_hash)
    statement = statement.where(one_of(instances.c.sop_instance_uid, list(sop_instance_uids)))
    found: dict[str, set[str]] = defaultdict(set)
    for uid, pixel_hash in connection.execute(statement):
        found[uid].add(pixel_hash)
    return dict(found)


def series_instances(
    connection: Connection, study_instance_uid: str, series_instance_uid: str
) -> set[tuple[str, str]]:
    """SOP Instance UID and pixel hash of every instance of a series, whether a file leads to it or not."""
    statement = (
        select(instances.c.sop_instance_uid, instances.c.pixel_hash)
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(
            studies.c.study_instance_uid == study_instance_uid,
            series.c.series_instance_uid == series_instance_uid,
        )
    )
    return {(uid, pixel_hash) for uid, pixel_hash in connection.execute(statement)}


def instances_of_study(connection: Connection, study_instance_uid: str) -> list[tuple[str, InstanceRecord]]:
    """The instances of a study, each with its Series Instance UID, in order of series and number."""
    names = list(InstanceRecord.__slots__)
    statement = (
        select(series.c.series_instance_uid, *(instances.c[name] for name in names))
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(studies.c.study_instance_uid == study_instance_uid)
        .order_by(series.c.id, instances.c.instance_number, instances.c.id)
    )
    return [(row[0], InstanceRecord(*row[1:])) for row in connection.execute(statement)]


def instances_of_file(path: str) -> Select[int | None]:
    """Row ids of the instance that a file holds."""
    return select(files.c.instance_id).where(files.c.path == path)
