"""What a file's header tells of the quality of its images: every name in every image, so that a filter speaks
of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from medsiglip.ingest.header.burned_in import burned_in
from medsiglip.ingest.header.quality import Quality, lossy_quality, pixel_aspect
from medsiglip.ingest.header.slice_place import image_kind
from medsiglip.ingest.header.view import view

if TYPE_CHECKING:
    from medsiglip.ingest.header.metadata import PictureMetadata

Elements = Mapping[str, str | int]
_KINDS = ("localizer", "projection", "reformatted")


def header_quality(elements: Elements, modality: str, size: int) -> Quality:
    """What the elements of a DICOM file of `size` bytes tell."""
    kind = image_kind(str(elements.get("ImageType", "")), str(elements.get("SOPClassUID", "")))
    syntax = str(elements.get("TransferSyntaxUID", ""))
    bits = str(elements.get("BitsStored", ""))
    return {
        "bits_stored": float(bits) if bits.isdecimal() else 0.0,
        "burned_in": burned_in(elements),
        "view": view(elements, modality),
        "pixel_aspect": pixel_aspect(elements),
        **lossy_quality(elements, syntax, size),
        **{name: int(kind == name) for name in _KINDS},
    }


def picture_quality(mode: str, metadata: PictureMetadata, lossy_ratio: float | None = None) -> Quality:
    """What a plain picture's file and its row of the CSV tell; `mode` is that of PIL, `lossy_ratio` the size
    of its pixels / its own, None where it was compressed without loss.
    """
    elements = {"Modality": metadata.modality or "", "ViewPosition": metadata.view or ""}
    return {
        "bits_stored": {"1": 1.0, "I;16": 16.0, "I;16B": 16.0, "I": 32.0, "F": 32.0}.get(mode, 8.0),
        "burned_in": burned_in(elements),
        "view": view(elements, metadata.modality or "OT"),
        "pixel_aspect": 1.0,
        "lossy": int(lossy_ratio is not None),
        "lossy_ratio": 1.0 if lossy_ratio is None else round(max(lossy_ratio, 1.0), 2),
        **dict.fromkeys(_KINDS, 0),
        **({"split": metadata.split} if metadata.split else {}),
    }
