"""Taking cases out, so that no row, vector, preview or snapshot keeps anything of them."""

from __future__ import annotations

import glob
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.refused_files import paths_of_series, remove_refused
from medsiglip.index.catalogue.schema import (
    doomed_files,
    files,
    images,
    instances,
    labels,
    patients,
    probes,
    series,
    studies,
)
from medsiglip.index.records import SEPARATOR, Removal
from medsiglip.index.storage.forgotten import forget_drafts, forget_paths_in_jobs
from medsiglip.index.storage.shards import Writing, listed, merge

# The folder of a home that holds what was uploaded.
UPLOADS = "received"


def remove_studies(writing: Writing, study_ids: Sequence[int], theirs: ColumnElement[bool]) -> Removal:
    """Delete studies with everything below them, their labels, reports and drafts, what drafts of others have
    of them, and patients that have no study left, in the lists of the probes too; `theirs` is said of the
    rows of refused files that go with them.

    Shards that held their vectors are replaced in the same transaction; the old files, the snapshot, the
    previews and the files that were uploaded are doomed, to be deleted by `sweep` after the commit.
    """
    connection = writing.connection
    series_ids = _ids(connection, series.c.id, series.c.study_id, study_ids)
    label_count = _delete_labels(connection, study_ids, series_ids)
    draft_count = forget_drafts(connection, study_ids)
    paths = paths_of_series(connection, series_ids)
    instance_count, image_count, file_count = _delete_content(writing, series_ids)
    refused = remove_refused(connection, theirs, paths)
    file_count += len(refused)
    forget_paths_in_jobs(connection, {*paths, *refused})
    writing.doom(sorted({pattern for path in paths for pattern in _uploaded(path)}))
    connection.execute(delete(series).where(one_of(series.c.id, series_ids)))
    connection.execute(delete(studies).where(one_of(studies.c.id, study_ids)))
    left = select(studies.c.id).where(studies.c.patient_id == patients.c.id)
    vanished = set(connection.execute(select(patients.c.patient_key).where(~left.exists())).scalars())
    connection.execute(delete(patients).where(~left.exists()))
    _forget_in_probes(connection, vanished)
    return Removal(
        len(study_ids), len(series_ids), instance_count, image_count, file_count, label_count, draft_count
    )


def _uploaded(path: str) -> list[str]:
    """The pattern of a file that lies in the home because it was uploaded; of an archive that held others'
    files too, that of the whole.
    """
    home, place, rest = path.partition(SEPARATOR)[0].rpartition(f"/{UPLOADS}/")
    # A home may have been moved since: whatever lay before the folder of that name, it is looked for here.
    return [f"{UPLOADS}/{glob.escape(rest)}"] if home and place else []


def _forget_in_probes(connection: Connection, patient_keys: Collection[str]) -> None:
    """Take patients out of the lists of whom probes were trained on."""
    for probe_id, summary in connection.execute(select(probes.c.id, probes.c.summary)).all():
        trained = summary.get("patients", [])
        kept = [key for key in trained if key not in patient_keys]
        if kept != trained:
            statement = update(probes).where(probes.c.id == probe_id)
            connection.execute(statement.values(summary={**summary, "patients": kept}))


def clear_series(writing: Writing, series_ids: Sequence[int], kept: Collection[int]) -> None:
    """Delete what series hold but for the instances `kept`, and not the series themselves nor any label."""
    _delete_content(writing, series_ids, kept)


def sweep(database: Database) -> None:
    """Delete the doomed files; what cannot be deleted now stays on the list."""
    with database.read() as connection:
        doomed = list(connection.execute(select(doomed_files.c.id, doomed_files.c.pattern)))
    done = []
    for row_id, pattern in doomed:
        with suppress(OSError):
            for path in database.home.glob(pattern):
                path.unlink(missing_ok=True)
                if pattern.startswith(f"{UPLOADS}/"):
                    with suppress(OSError):  # others of the upload are still there
                        path.parent.rmdir()
            done.append(row_id)
    if done:
        with database.write() as connection:
            connection.execute(delete(doomed_files).where(one_of(doomed_files.c.id, done)))
        database.empty_log()


def _delete_content(
    writing: Writing, series_ids: Sequence[int], kept: Collection[int] = ()
) -> tuple[int, int, int]:
    """Instances, images and files of series; their numbers."""
    connection = writing.connection
    every = _ids(connection, instances.c.id, instances.c.series_id, series_ids)
    instance_ids = [instance_id for instance_id in every if instance_id not in kept]
    theirs = one_of(images.c.instance_id, instance_ids)
    found = list(connection.execute(select(images.c.id, images.c.shard_id).where(theirs)))
    image_ids = [row.id for row in found]
    connection.execute(delete(images).where(theirs))
    uids = select(instances.c.sop_instance_uid).where(one_of(instances.c.id, instance_ids))
    refused = and_(files.c.instance_id.is_(None), files.c.sop_instance_uid.in_(uids))
    known = or_(one_of(files.c.instance_id, instance_ids), refused)
    file_count = connection.execute(delete(files).where(known)).rowcount
    connection.execute(delete(instances).where(one_of(instances.c.id, instance_ids)))
    affected = listed(connection, sorted({row.shard_id for row in found}))
    for shard in affected:
        merge(writing, [shard])
    writing.doom([f"faiss/{space}.*" for space in sorted({shard.space for shard in affected})])
    writing.doom([f"previews/{image_id}.*" for image_id in image_ids])
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
    return count


def _ids(connection: Connection, wanted: Any, owner: Any, owners: Collection[int]) -> list[int]:
    statement = select(wanted).where(one_of(owner, list(owners))).order_by(wanted)
    return list(connection.execute(statement).scalars())


def study_ids_of(connection: Connection, study_instance_uid: str) -> list[int]:
    """Row ids of the study with that UID: one or none."""
    statement = select(studies.c.id).where(studies.c.study_instance_uid == study_instance_uid)
    return list(connection.execute(statement).scalars())


def study_ids_of_patient(connection: Connection, patient_key: str) -> list[int]:
    """Row ids of a patient's studies."""
    statement = select(studies.c.id).join(patients, studies.c.patient_id == patients.c.id)
    return list(connection.execute(statement.where(patients.c.patient_key == patient_key)).scalars())
