"""Lists of studies, series and instances, and the files that hold instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, not_, or_, select

from medsiglip.index.catalogue.conditions.quality import equals_any
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.hierarchy.matching import IS_DICOM, OF_INSTANCES, OF_SERIES, conditions
from medsiglip.index.catalogue.hierarchy.records import (
    HeldInstance,
    HeldSeries,
    HeldStudy,
    InstancePlace,
    Match,
)
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import StoredPaths
from medsiglip.index.catalogue.schema import files, images, instances, patients, series, studies
from medsiglip.index.records import FileRecord

# Instances whose files are looked up at once.
PLACES_AT_ONCE = 200
_STUDY = (
    *(studies.c[name] for name in ("study_instance_uid", "patient_sex", "patient_age", "study_date")),
    *(studies.c[name] for name in ("study_time", "study_description", "identity")),
    patients.c.patient_key,
)
_SERIES = tuple(
    series.c[name]
    for name in (
        "series_instance_uid",
        "modality",
        "series_description",
        "body_part_examined",
        "view_position",
        "laterality",
        "manufacturer",
    )
)
_INSTANCE = tuple(
    instances.c[name]
    for name in (
        "sop_instance_uid",
        "pixel_hash",
        "sop_class_uid",
        "transfer_syntax_uid",
        "instance_number",
        "rows",
        "columns",
        "number_of_frames",
    )
)
_BELOW_STUDY = studies.join(patients, studies.c.patient_id == patients.c.id)
_BELOW_SERIES = _BELOW_STUDY.join(series, series.c.study_id == studies.c.id)
_BELOW_INSTANCE = _BELOW_SERIES.join(instances, instances.c.series_id == series.c.id)


class HierarchyStore:
    """The query model of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database, paths: StoredPaths) -> None:
        self._database = database
        self._paths = paths

    def studies(self, matches: Sequence[Match], limit: int, offset: int = 0) -> list[HeldStudy]:
        """Studies with at least one series and instance that match, the last added first.

        Raises `CatalogError` `bad-query`.
        """
        below = [one for one in matches if one.attribute in OF_SERIES | OF_INSTANCES]
        own = [one for one in matches if one not in below]
        joined = series.join(instances, instances.c.series_id == series.c.id)
        held = exists().select_from(joined).where(series.c.study_id == studies.c.id, IS_DICOM)
        statement = select(studies.c.id, *_STUDY).select_from(_BELOW_STUDY)
        statement = statement.where(held.where(*conditions(below)), *conditions(own))
        statement = statement.order_by(studies.c.id.desc()).limit(limit).offset(offset)
        with self._database.read() as connection:
            rows = list(connection.execute(statement))
            counts = _counts_of_studies(connection, [row.id for row in rows])
        return [_study(row, *counts.get(row.id, ((), 0, 0))) for row in rows]

    def series(self, matches: Sequence[Match], limit: int, offset: int = 0) -> list[HeldSeries]:
        """Series with at least one instance that match, study by study, the last added first."""
        below = [one for one in matches if one.attribute in OF_INSTANCES]
        own = [one for one in matches if one not in below]
        held = exists().where(instances.c.series_id == series.c.id, IS_DICOM, *conditions(below))
        statement = select(series.c.id, *_STUDY, *_SERIES).select_from(_BELOW_SERIES)
        statement = statement.where(held, *conditions(own))
        statement = statement.order_by(studies.c.id.desc(), series.c.id).limit(limit).offset(offset)
        with self._database.read() as connection:
            rows = list(connection.execute(statement))
            counts = _counts_of_series(connection, [row.id for row in rows])
        return [_series(row, counts.get(row.id, 0)) for row in rows]

    def instances(self, matches: Sequence[Match], limit: int, offset: int = 0) -> list[HeldInstance]:
        """Instances that match, series by series, by instance number."""
        statement = select(*_STUDY, *_SERIES, *_INSTANCE).select_from(_BELOW_INSTANCE)
        statement = statement.where(IS_DICOM, _is_first(), *conditions(matches))
        statement = statement.order_by(studies.c.id.desc(), series.c.id, _number(), instances.c.id)
        with self._database.read() as connection:
            return [_instance(row) for row in connection.execute(statement.limit(limit).offset(offset))]

    def places(
        self, study_instance_uid: str, series_instance_uid: str | None, sop_instance_uid: str | None
    ) -> Iterator[InstancePlace]:
        """The instances of a study, of one of its series, or one instance, with their files, in the order of
        `instances`; each `PLACES_AT_ONCE` are one transaction.
        """
        theirs = [studies.c.study_instance_uid == study_instance_uid, IS_DICOM, _is_first()]
        if series_instance_uid is not None:
            theirs.append(series.c.series_instance_uid == series_instance_uid)
        if sop_instance_uid is not None:
            theirs.append(instances.c.sop_instance_uid == sop_instance_uid)
        place = (series.c.id.label("series_row"), _number().label("number"), instances.c.id.label("row"))
        statement = select(*place, _withheld(), *_STUDY, *_SERIES, *_INSTANCE).select_from(_BELOW_INSTANCE)
        statement = statement.where(*theirs).order_by(*place).limit(PLACES_AT_ONCE)
        following = statement
        while True:
            with self._database.read() as connection:
                rows = list(connection.execute(following))
                held = self._files(connection, [row.row for row in rows])
            for row in rows:
                yield InstancePlace(_instance(row), tuple(held[row.row]), bool(row.withheld))
            if len(rows) < PLACES_AT_ONCE:
                return
            following = statement.where(_after(rows[-1]))

    def _files(self, connection: Connection, rows: Sequence[int]) -> dict[int, list[FileRecord]]:
        names = FileRecord.__slots__
        statement = select(files.c.instance_id, *(files.c[name] for name in names))
        statement = statement.where(one_of(files.c.instance_id, list(rows))).order_by(files.c.path)
        found: dict[int, list[FileRecord]] = defaultdict(list)
        for instance_id, path, *values in connection.execute(statement):
            found[instance_id].append(FileRecord(self._paths.given(path), *values))
        return found


