"""What became of each file that an ingest found, by path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from sqlalchemy import Connection, delete, func, select, type_coerce

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of, one_of_parameter
from medsiglip.index.catalogue.paths import StoredPaths
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    PathText,
    files,
    images,
    instances,
    patients,
    series,
    studies,
)
from medsiglip.index.records import SEPARATOR, FileRecord, Holdings, Owner
from medsiglip.index.scratch import Scratch, portions
from medsiglip.index.storage.insertion import write_files

_IMAGES = (
    select(func.count())
    .where(images.c.instance_id == instances.c.id, images.c.space_id == ACTIVE_SPACE)
    .correlate(instances)
    .scalar_subquery()
)
_THEIRS = one_of_parameter(files.c.path, "paths")
# Path, instance, series, study, and number of images.
_PLACES = (
    select(files.c.path, instances.c.id, instances.c.series_id, series.c.study_id, _IMAGES)
    .select_from(files.join(instances, files.c.instance_id == instances.c.id))
    .join(series, instances.c.series_id == series.c.id)
    .where(_THEIRS)
)


class FileRecordStore:
    """The file records of one catalogue. Every method is one transaction.

    Paths in arguments and answers are real ones. In a home that stores hashes in their place, answers name
    only files that a caller mentioned before.
    """

    def __init__(self, database: Database, paths: StoredPaths) -> None:
        self._database = database
        self._paths = paths

    def put(self, records: Sequence[FileRecord]) -> None:
        """Store what became of files, replacing earlier records of the same paths."""
        with self._database.write() as connection:
            write_files(connection, self._paths.records(records))

    def by_path(self) -> Mapping[str, FileRecord]:
        """All file records, by path."""
        with self._database.read() as connection:
            return self._paths.by_path(_records(connection))

    def at(self, paths: Collection[str]) -> dict[str, FileRecord]:
        """The records of these files, by path."""
        with self._database.read() as connection:
            found = _records(connection, _THEIRS, paths=self._stored(paths))
            return {one.path: one for one in map(self._given, found)}

    def members_of(self, archive: str) -> list[FileRecord]:
        """The records of the files in an archive, by path; none in a home that stores no paths."""
        prefix = archive + SEPARATOR
        with self._database.read() as connection:
            # The outermost archive stands before the first separator: comparing it takes one scan, no
            # pattern.
            find = func.instr if connection.dialect.name == "sqlite" else func.strpos
            separator = find(files.c.path, SEPARATOR)
            outermost = type_coerce(func.substr(files.c.path, 1, separator - 1), PathText)
            within = outermost == archive.partition(SEPARATOR)[0]
            return [one for one in _records(connection, separator > 0, within) if one.path.startswith(prefix)]

    def of_series(self, series_instance_uid: str) -> list[FileRecord]:
        """The records of the files that hold instances of a series, by path."""
        theirs = (
            select(instances.c.id)
            .join(series, instances.c.series_id == series.c.id)
            .where(series.c.series_instance_uid == series_instance_uid)
        )
        with self._database.read() as connection:
            return [self._given(one) for one in _records(connection, files.c.instance_id.in_(theirs))]

    def of_study(self, study_instance_uid: str) -> list[FileRecord]:
        """The records of the files that hold instances of a study, by path."""
        theirs = (
            select(instances.c.id)
            .join(series, instances.c.series_id == series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(studies.c.study_instance_uid == study_instance_uid)
        )
        with self._database.read() as connection:
            return [self._given(one) for one in _records(connection, files.c.instance_id.in_(theirs))]

    def drop(self, paths: Collection[str]) -> None:
        """Delete the records of files that were deleted; what the index has of their pictures stays."""
        with self._database.write() as connection:
            connection.execute(delete(files).where(one_of(files.c.path, self._stored(paths))))

    def holdings(self, *paths: Collection[str]) -> Holdings:
        """How many studies, series, instances, and images of the active space these files led to. The memory
        that this takes does not grow with their number. Raises `CatalogError` `disk-full` too.
        """
        with closing(_CountedPlaces()) as places, self._database.read() as connection:
            for portion in portions(chain(*paths)):
                found = connection.execute(_PLACES, {"paths": self._stored(portion)})
                places.add(tuple(row)[1:] for row in found)
            return places.total()

    def holdings_of(self, groups: Mapping[str, Collection[str]]) -> dict[str, Holdings]:
        """`holdings` of each group of files, by its name, in one statement."""
        groups_of: dict[str, list[str]] = {}
        for name, paths in groups.items():
            for path in self._stored(paths):
                groups_of.setdefault(path, []).append(name)
        found: dict[str, dict[int, tuple[int, ...]]] = {name: {} for name in groups}
        with self._database.read() as connection:
            for path, instance, *place in connection.execute(_PLACES, {"paths": list(groups_of)}):
                for name in groups_of[path]:
                    found[name][instance] = tuple(place)
        return {name: _holdings(list(places.values())) for name, places in found.items()}

    def instance_counts(self, series_instance_uids: Collection[str]) -> dict[tuple[str, str], int]:
        """How many instances the index holds of each series with one of these UIDs, by study and series
        UID.
        """
        place = studies.c.study_instance_uid, series.c.series_instance_uid
        statement = (
            select(*place, func.count())
            .select_from(instances)
            .join(series, instances.c.series_id == series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(one_of(series.c.series_instance_uid, list(series_instance_uids)))
            .group_by(*place)
        )
        with self._database.read() as connection:
            return {(study, uid): count for study, uid, count in connection.execute(statement)}

    def owners(self, paths: Collection[str]) -> dict[str, Owner]:
        """Patient, study and modality of each of these files that is in the index, by path."""
        statement = (
            select(files.c.path, patients.c.patient_key, studies.c.study_instance_uid, series.c.modality)
            .join(instances, files.c.instance_id == instances.c.id)
            .join(series, instances.c.series_id == series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .join(patients, studies.c.patient_id == patients.c.id)
            .where(_THEIRS)
        )
        found: dict[str, Owner] = {}
        with self._database.read() as connection:
            for portion in portions(paths):
                for path, *owner in connection.execute(statement, {"paths": self._stored(portion)}):
                    found[self._paths.given(path)] = Owner(*owner)
        return found

    def embedded_below(self, folder: str) -> set[str]:
        """The paths below a folder of files that are in the index; none in a home that stores no paths."""
        prefix = f"{folder}/"
        below = files.c.path.startswith(prefix, autoescape=True)
        statement = select(files.c.path).where(files.c.instance_id.is_not(None), below)
        with self._database.read() as connection:
            found = connection.execute(statement).scalars()
            return {path for path in found if path.startswith(prefix)}  # SQLite's LIKE ignores case

    def _stored(self, paths: Collection[str]) -> list[str]:
        return [self._paths.stored(path) for path in paths]

    def _given(self, record: FileRecord) -> FileRecord:
        return replace(record, path=self._paths.given(record.path))


def _holdings(places: Sequence[tuple[int, ...]]) -> Holdings:
    """The sum of instances, each with its series, its study and the number of its images."""
    series_ids, study_ids, counts = zip(*places, strict=True) if places else ((), (), ())
    return Holdings(len(set(study_ids)), len(set(series_ids)), len(places), sum(counts))


class _CountedPlaces:
    """Instances, each once, with its series, its study and the number of its images."""

    def __init__(self) -> None:
        self._scratch = Scratch("CREATE TABLE places (instance INTEGER PRIMARY KEY, series, study, images)")

    def add(self, places: Iterable[Sequence[int]]) -> None:
        self._scratch.put("INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?)", places)

    def total(self) -> Holdings:
        counts = "count(DISTINCT study), count(DISTINCT series), count(*), coalesce(sum(images), 0)"
        return next(Holdings(*row) for row in self._scratch.ask(f"SELECT {counts} FROM places"))

    def close(self) -> None:
        self._scratch.close()


def _records(connection: Connection, *conditions: Any, **parameters: Any) -> list[FileRecord]:
    """The file records that satisfy the conditions, in stored form, by path."""
    columns = [files.c[name] for name in FileRecord.__slots__]
    statement = select(*columns).where(*conditions).order_by(files.c.path)
    return [FileRecord(*row) for row in connection.execute(statement, parameters)]
