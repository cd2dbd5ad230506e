"""Instances on the disk: written under a name of our own, whole and synced before their sender hears so.

`incoming/<study>/<name>.dcm`: `<study>` is a hash of the Study Instance UID, and `<name>` begins with a hash
of the SOP Instance UID and ends at random, so that what arrives twice is there twice. Names that begin with
a dot are those of the receiver. Whoever takes a study's folder away renames it: nothing is written to it
then, and a new one is made.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.fast_header import fast_elements
from medsiglip.ingest.header.header_values import CUT, GARBLED, HeaderElements
from medsiglip.ingest.privacy.quiet import quiet

ARRIVING = ".arriving"
_CHECK_DISK_EVERY = 64 << 20
_HASH_LETTERS = 16
READING = threading.Lock()
"""Held while pydicom reads what a sender wrote. Associations have a thread each: the memory that it takes is
that of one, and `quiet`, which changes warnings and logs of the whole process, does not end under another.
"""


class SpoolFullError(Exception):
    """The disk has no room, or the instance is larger than it may be."""


class BadDataSetError(Exception):
    """The data set cannot be read as far as it must be to be filed."""


class MismatchError(Exception):
    """The data set is not of the SOP class or instance that the command names."""


@dataclass(frozen=True, slots=True)
class Announced:
    """What the command, the context and the association say of an instance that follows."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str


