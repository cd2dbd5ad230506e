"""The members of an archive by its table of contents, checked before anything is unpacked."""

from __future__ import annotations

import io
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import BinaryIO, Literal, cast

from medsiglip.ingest.files.inflate import GZIP, DamagedStreamError, InflatedFile, Landmarks

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz")
# Archives that are recognised only to be reported.
UNREAD_SUFFIXES = (".7z", ".rar", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")
# Gzip files that the readers of volumes read directly.
_NO_ARCHIVES = (".nii.gz",)
MAX_MEMBERS = 250_000
# Archives within archives: a zip of a study's zips of gzipped files is three. An archive can hold itself.
MAX_DEPTH = 3
# What unpacks to more than this must not exceed its packed size by more than RATIO; DICOM of a blank image
# packs well, but whole archives of them do not exist.
FREE_BYTES = 1 << 30
RATIO = 200
MAX_NAME = 1000
# zipfile holds about 20 times the bytes of a central directory; one of 250,000 members takes about this.
MAX_DIRECTORY = 32 << 20
# Longest extended header of a tar that is read: tarfile takes it into memory whole.
MAX_TAR_READ = 1 << 20
_ENCRYPTED = 0x1 | 0x40
# An entry of a central directory; the bits of its flags for a name in UTF-8 (APPNOTE 4.4.4, bit 11), and one
# that is reserved, for a name whose bytes are not.
_ENTRY, _UTF_8, _BYTES = b"PK\1\2", 0x800, 0x8000
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}

# What would end the path of an archive within a member's name.
_BANG = re.compile("!(?=/)")
# Control characters and those that change the direction of text could forge lines of a report.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

# Not a code of `medsiglip.ingest.reasons`: the file is DICOM under the name of an archive.
NO_ARCHIVE = "no-archive"

Method = Literal["stored", "deflated"]

Opener = Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: `size` in bytes unpacked, `start` where its data begin (of a zip its local
    header; of a tar.gz counted in what the gzip holds); `code` of `medsiglip.ingest.reasons` if it cannot be
    read.
    """

    size: int
    start: int = 0
    method: Method = "stored"
    crc: int | None = None
    code: str | None = None


@dataclass(slots=True)
class Listing:
    """Members by name, in the order of the archive; `code` says what is wrong with the archive as a whole."""

    members: dict[str, Member] = field(default_factory=dict)
    code: str | None = None
    is_zip: bool = False
    is_gzip: bool = False

    def add(self, name: str, member: Member) -> None:
        """Add a member under a safe and unique name."""
        name = harmless(name)
        if member.code is None and is_unread_archive(name):
            member = replace(member, code="nested-archive")
        unique, count = name, 1
        while unique in self.members:
            count += 1
            unique = f"{name}#{count}"
        self.members[unique] = member


def list_members(path: str, size: int, open_packed: Opener, landmarks: Landmarks) -> Listing:
    """List an archive of `size` bytes by the kind that its first bytes show.

    Raises OSError if it cannot be read. For what it holds it never raises, but sets `Listing.code`.
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
        source = _ZipSource(cast(io.RawIOBase, file), 1 << 16)
        try:
            with zipfile.ZipFile(source) as archive:
                members = archive.infolist()
        finally:
            source.detach()
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
            _member_name(info),
            Member(
                info.file_size,
                info.header_offset,
                "deflated" if method == "deflated" else "stored",
                info.CRC,
                code,
            ),
        )


