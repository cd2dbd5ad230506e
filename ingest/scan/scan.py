"""What each file is, by its first bytes and its header: an image to embed, skipped or quarantined."""

from __future__ import annotations

import re
from dataclasses import replace

from medsiglip.ingest.dicom.sop_classes import SKIPPED_CLASSES, SKIPPED_MODALITIES
from medsiglip.ingest.errors import HeaderRefusedError
from medsiglip.ingest.files.archive_listing import is_named_apple_double
from medsiglip.ingest.files.inflate import DamagedStreamError
from medsiglip.ingest.files.source import hash_file, open_source
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.burned_in import may_show_label
from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.header import Header, as_kept, make_header, plain_header, refused, usable_uid
from medsiglip.ingest.header.header_values import CUT, GARBLED, PIXELS, HeaderElements
from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.header.quality import picture_quality
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.frame_places import needs_frame_places, with_frame_places
from medsiglip.ingest.volumes.volume_beginning import VOLUME_SUFFIXES
from medsiglip.pictures import picture_facts

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_APPLE_DOUBLE = b"\0\5\x16\7"
_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def scan_file(found: FoundFile, key: SecretKey, metadata: PictureMetadata | None = None) -> Header | Rejected:
    """Classify one file; `metadata` describes it if it is a plain picture. Never raises for what the file
    holds.
    """
    is_named_dicom = found.path.lower().endswith(".dcm")
    if is_named_apple_double(found.path) and _is_apple_double(found.path):
        return Rejected(found.path, "apple-double")
    if found.path.lower().endswith(VOLUME_SUFFIXES):
        return _scan_volume(found, key, metadata or PictureMetadata())
    try:
        with open_source(found.path, buffering=0) as file:
            start = file.read(132)
    except PermissionError:
        return Rejected(found.path, "permission-denied")
    except DamagedStreamError:
        return Rejected(found.path, "damaged-archive")
    except OSError:
        return Rejected(found.path, "unreadable-file")
    if not start:
        is_picture = found.path.lower().endswith(PICTURE_SUFFIXES)
        return Rejected(found.path, "empty-file" if is_named_dicom or is_picture else "not-an-image")
    if start[128:132] == b"DICM" or looks_like_dicom(start):
        return _scan_dicom(found, key, has_preamble=start[128:132] == b"DICM", named=is_named_dicom)
    if _begins_like_a_picture(start) and not is_named_dicom:
        return _scan_picture(found, key, metadata or PictureMetadata())
    if is_named_dicom:
        return Rejected(found.path, "not-dicom")
    if found.path.lower().endswith(PICTURE_SUFFIXES):
        return Rejected(found.path, "undecodable-picture")
    return Rejected(found.path, "not-an-image")


def _is_apple_double(path: str) -> bool:
    """Whether a file with such a name begins like AppleDouble (RFC 1740, appendix B), or is empty."""
    try:
        with open_source(path, buffering=0) as file:
            return file.read(4) in (b"", _APPLE_DOUBLE)
    except OSError:
        return False  # reading it as another file gives the reason


def _begins_like_a_picture(start: bytes) -> bool:
    if start.startswith(b"BM") and len(start) >= 18:
        return int.from_bytes(start[14:18], "little") in _BMP_HEADER_SIZES
    return start.startswith(_MAGIC)


def looks_like_dicom(start: bytes) -> bool:
    """Whether bytes without a preamble begin like a data set (PS3.5 section 7): a tag of group 0002 or 0008,
    then a VR or a plausible length; either byte order.
    """
    if len(start) < 16:
        return False
    for order in ("little", "big"):
        group, element = (int.from_bytes(start[i : i + 2], order) for i in (0, 2))
        if group not in (0x0002, 0x0008) or element > 0x2000:
            continue
        length = int.from_bytes(start[4:8], order)
        if re.fullmatch(rb"[A-Z]{2}", start[4:6]) or length <= 0x100:
            return True
    return False


def _scan_dicom(found: FoundFile, key: SecretKey, *, has_preamble: bool, named: bool) -> Header | Rejected:
    try:
        with quiet():
            elements = read_elements(found.path)
    except DamagedStreamError:
        return Rejected(found.path, "damaged-archive")
    except HeaderRefusedError as error:
        return Rejected(found.path, error.code)
    except OSError as error:
        return Rejected(found.path, "unreadable-file" if error.errno else "unreadable-header")
    except Exception:  # whatever pydicom raises for a damaged header
        return Rejected(found.path, _no_header_code(named=named, has_preamble=has_preamble))
    if not elements.values and not has_preamble and elements.ending != PIXELS:
        return Rejected(found.path, _no_header_code(named=named, has_preamble=False))
    code = _code_without_picture(elements, key)
    if code:
        return refused(found.path, code, elements.values, key)
    content_hash = None
    if not usable_uid(elements.values, "SOPInstanceUID"):
        content_hash = hash_file(found.path)
    header = make_header(found.path, found.size, found.mtime_ns, elements.values, key, content_hash)
    return with_frame_places(header) if needs_frame_places(header) else header


def _no_header_code(*, named: bool, has_preamble: bool) -> str:
    if has_preamble:
        return "unreadable-header"
    return "not-dicom" if named else "not-an-image"


def _code_without_picture(elements: HeaderElements, key: SecretKey) -> str | None:
    values = elements.values
    sop_class = str(values.get("SOPClassUID") or values.get("MediaStorageSOPClassUID", ""))
    for start, code in SKIPPED_CLASSES:
        if f"{sop_class}.".startswith(f"{start}."):
            if code:
                return code
            break
    else:
        modality = str(elements.values.get("Modality", ""))
        if modality in SKIPPED_MODALITIES and not sop_class:
            return SKIPPED_MODALITIES[modality]
    if key.phi == "strict" and may_show_label(values):
        return "slide-label"
    if elements.ending == PIXELS:
        return None
    if elements.ending != CUT and "TamarCompressionType" in values:
        return "private-compression"
    return {CUT: "truncated", GARBLED: "unreadable-header"}.get(elements.ending, "no-pixel-data")


def _scan_volume(found: FoundFile, key: SecretKey, metadata: PictureMetadata) -> Header | Rejected:
    from medsiglip.ingest.volumes.volume_header import scan_volume

    return scan_volume(found, key, metadata)


def _scan_picture(found: FoundFile, key: SecretKey, metadata: PictureMetadata) -> Header | Rejected:
    from PIL import Image, UnidentifiedImageError

    try:
        with quiet(), open_source(found.path) as file:
            facts = picture_facts(file)
        digest = hash_file(found.path)
    except Image.DecompressionBombError:
        return Rejected(found.path, "picture-too-large")
    except UnidentifiedImageError:
        is_picture = found.path.lower().endswith(PICTURE_SUFFIXES)
        return Rejected(found.path, "undecodable-picture" if is_picture else "not-an-image")
    except PermissionError:
        return Rejected(found.path, "permission-denied")
    except DamagedStreamError:
        return Rejected(found.path, "damaged-archive")
    except (OSError, ValueError, SyntaxError):
        return Rejected(found.path, "undecodable-picture")
    size = facts.rows * facts.columns * facts.samples
    header = replace(
        plain_header(found, digest, metadata, key),
        photometric_interpretation="MONOCHROME2" if facts.is_grey else "RGB",
        rows=facts.rows,
        columns=facts.columns,
        quality=picture_quality(facts.bits, metadata, size / found.size if facts.is_lossy else None),
    )
    return as_kept(header, key)
