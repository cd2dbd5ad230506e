"""Why a file did not become an image: one table of codes, each with its outcome and a sentence that names the
cure.
"""

from __future__ import annotations

from dataclasses import dataclass

SKIPPED, QUARANTINED = "skipped", "quarantined"

_HOLDS_NO_PICTURE = "is DICOM but holds no picture to embed ({kind}); nothing needs to be done"

REASONS: dict[str, tuple[str, str]] = {
    "not-an-image": (SKIPPED, "is neither DICOM nor PNG, JPEG, TIFF or BMP; nothing needs to be done"),
    "dicomdir": (SKIPPED, "is a DICOMDIR, a table of contents; the files it lists are read by themselves"),
    "structured-report": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a structured report")),
    "key-object": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a key object selection")),
    "presentation-state": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a presentation state")),
    "waveform": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a waveform")),
    "segmentation": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a segmentation")),
    "parametric-map": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a parametric map")),
    "annotation": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="annotations")),
    "rt-dose": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a radiotherapy dose grid")),
    "rt-object": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="a radiotherapy plan, structure set or record")),
    "encapsulated-document": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="an encapsulated document")),
    "no-picture-class": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="registration, raw or other data")),
    "no-pixel-data": (
        SKIPPED,
        "is readable DICOM without a pixel data element; if a picture is expected, fetch the file again",
    ),
    "not-dicom": (
        QUARANTINED,
        "is named .dcm but is not DICOM; remove it, or replace it by the file that was meant",
    ),
    "empty-file": (QUARANTINED, "is empty; fetch it again from where it came"),
    "truncated": (QUARANTINED, "ends before its data does; fetch it again from where it came"),
    "unreadable-header": (QUARANTINED, "has a DICOM header that cannot be read; export it again"),
    "permission-denied": (QUARANTINED, "may not be read by this user; give read permission and run again"),
    "unreadable-file": (QUARANTINED, "could not be read from the disk; check the disk and run again"),
    "no-decoder": (
        QUARANTINED,
        "uses a transfer syntax that no installed decoder handles; convert it to an uncompressed syntax",
    ),
    "undecodable-pixels": (QUARANTINED, "has pixel data that no decoder can read; export it again"),
    "inconsistent-pixels": (
        QUARANTINED,
        "has pixel data that contradict its header (rows, columns, bits or frames); export it again",
    ),
    "undecodable-picture": (QUARANTINED, "is a damaged PNG, JPEG, TIFF or BMP picture; fetch it again"),
    "picture-too-large": (QUARANTINED, "has too many pixels to decode safely; make a smaller copy"),
    "decoder-crashed": (
        QUARANTINED,
        "makes a pixel decoder crash; convert it to an uncompressed transfer syntax and run again",
    ),
    "decoder-timeout": (
        QUARANTINED,
        "takes too long to decode; convert it to an uncompressed transfer syntax",
    ),
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is skipped or quarantined; `path` is absolute."""

    path: str
    code: str

    @property
    def outcome(self) -> str:
        """`skipped` or `quarantined`."""
        return REASONS[self.code][0]

    @property
    def reason(self) -> str:
        """One sentence that names the cure and holds no patient data."""
        return f"The file {REASONS[self.code][1]}."
