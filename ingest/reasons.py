"""Why a file gives no image: the table of codes, each with its outcome and a sentence that names the cure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["skipped", "quarantined"]
SKIPPED: Outcome = "skipped"
QUARANTINED: Outcome = "quarantined"

_HOLDS_NO_PICTURE = "is DICOM but holds no picture to embed ({kind}); nothing needs to be done"

REASONS: dict[str, tuple[Outcome, str]] = {
    "not-an-image": (
        SKIPPED,
        "is neither DICOM nor a picture (PNG, JPEG, TIFF, BMP) nor a volume (NIfTI, NRRD, MetaImage); "
        "nothing needs to be done",
    ),
    "apple-double": (
        SKIPPED,
        "holds what macOS keeps beside another file (its name begins with ._); nothing needs to be done",
    ),
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
    "spectroscopy": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="MR spectra")),
    "slide-label": (
        SKIPPED,
        "is a photograph of a slide's label or of the whole slide with it, which may name the patient: this "
        "home keeps no such pictures (--phi strict); nothing needs to be done",
    ),
    "encapsulated-document": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="an encapsulated document")),
    "no-picture-class": (SKIPPED, _HOLDS_NO_PICTURE.format(kind="registration, raw or other data")),
    "no-pixel-data": (
        SKIPPED,
        "is readable DICOM without a pixel data element; if a picture is expected, fetch the file again",
    ),
    "private-compression": (
        QUARANTINED,
        "holds its picture in a compression of its maker's own (such as PMSCT_RLE1), which only the maker's "
        "programs read; have them export it in a transfer syntax of DICOM",
    ),
    "not-dicom": (
        QUARANTINED,
        "is named .dcm but is not DICOM; remove it, or replace it by the file that was meant",
    ),
    "empty-file": (QUARANTINED, "is empty; fetch it again from where it came"),
    "metadata-csv": (SKIPPED, "is the metadata table of this run; nothing needs to be done"),
    "damaged-archive": (
        QUARANTINED,
        "is an archive, or part of one, that is damaged or ends early; what was whole in it was used; "
        "fetch it again from where it came",
    ),
    "encrypted-member": (
        QUARANTINED,
        "is a part of an archive that is protected by a password; unpack it and ingest the folder",
    ),
    "nested-archive": (
        QUARANTINED,
        "is an archive within an archive that is not read in place; unpack the outer one and ingest that",
    ),
    "unsupported-archive": (
        QUARANTINED,
        "is packed in a way that is not read in place; unpack it and ingest the folder",
    ),
    "archive-too-large": (
        QUARANTINED,
        "is an archive that unpacks to far more than it should or has too many members; "
        "if it can be trusted, unpack it and ingest the folder",
    ),
    "nested-too-deep": (
        QUARANTINED,
        "has sequences within sequences deeper than any real header; export it again",
    ),
    "truncated": (QUARANTINED, "ends before its data does; fetch it again from where it came"),
    "unreadable-header": (QUARANTINED, "has a DICOM header that cannot be read; export it again"),
    "outside-roots": (
        SKIPPED,
        "is a link out of the folders that may be read; name the place that it leads to among them",
    ),
    "permission-denied": (QUARANTINED, "may not be read by this user; give read permission and run again"),
    "unreadable-file": (QUARANTINED, "could not be read from the disk; check the disk and run again"),
    "source-gone": (
        QUARANTINED,
        "is not where it was when it was ingested; put it back and run again (a home that keeps no paths "
        "needs them named by --source), or ingest it from where it is now",
    ),
    "source-changed": (
        QUARANTINED,
        "does not hold the pixels any more that it was ingested with; put the earlier file back and run "
        "again, or ingest it as it is now",
    ),
    "no-decoder": (
        QUARANTINED,
        "uses a transfer syntax that no installed decoder handles; convert it to an uncompressed syntax",
    ),
    "undecodable-pixels": (QUARANTINED, "has pixel data that no decoder can read; export it again"),
    "inconsistent-pixels": (
        QUARANTINED,
        "has pixel data that contradict its header (rows, columns, bits or frames); export it again",
    ),
    "undecodable-volume": (
        QUARANTINED,
        "is a NIfTI, NRRD or MetaImage file that cannot be read: damaged, without its data file beside it, "
        "or of a kind without slices; fetch it again, or convert it to .nii.gz",
    ),
    "undecodable-picture": (QUARANTINED, "is a damaged PNG, JPEG, TIFF or BMP picture; fetch it again"),
    "picture-too-large": (QUARANTINED, "has too many pixels to decode safely; make a smaller copy"),
    "decoder-crashed": (
        QUARANTINED,
        "makes a pixel decoder crash; convert it to an uncompressed transfer syntax and run again",
    ),
    "decoder-timeout": (
        QUARANTINED,
        "takes too much processor time to decode, or hangs; convert it to an uncompressed transfer syntax",
    ),
    "decoder-memory": (
        QUARANTINED,
        "needs more memory to decode than one file may take; make a smaller copy",
    ),
}


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is skipped or quarantined; `path` is absolute. `patient_key` and `study_instance_uid`, as
    the home keeps them, are None if its header does not name them.
    """

    path: str
    code: str
    patient_key: str | None = field(default=None, repr=False, compare=False)
    study_instance_uid: str | None = field(default=None, repr=False, compare=False)

    @property
    def outcome(self) -> Outcome:
        """`skipped` or `quarantined`."""
        return REASONS[self.code][0]

    @property
    def reason(self) -> str:
        """One sentence that names the cure and holds no patient data."""
        return f"The file {REASONS[self.code][1]}."