def _number() -> Any:
    return func.coalesce(instances.c.instance_number, -1)


def _after(row: Row[Any]) -> Any:
    """The condition that an instance stands behind this one."""
    return or_(
        series.c.id > row.series_row,
        and_(series.c.id == row.series_row, _number() > row.number),
        and_(series.c.id == row.series_row, _number() == row.number, instances.c.id > row.row),
    )


def _is_first() -> Any:
    """Whether an instance is the first of its series with its UID, which may come with other pixels, too."""
    other = instances.alias()
    return not_(
        exists().where(
            other.c.sop_instance_uid == instances.c.sop_instance_uid,
            other.c.series_id == instances.c.series_id,
            other.c.id < instances.c.id,
        )
    )


def _withheld() -> Any:
    """Whether an image of the instance, of any space, may name or show the patient in its pixels."""
    bearing = exists().where(images.c.instance_id == instances.c.id, not_(equals_any("burned_in", ["no"])))
    return bearing.correlate(instances).label("withheld")


def _counts_of_studies(
    connection: Connection, ids: Sequence[int]
) -> dict[int, tuple[tuple[str, ...], int, int]]:
    """Modalities, number of series and of instances of each study."""
    statement: Select[Any] = (
        select(
            series.c.study_id,
            series.c.modality,
            func.count(series.c.id.distinct()),
            func.count(instances.c.sop_instance_uid.distinct()),
        )
        .join(instances, instances.c.series_id == series.c.id)
        .where(one_of(series.c.study_id, list(ids)), IS_DICOM)
        .group_by(series.c.study_id, series.c.modality)
    )
    modalities: dict[int, set[str]] = defaultdict(set)
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for study_id, modality, series_count, instance_count in connection.execute(statement):
        modalities[study_id].update([modality] if modality else [])
        counts[study_id][0] += series_count
        counts[study_id][1] += instance_count
    return {
        one: (tuple(sorted(modalities[one])), of_series, of_instances)
        for one, (of_series, of_instances) in counts.items()
    }


def _counts_of_series(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    statement = select(instances.c.series_id, func.count(instances.c.sop_instance_uid.distinct()))
    statement = statement.where(one_of(instances.c.series_id, list(ids)), IS_DICOM)
    return {row[0]: row[1] for row in connection.execute(statement.group_by(instances.c.series_id))}


def _study(
    row: Row[Any], modalities: tuple[str, ...] = (), series_count: int = 0, instance_count: int = 0
) -> HeldStudy:
    own = {column.name: getattr(row, column.name) for column in _STUDY}
    return HeldStudy(**own, modalities=modalities, series=series_count, instances=instance_count)


def _series(row: Row[Any], count: int = 0) -> HeldSeries:
    own = {column.name: getattr(row, column.name) for column in _SERIES}
    return HeldSeries(_study(row), **own, instances=count)


def _instance(row: Row[Any]) -> HeldInstance:
    return HeldInstance(_series(row), **{column.name: getattr(row, column.name) for column in _INSTANCE})
