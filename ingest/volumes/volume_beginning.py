"""Whether the first bytes of a NIfTI, NRRD or MetaImage file are a header that is safe for ITK.

ITK reads headers in this process. Some make it write out of bounds, and for others it prints messages that
may quote them.
"""

from __future__ import annotations

import re
import struct

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
# Bytes that are read of a file to check it; text headers end within them.
HEADER_BYTES = 1 << 16
NIFTI_SIZES = {348: (344, b"n+1\0"), 540: (4, b"n+2\0")}
# The offsets of type, dimensions and geometry in nifti1.h and nifti2.h.
_NIFTI_FORMS = {
    348: (("h", 70), ("8h", 40), ("8f", 76), ("18f", 256)),
    540: (("h", 12), ("8q", 16), ("8d", 104), ("18d", 352)),
}
# The numbers of `datatype` in nifti1.h that have a size.
_NIFTI_TYPES = frozenset({1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2304})
_FAR = 1e7
# A quoted line of about 1,000 characters is more than the NRRD reader has room for.
_MAX_FIELD = 500
_NRRD_NO_NUMBER = re.compile(rb"(?im)^(?:space directions|space origin|spacings).*(?:nan|inf)")
_META_LINE = re.compile(rb"[ -<>-~]+=[^\0-\x08\x0b-\x1f]*")
_META_NEEDED = ("NDims", "DimSize", "ElementType", "ElementDataFile")
_META_VECTORS = (
    "DimSize",
    "Offset",
    "Origin",
    "Position",
    "CenterOfRotation",
    "ElementSpacing",
    "ElementSize",
)
_META_MATRICES = ("TransformMatrix", "Rotation", "Orientation")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


def begins_like_a_volume(suffix: str, start: bytes) -> bool:
    """Whether `start`, unpacked, is the beginning of a file with this suffix."""
    if suffix.startswith(".ni"):
        return any(
            int.from_bytes(start[:4], order) == size
            and start[at : at + 4] == magic
            and _is_possible_nifti(start, "<" if order == "little" else ">", size)
            for order in ("little", "big")
            for size, (at, magic) in NIFTI_SIZES.items()
        )
    return _is_possible_nrrd(start) if suffix.startswith(".n") else _is_possible_meta(start)


def meta_fields(start: bytes) -> dict[str, str]:
    """The fields of a MetaImage header, to the last, ElementDataFile."""
    fields: dict[str, str] = {}
    for line in start.decode("latin-1").splitlines():
        name, _, value = line.partition("=")
        fields[name.strip()] = value.strip()
        if name.strip() == "ElementDataFile":
            break
    return fields


def _is_possible_nifti(start: bytes, order: str, size: int) -> bool:
    if len(start) < size:
        return False
    (datatype,), (count, *sizes), *geometry = (
        struct.unpack_from(order + form, start, at) for form, at in _NIFTI_FORMS[size]
    )
    return (
        datatype in _NIFTI_TYPES
        and 1 <= count <= 7
        and min(sizes[:count]) > 0
        and all(abs(number) < _FAR for numbers in geometry for number in numbers)
    )


def _is_possible_nrrd(start: bytes) -> bool:
    header, blank, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = (line for line in header.split(b"\n") if not line.startswith(b"#") and b":=" not in line)
    return (
        start.startswith(b"NRRD000")
        and (bool(blank) or len(start) < HEADER_BYTES)
        and all(len(line) <= _MAX_FIELD for line in fields)
        and not _NRRD_NO_NUMBER.search(header)
    )


def _is_possible_meta(start: bytes) -> bool:
    """Whether each line is a different name with a value, and NDims precedes the fields that depend on it."""
    fields = meta_fields(start)
    lines = start[: max(start.find(b"ElementDataFile"), 0)].splitlines()
    if not all(name in fields for name in _META_NEEDED) or fields["NDims"] not in ("2", "3", "4"):
        return False
    dimensions, names = int(fields["NDims"]), list(fields)
    counted = [(name, dimensions) for name in _META_VECTORS] + [
        (name, dimensions**2) for name in _META_MATRICES
    ]
    return (
        len(lines) == len(fields) - 1
        and all(_META_LINE.fullmatch(line) for line in lines)
        and all(
            names.index("NDims") < names.index(name) and _are_numbers(fields[name].split(), count)
            for name, count in counted
            if name in fields
        )
    )


def _are_numbers(texts: list[str], count: int) -> bool:
    return len(texts) == count and all(_NUMBER.fullmatch(t) and abs(float(t)) < _FAR for t in texts)
