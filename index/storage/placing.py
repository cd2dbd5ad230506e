"""Where new instances go: the rows of patients, studies, series and instances that they need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select, update

from medsiglip.index.catalogue.agreement import Record, agree
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import instances, patients, series, studies
from medsiglip.index.records import FileRecord, InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord

Identity = tuple[str, str]


class Place(NamedTuple):
    """Row ids of an instance and of what it belongs to."""

    instance_id: int
    series_id: int
    study_id: int


def known_places(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Place]:
    """Where the instances that are held already are."""
    found: dict[Identity, Place] = {}
    wanted = set(identities)
    source = instances.join(series, instances.c.series_id == series.c.id)
    statement = (
        select(
            instances.c.sop_instance_uid,
            instances.c.pixel_hash,
            instances.c.id,
            instances.c.series_id,
            series.c.study_id,
        )
        .select_from(source)
        .where(one_of(instances.c.sop_instance_uid, list({uid for uid, _ in wanted})))
    )
    for uid, pixel_hash, *ids in connection.execute(statement):
        found[uid, pixel_hash] = Place(*ids)
    return {identity: place for identity, place in found.items() if identity in wanted}


def place_instances(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[Identity, Place]:
    """Insert the instances that are new, with the patients, studies and series that they need."""
    wanted: dict[Identity, tuple[SeriesBundle, InstanceRecord]] = {}
    for bundle in bundles:
        for instance in bundle.instances:
            wanted.setdefault((instance.sop_instance_uid, instance.pixel_hash), (bundle, instance))
    places = known_places(connection, wanted)
    new = {identity: found for identity, found in wanted.items() if identity not in places}
    needed = list({id(bundle): bundle for bundle, _ in new.values()}.values())
    study_ids = _place_studies(connection, needed)
    series_ids = _place_series(connection, needed, study_ids)
    owners = []
    for bundle, _ in new.values():
        study_id = study_ids[bundle.study.study_instance_uid]
        owners.append((series_ids[study_id, bundle.series.series_instance_uid], study_id))
    rows = [
        {**row_of(instance), "series_id": series_id}
        for (_, instance), (series_id, _) in zip(new.values(), owners, strict=True)
    ]
    ids = insert_rows(connection, instances, rows)
    for identity, instance_id, owner in zip(new, ids, owners, strict=True):
        places[identity] = Place(instance_id, *owner)
    return places


def _place_studies(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[str, int]:
    wanted: dict[str, StudyRecord] = {}
    for bundle in bundles:
        study = bundle.study
        wanted[study.study_instance_uid] = agree(wanted.get(study.study_instance_uid, study), study)
    held: dict[str, int] = {}
    statement = select(studies, patients.c.patient_key).join(patients)
    statement = statement.where(one_of(studies.c.study_instance_uid, list(wanted)))
    for row in connection.execute(statement).all():
        held[row.study_instance_uid] = row.id
        study = StudyRecord(**{name: getattr(row, name) for name in StudyRecord.__slots__})
        _keep(connection, studies, row.id, study, agree(study, wanted[row.study_instance_uid]))
    new = [study for uid, study in wanted.items() if uid not in held]
    patient_ids = _place_patients(connection, [study.patient_key for study in new])
    now = datetime.now(UTC)
    rows = []
    for study in new:
        columns = row_of(study)
        columns["patient_id"] = patient_ids[columns.pop("patient_key")]
        rows.append({**columns, "added_at": now})
    ids = insert_rows(connection, studies, rows)
    return held | {study.study_instance_uid: row_id for study, row_id in zip(new, ids, strict=True)}


def _place_patients(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    wanted = dict.fromkeys(keys)
    statement = select(patients.c.patient_key, patients.c.id)
    found = connection.execute(statement.where(one_of(patients.c.patient_key, list(wanted))))
    held = {row[0]: row[1] for row in found}
    new = [key for key in wanted if key not in held]
    ids = insert_rows(connection, patients, [{"patient_key": key} for key in new])
    return held | dict(zip(new, ids, strict=True))


def _place_series(
    connection: Connection, bundles: Sequence[SeriesBundle], study_ids: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    wanted: dict[tuple[int, str], SeriesRecord] = {}
    whole: dict[tuple[int, str], str | None] = {}
    for bundle in bundles:
        record = bundle.series
        key = study_ids[bundle.study.study_instance_uid], record.series_instance_uid
        wanted[key] = agree(wanted.get(key, record), record)
        if bundle.replace_series:  # the plane of all its slices, not of those that came first
            whole[key] = record.orientation
    held: dict[tuple[int, str], int] = {}
    uids = list({uid for _, uid in wanted})
    for row in connection.execute(select(series).where(one_of(series.c.series_instance_uid, uids))).all():
        key = row.study_id, row.series_instance_uid
        held[key] = row.id
        if key in wanted:
            record = SeriesRecord(**{name: getattr(row, name) for name in SeriesRecord.__slots__})
            said = agree(record, wanted[key])
            said = replace(said, orientation=whole.get(key, said.orientation))
            _keep(connection, series, row.id, record, said)
    new = {key: record for key, record in wanted.items() if key not in held}
    rows = [{**row_of(record), "study_id": key[0]} for key, record in new.items()]
    ids = insert_rows(connection, series, rows)
    return held | dict(zip(new, ids, strict=True))


def _keep(connection: Connection, table: Table, row_id: int, held: Record, said: Record) -> None:
    """Have a row say what was found out of it and a new record."""
    if said != held:
        values = {name: value for name, value in row_of(said).items() if name in table.c}
        connection.execute(update(table).where(table.c.id == row_id).values(values))


def row_of(record: StudyRecord | SeriesRecord | InstanceRecord | FileRecord) -> dict[str, Any]:
    """The columns of a record, as both databases take them."""
    row = {}
    for name in record.__slots__:
        value = getattr(record, name)
        row[name] = _text(value) if isinstance(value, str) else value
    return row


def _text(value: str) -> str:
    # Neither database takes half a surrogate pair, and PostgreSQL no NUL; headers in the wild hold both.
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
