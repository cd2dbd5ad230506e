"""The headers of NIfTI, NRRD and MetaImage files, and the hash of their content.

Only the grid is kept: `descrip`, `db_name` and other free text may name a patient.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from medsiglip.answers.paths import shown
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.header import Header, as_kept, plain_header
from medsiglip.ingest.header.quality import picture_quality
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.volumes.volume_beginning import (
    HEADER_BYTES,
    NIFTI_SIZES,
    VOLUME_SUFFIXES,
    begins_like_a_volume,
    meta_fields,
)
from medsiglip.ingest.volumes.volume_layout import VolumeLayout

if TYPE_CHECKING:
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.header.metadata import PictureMetadata

# SimpleITK's readers by name; those of NIfTI and MetaImage can read parts of a file.
_READERS = {"ni": "NiftiImageIO", "nr": "NrrdImageIO", "nh": "NrrdImageIO", "mh": "MetaImageIO"}
_IN_MEMORY = "/dev/shm"


def scan_volume(found: FoundFile, key: SecretKey, metadata: PictureMetadata) -> Header | Rejected:
    """The header of a file with the name of a volume; never raises for what it holds.

    UIDs come from the hash of its content, the rest from its row of the metadata CSV, as for a picture.
    """
    try:
        beginning = _beginning(found.path)
        if not begins_like_a_volume(_suffix(found.path), beginning):
            return Rejected(found.path, "undecodable-volume" if beginning else "empty-file")
        with local_copy(found.path) as path:
            layout = layout_of(open_reader(path), path)
        digest = volume_hash(found.path)
    except OverflowError:
        return Rejected(found.path, "picture-too-large")
    except PermissionError:
        return Rejected(found.path, "permission-denied")
    except (OSError, RuntimeError, ValueError, EOFError, zlib.error):
        return Rejected(found.path, "undecodable-volume")
    return as_kept(_header(found, key, metadata, layout, digest), key)


def _header(
    found: FoundFile, key: SecretKey, metadata: PictureMetadata, layout: VolumeLayout, digest: str
) -> Header:
    quality = picture_quality(8, metadata)
    return replace(
        plain_header(found, digest, metadata, key),
        kind="volume",
        photometric_interpretation="RGB" if layout.is_rgb else "MONOCHROME2",
        rows=layout.rows,
        columns=layout.columns,
        number_of_frames=layout.slices * layout.volumes,
        orientation=layout.orientation,
        quality={
            **quality,
            "bits_stored": 8.0 * layout.dtype.itemsize,
            "pixel_aspect": round(layout.pixel_aspect, 4),
        },
        volumes=layout.volumes,
    )


def open_reader(path: str) -> Any:
    """A `SimpleITK.ImageFileReader` that has read the header of a local file. Raises RuntimeError."""
    import SimpleITK

    itk: Any = SimpleITK  # its functions have no types
    itk.ProcessObject.SetGlobalWarningDisplay(False)  # what it prints may quote the header
    reader = itk.ImageFileReader()
    reader.SetImageIO(_READERS[_suffix(path)[1:3]])
    reader.SetNumberOfThreads(1)
    reader.SetFileName(path)
    reader.ReadImageInformation()
    return reader


def layout_of(reader: Any, path: str) -> VolumeLayout:
    """The layout of a local file that `open_reader` opened. Raises RuntimeError, OverflowError."""
    suffix = _suffix(path)
    by_slice = suffix == ".nii" or (suffix.startswith(".mh") and not _is_compressed_meta(_beginning(path)))
    return VolumeLayout.of(reader, readable_by_slice=by_slice)


def volume_hash(path: str) -> str:
    """SHA-256 of the file and of its data file where that is another, the first 128 bits in hex.

    Raises OSError.
    """
    digest = hashlib.sha256()
    data = _data_file(path, _beginning(path))
    for part in (path, data) if data else (path,):
        with open_source(part) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:32]


def check_whole(path: str) -> None:
    """Check that a NIfTI file holds all values of its header, and that its gzip is complete: ITK fills in
    zeros.

    Raises EOFError if not, and OSError, zlib.error.
    """
    if not _suffix(path).startswith(".ni"):
        return
    needed, held = _nifti_bytes(_beginning(path)), 0
    with open_source(path) as opened:
        if path.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=opened) as file:
                while block := file.read(1 << 20):
                    held += len(block)
        else:
            held = opened.seek(0, os.SEEK_END)
    if held < needed:
        raise EOFError


def _nifti_bytes(start: bytes) -> int:
    """Header and values of a NIfTI file, by its `vox_offset`, `dim` and `bitpix`."""
    order = "<" if int.from_bytes(start[:4], "little") in NIFTI_SIZES else ">"
    if start[4:8] == b"n+2\0":
        (bits, *dims), (offset,) = (
            struct.unpack_from(order + "h8q", start, 14),
            struct.unpack_from(order + "q", start, 168),
        )
    else:
        *dims, bits = struct.unpack_from(order + "8h16xh", start, 40)
        (offset,) = struct.unpack_from(order + "f", start, 108)
    values: int = prod(max(size, 1) for size in dims[1 : 1 + dims[0]])
    return int(int(offset) + values * bits // 8)


@contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A path that SimpleITK can open: that of the file; for a name that is not UTF-8 that of a temporary link
    to it; and of a temporary copy in memory if it is a member of an archive.

    Raises OSError, also if a data file is missing or in another folder.
    """
    data = _data_file(path, _beginning(path))
    if os.path.isfile(path):
        if data and not os.path.isfile(data):
            raise FileNotFoundError
        if shown(path) == path:
            yield path
            return
    memory = _IN_MEMORY if os.path.isdir(_IN_MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="medsiglip-", dir=memory) as folder:
        copy = os.path.join(folder, "volume" + _suffix(path))
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


def _suffix(path: str) -> str:
    return max((s for s in VOLUME_SUFFIXES if path.lower().endswith(s)), key=len)


def _beginning(path: str) -> bytes:
    """The first bytes of a file, unpacked."""
    with open_source(path) as file:
        if not path.lower().endswith(".gz"):
            return file.read(HEADER_BYTES)
        return zlib.decompressobj(31).decompress(file.read(HEADER_BYTES), HEADER_BYTES)


def _is_compressed_meta(start: bytes) -> bool:
    return meta_fields(start).get("CompressedData", "").upper() == "TRUE"


def _data_file(path: str, start: bytes) -> str | None:
    """The path of the file that holds the values, None if they follow the header.

    Raises FileNotFoundError for one outside the header's folder, which is not read for safety, and for lists
    of files, which are not supported.
    """
    suffix = _suffix(path)
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