class _ZipSource(io.BufferedReader):
    """Replaces the flag of names that claim to be UTF-8 and are not: zipfile refuses an archive with one."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        return _with_readable_names(data) if data.startswith(_ENTRY) else data


def _with_readable_names(directory: bytes) -> bytes:
    """A central directory (APPNOTE 4.3.12) whose names zipfile can decode; those that it could not have the
    flag `_BYTES` in place of `_UTF_8`.
    """
    changed, at = bytearray(directory), 0
    while directory.startswith(_ENTRY, at) and at + 46 <= len(directory):
        flags, name, extra, comment = (
            int.from_bytes(directory[at + i : at + i + 2], "little") for i in (8, 28, 30, 32)
        )
        if flags & _UTF_8:
            try:
                directory[at + 46 : at + 46 + name].decode("utf-8")
            except UnicodeDecodeError:
                changed[at + 8 : at + 10] = (flags & ~_UTF_8 | _BYTES).to_bytes(2, "little")
        at += 46 + name + extra + comment
    return bytes(changed)


def _member_name(info: zipfile.ZipInfo) -> str:
    """The name of a member; bytes that are not UTF-8 are surrogates, as in names of files (PEP 383)."""
    if not info.flag_bits & _BYTES or info.flag_bits & _UTF_8:
        return info.filename
    # `filename` may be of an extra field (APPNOTE 4.6.9), and then of any characters.
    name = info.orig_filename.partition("\0")[0]
    return name.encode("cp437").decode("utf-8", "surrogateescape")


def _directory_size(file: BinaryIO) -> int:
    """Bytes of the central directory by the end record (APPNOTE 4.3.16), 0 if there is none."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - (1 << 16) - 22, 0))
    last = file.read()
    found = last.rfind(b"PK\5\6")
    if found < 0:
        return 0
    size = int.from_bytes(last[found + 12 : found + 16], "little")
    # The size of a zip64 directory is in another record; without that, the end record bounds it.
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
    """Refuses large reads, which only a wrong header asks for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_TAR_READ:
            raise DamagedStreamError("a header claims to be too long")
        return super().read(size)


def _list_tar(listing: Listing, file: BinaryIO, size: int) -> None:
    source = _Frugal(cast(io.RawIOBase, file), 1 << 16)
    try:
        with tarfile.open(fileobj=source, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
            _add_tar_members(listing, tar, size)
            if listing.code is None:
                # tarfile takes a damaged header for the end; a true end is zeros or the end of the file.
                source.seek(tar.offset)
                if source.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    listing.code = "damaged-archive"
    finally:
        source.detach()


def _add_tar_members(listing: Listing, tar: tarfile.TarFile, size: int) -> None:
    held: list[tarfile.TarInfo] = tar.members  # type: ignore[attr-defined] # would grow to hold all of them
    while (info := tar.next()) is not None:
        held.clear()
        if unpacks_too_far(info.offset_data + info.size, size) or len(listing.members) >= MAX_MEMBERS:
            listing.code = "archive-too-large"
            return
        if not info.isreg():  # links lead to members that count by themselves; devices hold nothing
            continue
        code = "unsupported-archive" if info.issparse() else None
        listing.add(info.name, Member(info.size, info.offset_data, code=code))


def is_archive(path: str) -> bool:
    """Whether a file of that name is read as an archive."""
    name = path.lower()
    return name.endswith(SUFFIXES) and not (name.endswith(_NO_ARCHIVES) or is_named_apple_double(path))


def is_unread_archive(path: str) -> bool:
    """Whether a file of that name is an archive of a kind that is not read in place."""
    return path.lower().endswith(UNREAD_SUFFIXES) and not is_named_apple_double(path)


def is_named_apple_double(path: str) -> bool:
    """Whether a file has the name of one that macOS keeps beside another for its attributes."""
    return path.rpartition("/")[2].startswith("._")


def harmless(name: str) -> str:
    """A member's name as a relative path without `.`, `..`, drive or root, without control characters, and
    without what separates an archive from its members.
    """
    parts = _UNPRINTABLE.sub("_", name).replace("\\", "/").split("/")
    plain = "/".join(part for part in parts if part not in ("", ".", ".."))
    return _BANG.sub("_", plain)[-MAX_NAME:] or "unnamed"


def unpacks_too_far(unpacked: int, packed: int) -> bool:
    """Whether so many bytes from so few look like a decompression bomb."""
    return unpacked > max(FREE_BYTES, RATIO * packed)
