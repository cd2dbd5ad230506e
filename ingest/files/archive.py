"""The members of an archive, read in place: nothing is ever written.

zip (stored and deflated), tar, tar.gz and the gzip of a single file, also nested. The claims of an archive
are checked: names, sizes, the number of members, and how much they unpack to.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, BinaryIO, cast

from medsiglip.index.records import SEPARATOR
from medsiglip.ingest.files.archive_listing import Member, is_archive, list_members
from medsiglip.ingest.files.inflate import GZIP, RAW, DamagedStreamError, InflatedFile, Landmarks

_HELD_ARCHIVES = 8


class Archive:
    """An archive with a list of its members. `path` names it, `file` is the file on disk that is or contains
    it, and `open_packed` opens it.
    """

    def __init__(self, path: str, file: str, size: int, open_packed: Callable[[], BinaryIO]) -> None:
        self.path = path
        self.file = file
        self._open_packed = open_packed
        self._landmarks = Landmarks()
        self._inner_landmarks: dict[str, Landmarks] = {}
        self._idle: InflatedFile | None = None
        self._is_gone = False
        # Reentrant: the garbage collector may free an inner archive at any time, which returns its reader.
        self._lock = threading.RLock()
        self._listing = list_members(path, size, open_packed, self._landmarks)

    @property
    def members(self) -> dict[str, Member]:
        """Members by name, in the order of the archive."""
        return self._listing.members

    @property
    def code(self) -> str | None:
        """The code of `medsiglip.ingest.reasons` for the archive itself, None if all of it is used."""
        return self._listing.code

    def open(self, name: str) -> BinaryIO:
        """A member as a seekable stream.

        Raises FileNotFoundError if there is none of that name, `DamagedStreamError` if it cannot be read.
        """
        member = self.members.get(name)
        if member is None:
            raise FileNotFoundError(2, "no such member", f"{self.path}!/{name}")
        if member.code is not None:
            raise DamagedStreamError(member.code)
        if self._listing.is_gzip:
            return io.BufferedReader(_Section(self._take(), member, self._give_back), 1 << 16)
        file = self._open_packed()
        try:
            start = _zip_data_start(file, member.start) if self._listing.is_zip else member.start
            if member.method == "deflated":
                # An archive is opened once for each of its members.
                shared = self._inner_landmarks.setdefault(name, Landmarks()) if is_archive(name) else None
                content: Any = InflatedFile(file, start, RAW, shared)
                return io.BufferedReader(_Section(content, replace(member, start=0)), 1 << 16)
            return io.BufferedReader(_Section(file, replace(member, start=start)), 1 << 15)
        except BaseException:
            file.close()
            raise

    def _take(self) -> InflatedFile:
        """A reader of the whole gzip: the last one used, which is probably positioned at the next member."""
        with self._lock:
            idle, self._idle = self._idle, None
        return idle or InflatedFile(self._open_packed(), 0, GZIP, self._landmarks)

    def _give_back(self, reader: InflatedFile) -> None:
        with self._lock:
            former, self._idle = (reader, None) if self._is_gone else (self._idle, reader)
        if former is not None:
            former.close()

    def retire(self) -> None:
        """Keep no reader open between reads from now on; members can still be read. A reader that is returned
        later is closed.
        """
        with self._lock:
            self._is_gone = True
            idle, self._idle = self._idle, None
        if idle is not None:
            idle.close()

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.retire()


class _Section(io.RawIOBase):
    """`member.size` bytes of `file` from `member.start` on; checks the CRC if it is read from end to end."""

    name = ""  # pydicom asks for it

    def __init__(self, file: Any, member: Member, give_back: Any = None) -> None:
        super().__init__()
        self._file = file
        self._member = member
        self._give_back = give_back
        self._position = 0
        self._crc, self._checked = 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._member.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._member.size - self._position)
        if wanted <= 0:
            return 0
        self._file.seek(self._member.start + self._position)
        count = int(self._file.readinto(memoryview(buffer)[:wanted]))
        if not count:
            raise DamagedStreamError("the archive ends early")
        if self._position == self._checked:
            self._crc = zlib.crc32(memoryview(buffer)[:count], self._crc)
            self._checked += count
            if self._checked == self._member.size and self._member.crc not in (None, self._crc):
                raise DamagedStreamError("the check sum is another")
        self._position += count
        return count

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            (self._give_back or type(file).close)(file)
        super().close()


def _zip_data_start(file: Any, header: int) -> int:
    """Where the data follow a local file header (APPNOTE 4.3.7)."""
    file.seek(header)
    local = file.read(30)
    if len(local) < 30 or local[:4] != b"PK\3\4":
        raise DamagedStreamError("no local header")
    lengths = (int.from_bytes(local[i : i + 2], "little") for i in (26, 28))
    return header + 30 + sum(lengths)


_held: OrderedDict[tuple[str, int, int], Archive] = OrderedDict()
_held_lock = threading.Lock()


def open_archive(path: str) -> Archive:
    """The archive at `path`; the last few stay open, so that their members are listed once.

    Raises OSError if the file cannot be read; what is wrong inside is `Archive.code`.
    """
    status = os.stat(path)

    def open_packed() -> BinaryIO:
        return cast(BinaryIO, open(path, "rb", buffering=0))

    key = (path, status.st_size, status.st_mtime_ns)
    return _hold(key, lambda: Archive(path, path, status.st_size, open_packed))


def open_inner_archive(outer: Archive, name: str) -> Archive:
    """The archive that is a member of another.

    Raises FileNotFoundError if there is none of that name, and what opening `outer` raises.
    """
    member = outer.members.get(name)
    path = f"{outer.path}{SEPARATOR}{name}"
    if member is None or not is_archive(name):
        raise FileNotFoundError(2, "no such archive", path)
    key = (path, member.size, os.stat(outer.file).st_mtime_ns)
    return _hold(key, lambda: Archive(path, outer.file, member.size, lambda: outer.open(name)))


def _hold(key: tuple[str, int, int], make: Callable[[], Archive]) -> Archive:
    with _held_lock:
        archive = _held.get(key)
        if archive is None:
            archive = _held[key] = make()
        _held.move_to_end(key)
        former = [_held.popitem(last=False)[1] for _ in range(len(_held) - _HELD_ARCHIVES)]
    # At once and not when the last reference goes: the traceback of an error can hold one for long.
    for one in former:
        one.retire()
    return archive


def listing_hash(members: Iterable[tuple[str, int]]) -> str:
    """SHA-256 of names and sizes in any order, its first 128 bits in hex."""
    lines = sorted(f"{name}\0{size}\n" for name, size in members)
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()[:32]