class Spool:
    """The folder `incoming` of a home."""

    def __init__(self, folder: Path, largest_bytes: int, min_free_bytes: int) -> None:
        self.folder = folder
        self.largest_bytes = largest_bytes
        self._min_free_bytes = min_free_bytes
        self._arriving = folder / ARRIVING

    def prepare(self) -> None:
        """Make the folders, and remove what receivers that were killed had begun to write."""
        self._arriving.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_folder(self.folder.parent)
        _sync_folder(self.folder)
        for part in self._arriving.iterdir():
            with suppress(FileNotFoundError), part.open("rb") as file, suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a living writer holds it
                part.unlink()

    def check_room(self) -> None:
        """Raise `SpoolFullError` if the disk has less than it must keep free."""
        room = os.statvfs(self.folder)
        if room.f_bavail * room.f_frsize < self._min_free_bytes:
            raise SpoolFullError

    def begin(self, announced: Announced) -> Arriving:
        """Begin a file; raises `SpoolFullError`, OSError."""
        self.check_room()
        return Arriving(self, self._arriving / f"{token_hex(16)}.part", announced)

    def file(self, part: Path, study_instance_uid: str, sop_instance_uid: str) -> Path:
        """Put a synced file to those of its study, so that it is there after a loss of power."""
        folder = self.folder / study_folder(study_instance_uid)
        name = instance_prefix(sop_instance_uid) + token_hex(_HASH_LETTERS // 2) + ".dcm"
        while True:
            folder.mkdir(mode=0o700, exist_ok=True)
            try:
                part.rename(folder / name)
                break
            except FileNotFoundError:
                if not part.exists():
                    raise
        try:
            _sync_folder(folder, holding=name)
            _sync_folder(self.folder)
        except FileNotFoundError:  # the folder was taken away since, with the file
            os.sync()
        return folder / name


class Arriving:
    """An instance that is being received. It ends with `finish` or `discard`."""

    def __init__(self, spool: Spool, part: Path, announced: Announced) -> None:
        self._spool, self._part, self._announced = spool, part, announced
        self._size = 0
        self._checked = 0
        self._descriptor = _created(part)
        try:
            self._write(memoryview(_preamble_and_meta(announced)))
        except BaseException:
            self.discard()
            raise

    def write(self, data: memoryview) -> None:
        """Append a fragment of the data set; raises `SpoolFullError`, OSError."""
        self._size += len(data)
        if self._size > self._spool.largest_bytes:
            raise SpoolFullError
        if self._size - self._checked > _CHECK_DISK_EVERY:
            self._checked = self._size
            self._spool.check_room()
        self._write(data)

    def finish(self) -> Path:
        """Sync the file and file it by its study. Raises `BadDataSetError`, `MismatchError`, OSError; nothing
        is left then.
        """
        try:
            values = self._values()
            for keyword, announced in (
                ("SOPClassUID", self._announced.sop_class_uid),
                ("SOPInstanceUID", self._announced.sop_instance_uid),
            ):
                if announced and values.get(keyword, announced) != announced:
                    raise MismatchError
            os.fsync(self._descriptor)
            study = values.get("StudyInstanceUID", "")
            instance = values.get("SOPInstanceUID", "") or self._announced.sop_instance_uid
            return self._spool.file(self._part, str(study), str(instance))
        finally:
            self.discard()

    def discard(self) -> None:
        """Close the file, and remove it unless it was filed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._part.unlink(missing_ok=True)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def _values(self) -> dict[str, str]:
        if not self._size:
            raise BadDataSetError
        elements = _elements(self._part)
        if elements.ending in (CUT, GARBLED):
            raise BadDataSetError
        return {key: value for key, value in elements.values.items() if isinstance(value, str)}


def study_uid(file: Path) -> str:
    """The Study Instance UID as it stands in an instance, "" where none can be read; raises OSError.

    Memory does not depend on what the file holds.
    """
    try:
        return str(_elements(file).values.get("StudyInstanceUID", ""))
    except BadDataSetError:
        return ""


def _elements(path: Path) -> HeaderElements:
    try:
        with path.open("rb", buffering=0) as file:
            found = fast_elements(file)
        if found is None or found.ending == CUT:
            with READING, quiet():
                found = read_elements(str(path))
    except OSError:
        raise
    except Exception:  # HeaderRefusedError, and whatever pydicom raises for a header that it cannot parse
        raise BadDataSetError from None
    return found


def _created(part: Path) -> int:
    """The descriptor of a new file, which is locked while this process writes it."""
    while True:
        descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # another process that prepares the folder found it before it was locked


def study_folder(study_instance_uid: str) -> str:
    """The name of a study's folder; instances without a study share one."""
    return blake2b(study_instance_uid.encode("utf-8", "replace"), digest_size=16).hexdigest()


def instance_prefix(sop_instance_uid: str) -> str:
    """How the names of all files of an instance begin."""
    hashed = blake2b(sop_instance_uid.encode("utf-8", "replace"), digest_size=_HASH_LETTERS // 2)
    return hashed.hexdigest()


def spooled(folders: Collection[Path], sop_instance_uids: Collection[str]) -> set[str]:
    """Those of the instances that lie in subfolders of `folders`, in files that this receiver named."""
    wanted = {instance_prefix(uid): uid for uid in sop_instance_uids}
    found: set[str] = set()
    for name in _names(folders):
        uid = wanted.get(name[:_HASH_LETTERS])
        if uid is not None:
            found.add(uid)
    return found


def _names(folders: Collection[Path]) -> Iterator[str]:
    for folder in folders:
        with suppress(FileNotFoundError), os.scandir(folder) as studies:
            for study in studies:
                if study.name.startswith(".") or not study.is_dir(follow_symlinks=False):
                    continue
                with suppress(FileNotFoundError), os.scandir(study) as files:
                    yield from (file.name for file in files)


def calling_ae(file: Path) -> str:
    """Who sent an instance, "" where the file does not say; raises OSError."""
    from pydicom.filereader import read_file_meta_info

    try:
        with READING, quiet():
            return str(read_file_meta_info(str(file)).get("SourceApplicationEntityTitle", ""))
    except OSError:
        raise
    except Exception:  # whatever pydicom raises for a damaged beginning
        return ""


def _preamble_and_meta(announced: Announced) -> bytes:
    """The file's beginning (PS3.10, section 7.1). A UID that the command left blank stays so."""
    elements = b"".join(
        struct.pack("<HH2sH", 2, element, vr, len(value)) + value
        for element, vr, value in (
            (0x0002, b"UI", _even(announced.sop_class_uid, "\0")),
            (0x0003, b"UI", _even(announced.sop_instance_uid, "\0")),
            (0x0010, b"UI", _even(announced.transfer_syntax_uid, "\0")),
            (0x0012, b"UI", _even(IMPLEMENTATION_CLASS_UID, "\0")),
            (0x0013, b"SH", _even(IMPLEMENTATION_VERSION_NAME, " ")),
            (0x0016, b"AE", _even(announced.calling_ae, " ")),
            (0x0017, b"AE", _even(announced.calling_ae, " ")),
            (0x0018, b"AE", _even(announced.called_ae, " ")),
        )
    )
    meta = struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\0\1") + elements
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta


def _even(text: str, padding: str) -> bytes:
    return (text + padding * (len(text) % 2)).encode("ascii", "replace")


def _sync_folder(folder: Path, holding: str | None = None) -> None:
    """Sync the entries of a folder; FileNotFoundError if it is gone or does not hold that file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if holding is not None:
            os.stat(holding, dir_fd=descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
