"""Deleting cases, so that no row, vector, preview or snapshot keeps anything of them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from os.path import dirname
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from medsiglip.index.catalogue.browsing.schema import collection_cases
from medsiglip.index.catalogue.case_queries import unknown_study
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import HIDDEN
from medsiglip.index.catalogue.readers.reader_labels import forget_reader_labels
from medsiglip.index.catalogue.report_texts import study_ids as row_ids_of
from medsiglip.index.catalogue.schema import (
    files,
    images,
    instances,
    labels,
    patients,
    probes,
    series,
    studies,
)
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import SEPARATOR, Removal
from medsiglip.index.storage import trash
from medsiglip.index.storage.backgrounds import forget_backgrounds
from medsiglip.index.storage.calibrations import forget_in_calibrations
from medsiglip.index.storage.forgotten import (
    forget_drafts,
    forget_in_jobs,
    forget_paths_in_jobs,
    forget_predictions,
    without_cases,
)
from medsiglip.index.storage.forgotten_pacs import (
    forget_commitments,
    forget_pacs_studies,
    keep_away_from_pacs,
)
from medsiglip.index.storage.maps.forgetting import forget_in_maps
from medsiglip.index.storage.saved_views import forget_in_views
from medsiglip.index.storage.shards import WriteTransaction, listed, replace_shard, write_transaction
from medsiglip.index.storage.sweeping import UPLOADS as UPLOADS
from medsiglip.index.storage.sweeping import forget_copies, note_remaining, require_gone, sweep
from medsiglip.index.storage.thumbnails import delete_thumbnails


class PacsNames(NamedTuple):
    """What the ledgers of PACS keep of a study that is forgotten: `forgotten` of its UID in this home. They
    may have it by the UID `asked`, too, and by those that `others` has for its UID in this home.
    """

    forgotten: Callable[[str], str]
    asked: str | None = None
    others: Mapping[str, Collection[str]] | None = None


def remove_study(database: Database, study_instance_uid: str, pacs: PacsNames | None) -> Removal:
    """Delete a study; see `CaseIndex.remove_study`."""
    with write_transaction(database) as transaction:
        study_ids = list(row_ids_of(transaction.connection, [study_instance_uid]).values())
        is_awaited = _forget_at_pacs(
            transaction.connection, [study_instance_uid], pacs, is_held=bool(study_ids)
        )
        removal = _remove(transaction, study_ids, files.c.study_instance_uid == study_instance_uid)
    _finish(database)
    if not study_ids and not removal.files and not is_awaited:
        raise unknown_study(study_instance_uid)
    return removal


def remove_patient(database: Database, patient_key: str, pacs: PacsNames | None) -> Removal:
    """Delete all studies of a patient; see `CaseIndex.remove_patient`."""
    theirs = select(studies.c.id).join(patients).where(patients.c.patient_key == patient_key)
    with write_transaction(database) as transaction:
        study_ids = list(transaction.connection.execute(theirs).scalars())
        uids = select(studies.c.study_instance_uid).where(one_of(studies.c.id, study_ids))
        theirs_at_pacs = transaction.connection.execute(uids).scalars().all()
        _forget_at_pacs(transaction.connection, theirs_at_pacs, pacs, is_held=True)
        if pacs is not None and study_ids:
            keep_away_from_pacs(transaction.connection, [pacs.forgotten(patient_key)])
        removal = _remove(transaction, study_ids, files.c.patient_key == patient_key)
    _finish(database)
    if not study_ids and not removal.files:
        raise unknown_patient(patient_key)
    return removal


def unknown_patient(patient_key: str) -> CatalogError:
    """The error for a patient who is not in the index."""
    return CatalogError(
        "unknown-patient", f"There is no patient {patient_key} in this index; `study list` shows the keys."
    )


def _forget_at_pacs(
    connection: Connection, uids: Sequence[str], pacs: PacsNames | None, *, is_held: bool
) -> bool:
    """Whether the ledgers of PACS had one of the studies. Those that the index has (`is_held`) are kept away
    from every PACS, whichever way they came.
    """
    asked = () if pacs is None or pacs.asked is None else (pacs.asked,)
    others = (pacs.others or {}) if pacs is not None else {}
    names = {uid: {uid, *asked, *others.get(uid, ())} for uid in uids}
    found = forget_pacs_studies(connection, set().union(*names.values()))
    awaited = [uid for uid, theirs in names.items() if not found.isdisjoint(theirs)]
    if pacs is not None:
        away = list(names) if is_held else awaited
        keep_away_from_pacs(connection, [pacs.forgotten(uid) for uid in away])
    return bool(awaited)


def _finish(database: Database) -> None:
    """Delete what the transaction listed, and what an earlier deletion could not. Leftovers of interrupted
    writes do not wait in the trash: they may hold vectors of the same patient.
    """
    remain = sweep(database)
    trash.empty(database.home, trash.UNFINISHED)
    forget_copies(database)
    in_trash = trash.empty_objects(database.objects, trash.UNFINISHED)
    note_remaining(database, in_trash)
    require_gone(database, {*remain, *in_trash})


def _remove(transaction: WriteTransaction, study_ids: Sequence[int], theirs: ColumnElement[bool]) -> Removal:
    """Delete studies with everything below them: labels, reports, drafts, what drafts of other studies cite
    of them, and patients without another study, also in the lists of patients of probes and
    calibrations, and in what jobs asked and answered. `theirs` selects the rows of refused files that are
    deleted with them.

    Shards that held their vectors are replaced in the same transaction. The old shards, the snapshot, the
    previews and the uploaded files are listed for deletion by `sweep` after the commit.
    """
    connection = transaction.connection
    series_ids = _ids(connection, series.c.id, series.c.study_id, study_ids)
    label_count = _delete_labels(connection, study_ids, series_ids)
    draft_count = forget_drafts(connection, study_ids)
    from_files = select(files.c.path).join(instances, files.c.instance_id == instances.c.id)
    from_files = from_files.where(one_of(instances.c.series_id, series_ids))
    paths = list(connection.execute(from_files).scalars())
    below = _uids_below(connection, series_ids)
    instance_count, image_count, file_count = _delete_content(transaction, series_ids)
    refused = _remove_refused(connection, theirs, paths)
    file_count += len(refused)
    forget_paths_in_jobs(connection, {*paths, *refused})
    uploaded = {pattern for path in (*paths, *refused) for pattern in _uploaded(path)}
    transaction.delete_files(sorted(uploaded))
    connection.execute(delete(series).where(one_of(series.c.id, series_ids)))
    connection.execute(delete(predictions).where(one_of(predictions.c.study_id, study_ids)))
    uids = select(studies.c.study_instance_uid).where(one_of(studies.c.id, study_ids))
    study_uids = frozenset(connection.execute(uids).scalars())
    connection.execute(delete(collection_cases).where(one_of(collection_cases.c.study_id, study_ids)))
    connection.execute(delete(studies).where(one_of(studies.c.id, study_ids)))
    left = select(studies.c.id).where(studies.c.patient_id == patients.c.id)
    vanished = set(connection.execute(select(patients.c.patient_key).where(~left.exists())).scalars())
    connection.execute(delete(patients).where(~left.exists()))
    _forget_in_probes(connection, vanished, study_uids)
    forget_in_jobs(connection, study_uids, vanished)
    forget_in_calibrations(connection, vanished)
    forget_in_views(connection, {*vanished, *study_uids, *below})
    forget_commitments(connection, below)
    forget_backgrounds(connection)
    return Removal(
        len(study_ids), len(series_ids), instance_count, image_count, file_count, label_count, draft_count
    )


def _uids_below(connection: Connection, series_ids: Sequence[int]) -> set[str]:
    """The UIDs of series and of their instances."""
    of_series = select(series.c.series_instance_uid).where(one_of(series.c.id, series_ids))
    of_instances = select(instances.c.sop_instance_uid).where(one_of(instances.c.series_id, series_ids))
    return {uid for asked in (of_series, of_instances) for uid in connection.execute(asked).scalars()}


def _uploaded(path: str) -> list[str]:
    """The glob of a file that was uploaded into the home, if this one was; of an archive's member, the glob
    of the archive.
    """
    home, place, rest = path.partition(SEPARATOR)[0].rpartition(f"/{UPLOADS}/")
    # The home may have been moved since, so only the part below the folder counts.
    return [f"{UPLOADS}/{glob.escape(rest)}"] if home and place else []


def _forget_in_probes(
    connection: Connection, patient_keys: Collection[str], study_instance_uids: Collection[str]
) -> None:
    """Remove patients from the lists of patients that probes were trained on, studies from those of labels
    that may be wrong, and both from filters and warnings.
    """
    gone = [*patient_keys, *study_instance_uids]
    for probe_id in connection.execute(select(probes.c.id)).scalars().all():
        its = probes.c.id == probe_id
        summary = connection.execute(select(probes.c.summary).where(its)).scalar_one()
        kept = {**summary}
        if "patients" in summary:
            kept["patients"] = [key for key in summary["patients"] if key not in patient_keys]
        for name in {"suspects", "where", "warnings"}.intersection(summary):
            kept[name] = without_cases(summary[name], gone)
        if kept != summary:
            connection.execute(update(probes).where(its).values(summary=kept))


def clear_series(
    transaction: WriteTransaction, series_ids: Sequence[int], kept: Collection[int], stale: Sequence[int]
) -> bool:
    """Delete the content of series except the instances `kept`, of which the images `stale` go; the series
    and all labels stay. Returns whether there was anything to delete.
    """
    every = _ids(transaction.connection, instances.c.id, instances.c.series_id, series_ids)
    if not stale and set(every) <= set(kept):
        return False
    _delete_content(transaction, series_ids, kept, stale)
    return True


def _delete_content(
    transaction: WriteTransaction,
    series_ids: Sequence[int],
    kept: Collection[int] = (),
    stale: Sequence[int] = (),
) -> tuple[int, int, int]:
    """Delete instances of series but those `kept`, with their images and files, and the images `stale`;
    returns how many of each.
    """
    connection = transaction.connection
    every = _ids(connection, instances.c.id, instances.c.series_id, series_ids)
    instance_ids = [instance_id for instance_id in every if instance_id not in kept]
    theirs = one_of(images.c.instance_id, instance_ids)
    if stale:
        theirs = or_(theirs, one_of(images.c.id, stale))
    shown = select(images.c.id, images.c.shard_id, images.c.series_id, images.c.study_id)
    found = list(connection.execute(shown.where(theirs)))
    image_ids = [row.id for row in found]
    forget_predictions(connection, found)
    forget_in_maps(transaction, found)
    delete_thumbnails(connection, theirs)
    outbox.note_gone(connection, theirs)
    connection.execute(delete(images).where(theirs))
    uids = select(instances.c.sop_instance_uid).where(one_of(instances.c.id, instance_ids))
    refused = and_(files.c.instance_id.is_(None), files.c.sop_instance_uid.in_(uids))
    known = or_(one_of(files.c.instance_id, instance_ids), refused)
    file_count = connection.execute(delete(files).where(known)).rowcount
    connection.execute(delete(instances).where(one_of(instances.c.id, instance_ids)))
    affected = listed(connection, sorted({row.shard_id for row in found}))
    for shard in affected:
        replace_shard(transaction, shard)
    transaction.delete_files([f"faiss/{space}.*" for space in sorted({shard.space for shard in affected})])
    transaction.delete_files([f"previews/{image_id}.*" for image_id in image_ids])
    return len(instance_ids), len(image_ids), file_count


def _delete_labels(connection: Connection, study_ids: Sequence[int], series_ids: Sequence[int]) -> int:
    keys: list[tuple[str, ColumnElement[str], Any, Sequence[int]]] = [
        ("study", studies.c.study_instance_uid, studies.c.id, study_ids),
        ("series", series.c.series_instance_uid, series.c.id, series_ids),
        ("instance", instances.c.sop_instance_uid, instances.c.series_id, series_ids),
    ]
    count = 0
    for level, uid, owner, owners in keys:
        theirs = select(uid).where(one_of(owner, owners))
        statement = delete(labels).where(labels.c.level == level, labels.c.uid.in_(theirs))
        count += connection.execute(statement).rowcount
        forget_reader_labels(connection, level, theirs)
    return count


def _ids(connection: Connection, wanted: Any, owner: Any, owners: Collection[int]) -> list[int]:
    statement = select(wanted).where(one_of(owner, list(owners))).order_by(wanted)
    return list(connection.execute(statement).scalars())


def _remove_refused(connection: Connection, theirs: ColumnElement[bool], paths: Iterable[str]) -> list[str]:
    """Delete the rows of refused files that are `theirs`, and of those without a known patient that lie in
    the same folders or archives as these or as `paths`; returns their paths.

    A file whose header could not be read may still name the patient in its path. A row deleted in excess only
    makes the next ingest read the file again.
    """
    refused = files.c.instance_id.is_(None)
    owned = connection.execute(select(files.c.id, files.c.path).where(refused, theirs)).all()
    places = [path for path in (*paths, *(row.path for row in owned)) if not path.startswith(HIDDEN)]
    folders = {dirname(path) for path in places}
    archives = {path.partition(SEPARATOR)[0] for path in places if SEPARATOR in path}
    unowned = select(files.c.id, files.c.path).where(
        refused,
        files.c.patient_key.is_(None),
        files.c.study_instance_uid.is_(None),
        files.c.sop_instance_uid.is_(None),
    )
    beside = [
        row
        for row in connection.execute(unowned)
        if dirname(row.path) in folders or row.path.partition(SEPARATOR)[0] in archives
    ]
    removed = [*owned, *beside]
    connection.execute(delete(files).where(one_of(files.c.id, [row.id for row in removed])))
    return [row.path for row in removed]
