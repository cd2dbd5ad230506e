"""The header of one image file: what grouping, ordering and the index need, and nothing that names a
person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.deidentify import SecretKey, age_in_years, content_uid, parse_date, without_identifiers

# Values as `elements` and `fast_elements` give them: text with backslashes between several values, or an
# integer.
Elements = Mapping[str, str | int]

IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientBirthDate",
    "PatientAddress",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
)
NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
VOLUME_MODALITIES = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True, slots=True)
class Header:
    """One file that should hold an image. `derived` says that its SOP Instance UID was made from its
    content.
    """

    path: str
    size: int
    mtime_ns: int
    kind: str  # "dicom" or "picture"
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    patient_key: str = ""
    patient_sex: str | None = None
    patient_age: float | None = None
    study_date: str | None = None
    study_description: str | None = None
    modality: str = "OT"
    body_part_examined: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    series_description: str | None = None
    manufacturer: str | None = None
    photometric_interpretation: str = ""
    rows: int = 0
    columns: int = 0
    number_of_frames: int = 1
    instance_number: int | None = None
    image_type: str = ""
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    quality: Mapping[str, float | str | bool] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    derived: bool = False

    @property
    def is_volume(self) -> bool:
        """Whether the file is drawn together with its series."""
        return self.kind == "dicom" and self.modality in VOLUME_MODALITIES


def make_header(
    path: str, size: int, mtime_ns: int, elements: Elements, key: SecretKey, content_hash: str | None
) -> Header:
    """Turn the elements of a DICOM file into a `Header`; identifying values end here.

    `content_hash` (hex, at least 128 bits) stands in for a missing SOP Instance UID; it may be None if there
    is one.
    """
    sop = usable_uid(elements, "SOPInstanceUID")
    derived = not sop
    sop = sop or content_uid(content_hash or "0" * 32)
    study = usable_uid(elements, "StudyInstanceUID") or content_uid_of("study", sop)
    series = usable_uid(elements, "SeriesInstanceUID") or content_uid_of("series", sop)
    patient_id = _text(elements, "PatientID")
    study_date = _text(elements, "StudyDate") or ""
    identifiers = [str(elements.get(keyword, "")) for keyword in IDENTIFIERS]
    names = [str(elements.get(keyword, "")) for keyword in NAMES]
    day = parse_date(study_date)
    return Header(
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        kind="dicom",
        sop_instance_uid=sop,
        series_instance_uid=series,
        study_instance_uid=study,
        sop_class_uid=usable_uid(elements, "SOPClassUID"),
        transfer_syntax_uid=usable_uid(elements, "TransferSyntaxUID"),
        patient_key=key.patient_key(_text(elements, "IssuerOfPatientID") or "", patient_id)
        if patient_id
        else key.patient_key_of_study(study),
        patient_sex=_sex(elements),
        patient_age=age_in_years(
            _text(elements, "PatientAge") or "", _text(elements, "PatientBirthDate") or "", study_date
        ),
        study_date=day.isoformat() if day else None,
        study_description=without_identifiers(_text(elements, "StudyDescription") or "", identifiers, names),
        modality=(_text(elements, "Modality") or "OT").upper(),
        body_part_examined=_text(elements, "BodyPartExamined"),
        view_position=_text(elements, "ViewPosition"),
        laterality=_text(elements, "ImageLaterality") or _text(elements, "Laterality"),
        series_description=without_identifiers(
            _text(elements, "SeriesDescription") or "", identifiers, names
        ),
        manufacturer=_text(elements, "Manufacturer"),
        photometric_interpretation=(_text(elements, "PhotometricInterpretation") or "").upper(),
        rows=_integer(elements, "Rows") or 0,
        columns=_integer(elements, "Columns") or 0,
        # Every frame takes a byte at least, so a lying count is bounded by the file.
        number_of_frames=min(max(_integer(elements, "NumberOfFrames") or 1, 1), max(size, 1)),
        instance_number=_integer(elements, "InstanceNumber"),
        image_type=(_text(elements, "ImageType") or "").upper(),
        position=_floats(elements, "ImagePositionPatient", 3),
        orientation=_floats(elements, "ImageOrientationPatient", 6),
        quality=_quality(elements),
        warnings=("sop-instance-uid-derived",) if derived else (),
        derived=derived,
    )


def content_uid_of(purpose: str, sop_instance_uid: str) -> str:
    """A UID for the study or series of an instance that names none."""
    return content_uid(hashlib.sha256(f"{purpose}\0{sop_instance_uid}".encode()).hexdigest())


def _quality(elements: Elements) -> dict[str, float | str | bool]:
    quality: dict[str, float | str | bool] = {}
    bits = _integer(elements, "BitsStored")
    if bits:
        quality["bits_stored"] = float(bits)
    if (_text(elements, "BurnedInAnnotation") or "").upper() == "YES":
        quality["burned_in_annotation"] = True
    if _text(elements, "LossyImageCompression") == "01":
        quality["lossy"] = True
    if "LOCALIZER" in (_text(elements, "ImageType") or "").upper():
        quality["localizer"] = True
    return quality


def _text(elements: Elements, keyword: str) -> str | None:
    return str(elements.get(keyword, "")).replace("\0", "").strip() or None


def usable_uid(elements: Elements, keyword: str) -> str:
    """A UID, or an empty text if it is absent or cannot be one (PS3.5 9: at most 64 characters)."""
    text = _text(elements, keyword) or ""
    return text if len(text) <= 64 and text.replace(".", "").isalnum() else ""


def _sex(elements: Elements) -> str | None:
    sex = (_text(elements, "PatientSex") or "").upper()[:1]
    return sex if sex in {"M", "F", "O"} else None


def _integer(elements: Elements, keyword: str) -> int | None:
    text = str(elements.get(keyword, "")).split("\\")[0].strip()
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None


def _floats(elements: Elements, keyword: str, count: int) -> tuple[float, ...] | None:
    parts = str(elements.get(keyword, "")).split("\\")
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(abs(n) < 1e9 for n in numbers) else None
