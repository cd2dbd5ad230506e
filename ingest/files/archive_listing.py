"""What an archive holds, by its own table of contents, judged before anything is unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import PurePath
from typing import BinaryIO, cast

from medsiglip.ingest.files.archive import MAX_MEMBERS, NO_ARCHIVE, Listing, Member, unpacks_too_far
from medsiglip.ingest.files.inflate import GZIP, DamagedStreamError, InflatedFile, Landmarks

# zipfile holds about 20 times the bytes of a central directory; one of 250,000 members takes about this.
MAX_DIRECTORY = 32 << 20
# Longest extended header of a tar that is read: tarfile takes it into memory whole.
MAX_TAR_READ = 1 << 20
_ENCRYPTED = 0x1 | 0x40
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}


Opener = Callable[[], BinaryIO]


def list_members(path: str, size: int, open_packed: Opener, landmarks: Landmarks) -> Listing:
    """List an archive of `size` bytes by the kind that its first bytes show.

    Raises OSError if it cannot be read. Never raises for what it holds: `Listing.code` tells.
    """
    with open_packed() as file:
        start = file.read(264)
    name = path.lower()
    listing = Listing()
    try:
        if not start:
            listing.code = "empty-file"
        elif start[128:132] == b"DICM":
            listing.code = NO_ARCHIVE
        elif start.startswith(b"\x1f\x8b"):
            _list_gzip(listing, path, size, open_packed, landmarks, is_tar=name.endswith((".tar.gz", ".tgz")))
        elif name.endswith(".zip"):
            _list_zip(listing, size, open_packed)
        elif name.endswith(".tar"):
            with open_packed() as raw:
                _list_tar(listing, raw, size)
        else:
            listing.code = "damaged-archive"
    except (OSError, EOFError, ValueError, LookupError, RecursionError, OverflowError, NotImplementedError):
        listing.code = "damaged-archive"
    except (tarfile.TarError, zipfile.BadZipFile):
        listing.code = "damaged-archive"
    if not listing.members and listing.code is None:
        listing.code = "empty-file"
    return listing


def _list_zip(listing: Listing, size: int, open_packed: Opener) -> None:
    listing.is_zip = True
    with open_packed() as file:
        if _directory_size(file) > MAX_DIRECTORY:
            listing.code = "archive-too-large"
            return
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    is_bomb = unpacks_too_far(sum(member.file_size for member in members), size)
    if is_bomb or len(members) > MAX_MEMBERS:
        listing.code = "archive-too-large"
        return
    for info in members:
        mode = info.external_attr >> 16
        if info.filename.endswith("/") or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
            continue
        method = _METHODS.get(info.compress_type)
        code = None
        if info.flag_bits & _ENCRYPTED:
            code = "encrypted-member"
        elif method is None:
            code = "unsupported-archive"
        elif not 0 <= info.header_offset <= size - info.compress_size:
            code = "damaged-archive"
        listing.add(
            info.filename,
            Member(
                info.file_size,
                info.header_offset,
                "deflated" if method == "deflated" else "stored",
                info.CRC,
                code,
            ),
        )


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the central directory by the end record (APPNOTE 4.3.16), 0 if there is none to find."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - (1 << 16) - 22, 0))
    last = file.read()
    found = last.rfind(b"PK\5\6")
    if found < 0:
        return 0
    size = int.from_bytes(last[found + 12 : found + 16], "little")
    # The size of a zip64 directory stands elsewhere; all that lies before the end record bounds it.
    if size == 0xFFFFFFFF:
        zip64 = last.rfind(b"PK\6\6", 0, found)
        size = int.from_bytes(last[zip64 + 40 : zip64 + 48], "little") if zip64 >= 0 else end
    return size


def _list_gzip(
    listing: Listing, path: str, size: int, open_packed: Opener, landmarks: Landmarks, *, is_tar: bool
) -> None:
    listing.is_gzip = True
    with InflatedFile(open_packed(), 0, GZIP, landmarks) as content:
        if is_tar:
            _list_tar(listing, cast(BinaryIO, content), size)
            return
        unpacked = 0
        while not unpacks_too_far(unpacked, size):
            unpacked = content.seek(unpacked + (64 << 20))
            if not content.read(1):
                unpacked = content.seek(0, os.SEEK_END)
                listing.add(PurePath(path).stem, Member(unpacked))
                return
        listing.code = "archive-too-large"


class _Frugal(io.BufferedReader):
    """Refuses to read much at once, as only a lying header would ask for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_TAR_READ:
            raise DamagedStreamError("a header claims to be too long")
        return super().read(size)


def _list_tar(listing: Listing, file: BinaryIO, size: int) -> None:
    source = _Frugal(cast(io.RawIOBase, file), 1 << 16)
    try:
        with tarfile.open(fileobj=source, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            _take_in(listing, tar, size)
            if listing.code is None:
                # tarfile takes a damaged header for the end; a true end is zeros or the end of the file.
                source.seek(tar.offset)
                if source.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    listing.code = "damaged-archive"
    finally:
        source.detach()


def _take_in(listing: Listing, tar: tarfile.TarFile, size: int) -> None:
    held: list[tarfile.TarInfo] = tar.members  # type: ignore[attr-defined] # it would come to hold them all
    while (info := tar.next()) is not None:
        held.clear()
        if unpacks_too_far(info.offset_data + info.size, size) or len(listing.members) >= MAX_MEMBERS:
            listing.code = "archive-too-large"
            return
        if not info.isreg():  # links lead to members that count by themselves; devices hold nothing
            continue
        code = "unsupported-archive" if info.issparse() else None
        listing.add(info.name, Member(info.size, info.offset_data, code=code))
