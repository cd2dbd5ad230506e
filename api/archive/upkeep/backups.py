"""Backups of an archive: made, checked, and put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.answers.service import Backup
from medsiglip.api.archive.audit_trail import record_local
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.archive.opened import OnProgress, OpenedArchive, silent

if TYPE_CHECKING:
    from medsiglip.index.records import BackupDescription


def back_up(archive: OpenedArchive, folder: AnyPath, *, on_progress: OnProgress = silent) -> Backup:
    """Make a backup in a folder that is not there yet or empty, while servers, workers and ingests may go on.

    Whatever was committed before it began is in it. It holds `secret.key`: who has it has the pseudonyms.
    Raises CatalogError `backup-exists`; `bad-backup-folder` or `disk-full` where the folder cannot be
    written, `disk-error` for a file of the archive that cannot be read; and `changed-meanwhile`.
    """
    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.api.object_place import object_place
    from medsiglip.index.storage.backups.backup import back_up as back_up_home

    target, url = _absolute(folder), catalogue_url(archive.settings)
    record_local(archive.index, "backup")
    objects = object_place(archive.settings)
    return _answer(target, back_up_home(archive.home, target, url, on_progress, objects))


def verify_backup(folder: AnyPath, *, on_progress: OnProgress = silent) -> Backup:
    """Read a whole backup and compare it with what it says of itself.

    Raises CatalogError `no-backup`, `bad-backup`, `newer-backup`.
    """
    from medsiglip.index.storage.backups.backup_check import verify_backup as verify

    target = _absolute(folder)
    verification = verify(target, _fingerprint, on_progress)
    return _answer(target, verification.description, problems=verification.problems)


def restore_backup(archive: OpenedArchive, folder: AnyPath, *, on_progress: OnProgress = silent) -> Backup:
    """Put a backup back as the archive's home, which must not be there yet or be empty, and its database,
    which must be empty. After a failure both are as they were.

    Raises what `verify_backup` raises, and CatalogError `backup-exists`, `database-not-empty`; `bad-home` or
    `disk-full` where the home cannot be written.
    """
    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.api.object_place import object_place
    from medsiglip.index.storage.backups.backup_check import restore_backup as restore

    target = _absolute(folder)
    url = catalogue_url(archive.settings)
    objects = object_place(archive.settings)
    verification = restore(target, archive.home, url, _fingerprint, on_progress, objects)
    record_local(archive.index, "restore")
    return _answer(target, verification.description, problems=verification.problems, home=str(archive.home))


def _answer(folder: Path, description: BackupDescription, **others: Any) -> Backup:
    problems = others.pop("problems", description.problems)
    return Backup(
        folder=str(folder),
        made_at=description.made_at,
        version=description.version,
        studies=description.studies,
        images=description.images,
        files=description.files,
        bytes=description.bytes,
        problems=problems,
        ok=not problems,
        **others,
    )


def _fingerprint(folder: Path, bound: str) -> str:
    """The fingerprint of the key in a folder, as far as a catalogue with the fingerprint `bound` takes its
    secrets, for the last one may not count; the empty string for none, and for a file that is no key.
    """
    from medsiglip.ingest.errors import IngestError
    from medsiglip.ingest.privacy.deidentify import SecretKey

    try:
        is_there = (folder / "secret.key").exists()
        return SecretKey.open(folder).as_bound(bound).fingerprint if is_there else ""
    except IngestError:
        return ""


def _absolute(folder: AnyPath) -> Path:
    return Path(folder).expanduser().absolute()
