"""Rows of patients, studies, series and instances: which are there, and those that are new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select, update

from medsiglip.index.catalogue.agreement import Record, agree, of_patient
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import columns_of, insert_columns, record_of
from medsiglip.index.catalogue.schema import images, instances, patients, series, studies
from medsiglip.index.engines import outbox
from medsiglip.index.records import InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord
from medsiglip.index.storage.shards import WriteTransaction

Identity = tuple[str, str]
"""SOP Instance UID and pixel hash of an instance."""

Columns = dict[str, Sequence[Any]]
"""Values of rows by column, each of one length."""


class Place(NamedTuple):
    """Row ids of an instance and of the series and study that it belongs to."""

    instance_id: int
    series_id: int
    study_id: int


def known_places(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Place]:
    """The places of those instances that are in the catalogue."""
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


def place_instances(
    transaction: WriteTransaction, bundles: Sequence[SeriesBundle], held: Mapping[Identity, Place]
) -> dict[Identity, Place]:
    """Insert the instances that are not `held`, with the patients, studies and series that they need; returns
    the places of all.

    A study that the index holds stays with its patient, and a new one goes to the patient of its first
    bundle: of bundles that name another one, the facts about that person are dropped.
    """
    wanted: dict[Identity, tuple[SeriesBundle, InstanceRecord]] = {}
    for bundle in bundles:
        for instance in bundle.instances:
            wanted.setdefault((instance.sop_instance_uid, instance.pixel_hash), (bundle, instance))
    places = dict(held)
    new = {identity: found for identity, found in wanted.items() if identity not in places}
    with_new = {id(bundle) for bundle, _ in new.values()}
    needed = [bundle for bundle in bundles if bundle.replace_series or id(bundle) in with_new]
    study_ids = _place_studies(transaction, needed)
    series_ids = _place_series(transaction, needed, study_ids)
    of_bundle = {}
    for bundle in needed:
        study_id = study_ids[bundle.study.study_instance_uid]
        of_bundle[id(bundle)] = (series_ids[study_id, bundle.series.series_instance_uid], study_id)
    owners = [of_bundle[id(bundle)] for bundle, _ in new.values()]
    columns = columns_of(InstanceRecord, [instance for _, instance in new.values()])
    columns["series_id"] = [series_id for series_id, _ in owners]
    ids = _insert(transaction, instances, columns)
    for identity, instance_id, owner in zip(new, ids, owners, strict=True):
        places[identity] = Place(instance_id, *owner)
    return places


def _place_studies(transaction: WriteTransaction, bundles: Sequence[SeriesBundle]) -> dict[str, int]:
    connection = transaction.connection
    statement = select(studies, patients.c.patient_key).join(patients)
    uids = list({bundle.study.study_instance_uid for bundle in bundles})
    rows = connection.execute(statement.where(one_of(studies.c.study_instance_uid, uids))).all()
    owners = {row.study_instance_uid: row.patient_key for row in rows}
    wanted: dict[str, StudyRecord] = {}
    for bundle in bundles:
        uid = bundle.study.study_instance_uid
        study = of_patient(bundle.study, owners.setdefault(uid, bundle.study.patient_key))
        wanted[uid] = agree(wanted.get(uid, study), study)
    held: dict[str, int] = {}
    for row in rows:
        held[row.study_instance_uid] = row.id
        study = record_of(StudyRecord, row)
        _update(connection, studies, row.id, study, agree(study, wanted[row.study_instance_uid]))
    new = [study for uid, study in wanted.items() if uid not in held]
    patient_ids = _place_patients(transaction, [study.patient_key for study in new])
    columns = columns_of(StudyRecord, new)
    columns["patient_id"] = [patient_ids[key] for key in columns.pop("patient_key")]
    columns["added_at"] = [datetime.now(UTC)] * len(new)
    ids = _insert(transaction, studies, columns)
    return held | {study.study_instance_uid: row_id for study, row_id in zip(new, ids, strict=True)}


def _place_patients(transaction: WriteTransaction, keys: Sequence[str]) -> dict[str, int]:
    wanted = dict.fromkeys(keys)
    statement = select(patients.c.patient_key, patients.c.id)
    found = transaction.connection.execute(statement.where(one_of(patients.c.patient_key, list(wanted))))
    held = {row[0]: row[1] for row in found}
    new = [key for key in wanted if key not in held]
    ids = _insert(transaction, patients, {"patient_key": new})
    return held | dict(zip(new, ids, strict=True))


def _place_series(
    transaction: WriteTransaction, bundles: Sequence[SeriesBundle], study_ids: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    connection = transaction.connection
    wanted: dict[tuple[int, str], SeriesRecord] = {}
    whole: dict[tuple[int, str], str | None] = {}
    for bundle in bundles:
        record = bundle.series
        key = study_ids[bundle.study.study_instance_uid], record.series_instance_uid
        wanted[key] = agree(wanted.get(key, record), record)
        if bundle.replace_series:  # the orientation of all its slices, not of those added before
            whole[key] = record.orientation
    held: dict[tuple[int, str], int] = {}
    uids = list({uid for _, uid in wanted})
    for row in connection.execute(select(series).where(one_of(series.c.series_instance_uid, uids))).all():
        key = row.study_id, row.series_instance_uid
        held[key] = row.id
        if key in wanted:
            record = record_of(SeriesRecord, row)
            agreed = agree(record, wanted[key])
            agreed = replace(agreed, orientation=whole.get(key, agreed.orientation))
            _update(connection, series, row.id, record, agreed)
    new = {key: record for key, record in wanted.items() if key not in held}
    columns = columns_of(SeriesRecord, list(new.values()))
    columns["study_id"] = [study_id for study_id, _ in new]
    ids = _insert(transaction, series, columns)
    return held | dict(zip(new, ids, strict=True))


def _update(connection: Connection, table: Table, row_id: int, held: Record, agreed: Record) -> None:
    """Write what several records agreed on, where it differs from the row."""
    if agreed != held:
        columns = columns_of(type(agreed), [agreed])
        values = {name: value for name, [value] in columns.items() if name in table.c}
        connection.execute(update(table).where(table.c.id == row_id).values(values))
        outbox.note_put(connection, (images.c.study_id if table is studies else images.c.series_id) == row_id)


def _insert(transaction: WriteTransaction, table: Table, columns: Columns) -> range:
    """Insert rows under new ids, in order, and return the ids."""
    ids = transaction.ids.take(transaction.connection, len(next(iter(columns.values()))))
    insert_columns(transaction.connection, table, {"id": ids, **columns})
    return ids
