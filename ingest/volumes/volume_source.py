"""The files of a volume: the first bytes, the data file beside a header, and a name that ITK can open."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from medsiglip.answers.paths import shown
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.volumes.volume_beginning import HEADER_BYTES, VOLUME_SUFFIXES, meta_fields

_IN_MEMORY = "/dev/shm"
_GZIP = b"\x1f\x8b"


def volume_hash(path: str) -> str:
    """SHA-256 of the file and of its data file where that is another, the first 128 bits in hex.

    Raises OSError.
    """
    digest = hashlib.sha256()
    data = _data_file(path, beginning_of(path))
    for part in (path, data) if data else (path,):
        with open_source(part) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A path that SimpleITK can open: that of the file; for a name that is not UTF-8 that of a temporary link
    to it; and of a temporary copy in memory if it is a member of an archive.

    Raises OSError, also if a data file is missing or in another folder.
    """
    data = _data_file(path, beginning_of(path))
    if os.path.isfile(path):
        if data and not os.path.isfile(data):
            raise FileNotFoundError
        if shown(path) == path:
            yield path
            return
    memory = _IN_MEMORY if os.path.isdir(_IN_MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="medsiglip-", dir=memory) as folder:
        copy = os.path.join(folder, "volume" + suffix_of(path))
        _bring(path, copy)
        if data:
            target = os.path.join(folder, os.path.relpath(data, os.path.dirname(path)))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _bring(data, target)
        yield copy


def _bring(source: str, target: str) -> None:
    if os.path.isfile(source):
        os.symlink(source, target)
        return
    with open_source(source) as file, open(target, "wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 20)


def suffix_of(path: str) -> str:
    """The suffix of a volume, in lower case."""
    return max((s for s in VOLUME_SUFFIXES if path.lower().endswith(s)), key=len)


def beginning_of(path: str) -> bytes:
    """The first bytes of a file, unpacked: whether it is packed says its content, not its name.

    Raises OSError, zlib.error.
    """
    with open_source(path) as file:
        start = file.read(HEADER_BYTES)
    return zlib.decompressobj(31).decompress(start, HEADER_BYTES) if start.startswith(_GZIP) else start


def is_packed(path: str) -> bool:
    """Whether a file is a gzip."""
    with open_source(path) as file:
        return file.read(len(_GZIP)) == _GZIP


def is_compressed_meta(start: bytes) -> bool:
    """Whether the values of a MetaImage file are compressed."""
    return meta_fields(start).get("CompressedData", "").upper() == "TRUE"


def _data_file(path: str, start: bytes) -> str | None:
    """The path of the file that holds the values, None if they follow the header.

    Raises FileNotFoundError for one outside the header's folder, which is not read for safety, and for lists
    of files, which are not supported.
    """
    suffix = suffix_of(path)
    if suffix.startswith(".mh"):
        name = meta_fields(start).get("ElementDataFile", "")
        attached = name == "LOCAL"
    elif suffix in (".nrrd", ".nhdr"):
        lines = start.split(b"\n\n")[0].split(b"\r\n\r\n")[0].decode("latin-1").splitlines()
        given = [
            line.partition(":")[2] for line in lines if line.lower().startswith(("data file:", "datafile:"))
        ]
        name, attached = (given[0].strip() if given else ""), not given
    else:
        return None
    if attached:
        return None
    parts = PurePosixPath(os.fsdecode(name.encode("latin-1"))).parts
    if not name or name.startswith(("LIST", "/")) or "%" in name or "\\" in name or ".." in parts:
        raise FileNotFoundError
    return os.path.join(os.path.dirname(path), *parts)
