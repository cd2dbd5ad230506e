"""Folders and files of backups and restored homes, written so that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import DamagedObjectError, ObjectStore
from medsiglip.index.vectors import make_folder, sync_path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder that is to be filled; `last` is the file that makes it look whole. Where it cannot be written,
    the error has this `code` and ends with this `cure`.
    """

    folder: Path
    last: str
    code: str
    cure: str

    def check_unused(self) -> None:
        """Raise `CatalogError` `backup-exists` if the folder holds something, or is a file."""
        folder = self.folder
        with self.named_in_errors():
            if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
                raise CatalogError(
                    "backup-exists", f"{folder} holds something: name a folder that is not there yet."
                )

    @contextmanager
    def filled(self) -> Iterator[Path]:
        """An empty folder, whose content is that of the destination once the block ends well; otherwise it
        is removed.

        It lies beside the destination and is renamed. A destination that is there already, and empty, may be
        a mount point, which nothing can replace and beside which this user may have no right to write: there
        it lies inside, and what it holds is moved up, `last` after everything else.
        """
        unfinished, is_there = f".{uuid4().hex[:8]}.unfinished", self.folder.is_dir()
        place = self.folder.with_name(f".{self.folder.name}{unfinished}")
        if is_there:
            place = self.folder / unfinished
        with self.named_in_errors(place):
            make_folder(place.parent)
            place.mkdir(mode=0o700)
            try:
                yield place
                sync_folders(place)
                if is_there:
                    self._move_up(place)
                else:
                    os.replace(place, self.folder)
                sync_path(place.parent)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise

    def _move_up(self, place: Path) -> None:
        moved: list[Path] = []
        try:
            for name in sorted(os.listdir(place), key=lambda name: name == self.last):
                os.replace(place / name, self.folder / name)
                moved.append(self.folder / name)
            place.rmdir()
        except BaseException:
            for path in moved:
                _remove(path)
            raise

    @contextmanager
    def named_in_errors(self, place: Path | None = None) -> Iterator[None]:
        """Turn errors of the system and of SQLite, and `CatalogError` that name `place`, into `CatalogError`
        `disk-full` or `code` that name the folder.
        """
        try:
            yield
        except OSError as error:
            raise self._refused(reason_of(error), is_full=error.errno in _FULL) from error
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            raise self._refused(str(error), is_full=name == "SQLITE_FULL") from error
        except CatalogError as error:
            if place is None or str(place) not in str(error):
                raise
            reason = str(error).replace(str(place), str(self.folder)).rstrip(".")
            raise self._refused(reason, is_full=error.code == "disk-full") from error

    def _refused(self, reason: str, *, is_full: bool) -> CatalogError:
        if is_full:
            return CatalogError(
                "disk-full",
                f"The disk that holds {self.folder} is full, and nothing was kept: free some space there, or "
                f"{self.cure}, and run this again.",
            )
        return CatalogError(self.code, f"{self.folder} cannot be written ({reason}): {self.cure}.")


def copy_file(
    source: Path, target: Path, unreadable: Callable[[Path, OSError], CatalogError]
) -> tuple[int, str]:
    """Copy a file, for this user only; returns its size and SHA-256, once it is on disk.

    Raises FileNotFoundError, NotADirectoryError or IsADirectoryError where the source is no file, what
    `unreadable` makes of other errors of reading, and OSError of writing.
    """
    digest, size = hashlib.sha256(), 0
    try:
        stream = source.open("rb")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise
    except OSError as error:
        raise unreadable(source, error) from error
    with stream:
        make_folder(target.parent)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            while True:
                try:
                    piece = stream.read(_PIECE)
                except OSError as error:
                    raise unreadable(source, error) from error
                if not piece:
                    break
                digest.update(piece)
                size += len(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
    return size, digest.hexdigest()


def copy_object(objects: ObjectStore, name: str, target: Path) -> tuple[int, str]:
    """What `copy_file` does, of an object in a bucket; copies of objects on this machine have no part in it.

    Raises FileNotFoundError and DamagedObjectError where there is no such object as was put there, and
    OSError of writing.
    """
    digest, size = hashlib.sha256(), 0
    make_folder(target.parent)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as copy:

        def take(piece: bytes) -> None:
            nonlocal size
            digest.update(piece)
            size += copy.write(piece)

        try:
            objects.fetch(name, take)
        except (FileNotFoundError, DamagedObjectError):
            target.unlink()
            raise
        copy.flush()
        os.fsync(copy.fileno())
    return size, digest.hexdigest()


def write_text(path: Path, content: str) -> None:
    """Write a file for this user only, which is on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folders(folder: Path) -> None:
    """Make the names in a folder, and in those below it, durable."""
    for path, _, _ in os.walk(folder):
        sync_path(Path(path))


def reason_of(error: OSError) -> str:
    """What the system says of an error, as part of a sentence."""
    return (error.strerror or "no reason given").lower()


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
