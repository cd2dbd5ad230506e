"""The header of one image file: what grouping, ordering and the index need, without identifying values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.dicom.sop_classes import WHOLE_SLIDE_MICROSCOPY
from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED, TRANSFER_SYNTAXES
from medsiglip.ingest.header.burned_in import may_show_label
from medsiglip.ingest.header.header_texts import HeaderTexts
from medsiglip.ingest.header.quality import header_quality
from medsiglip.ingest.header.slice_place import SlicePlace, place_of_elements
from medsiglip.ingest.privacy.deidentify import SecretKey, age_in_years, content_uid, parse_date, parse_time
from medsiglip.ingest.reasons import Rejected

if TYPE_CHECKING:
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.header.metadata import PictureMetadata


_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")
# Bytes of an item's header and of any codestream; RFC 1951 packs 258 bytes into two bits.
_LEAST_FRAGMENT = 16
_DEFLATE_AT_MOST = 1032
VOLUME_MODALITIES = frozenset({"CT", "MR", "PT"})


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one image file. `derived` means that its SOP Instance UID was made from its content.

    `frames` holds the places of the frames of a CT, MR or PET file, as far as they are known; `tiles` is the
    number of slices of a mosaic, which count as frames; `volumes` is the number of volumes of a volume file,
    which have equal numbers of frames. `identity` names the person in a home that keeps identities.
    `slide_label` means that the image shows the label of a slide or the whole glass.
    """

    path: str
    size: int
    mtime_ns: int
    kind: str  # "dicom", "picture" or "volume"
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    patient_key: str = ""
    patient_sex: str | None = None
    patient_age: float | None = None
    study_date: str | None = None
    study_time: str | None = None
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
    frames: tuple[SlicePlace, ...] = ()
    tiles: int = 0
    volumes: int = 1
    identity: Mapping[str, str] | None = field(default=None, repr=False)
    slide_label: bool = False

    @property
    def is_slide(self) -> bool:
        """Whether the file is a level or the label of a slide, rendered with its series (PS3.3 A.32.8)."""
        return self.kind == "dicom" and self.sop_class_uid == WHOLE_SLIDE_MICROSCOPY

    @property
    def is_volume(self) -> bool:
        """Whether the file is rendered together with its series."""
        return self.kind == "dicom" and self.modality in VOLUME_MODALITIES

    def refused(self, code: str) -> Rejected:
        """The file as rejected, with a code of `medsiglip.ingest.reasons`."""
        return Rejected(self.path, code, self.patient_key or None, self.study_instance_uid)


def make_header(
    path: str, size: int, mtime_ns: int, elements: Elements, key: SecretKey, content_hash: str | None
) -> Header:
    """Turn the elements of a DICOM file into a `Header`, without identifying values.

    `content_hash` (hex, at least 128 bits) replaces a missing SOP Instance UID; it may be None if there is
    one.
    """
    sop = usable_uid(elements, "SOPInstanceUID")
    derived = not sop
    sop = sop or content_uid(content_hash or "0" * 32)
    study = _group_uid(elements, "StudyInstanceUID", key) or content_uid_of("study", sop)
    series = _group_uid(elements, "SeriesInstanceUID", key) or content_uid_of("series", sop)
    patient_key = _patient_key(elements, key, study)
    study_date = _text(elements, "StudyDate") or ""
    age = age_in_years(
        _text(elements, "PatientAge") or "", _text(elements, "PatientBirthDate") or "", study_date
    )
    day = key.day(parse_date(study_date), patient_key)
    texts = HeaderTexts(elements, key.phi)
    modality = texts.code("Modality") or "OT"
    instance_number = _integer(elements, "InstanceNumber")
    position = _floats(elements, "ImagePositionPatient", 3)
    orientation = _floats(elements, "ImageOrientationPatient", 6)
    return Header(
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        kind="dicom",
        sop_instance_uid=key.uid(sop),
        series_instance_uid=key.uid(series),
        study_instance_uid=key.uid(study),
        sop_class_uid=_registered_uid(elements, "SOPClassUID"),
        transfer_syntax_uid=_registered_uid(elements, "TransferSyntaxUID"),
        patient_key=patient_key,
        patient_sex=_sex(elements),
        patient_age=key.age(age),
        study_date=day.isoformat() if day else None,
        study_time=key.time(parse_time(_text(elements, "StudyTime") or "")) if day else None,
        study_description=texts.free("StudyDescription"),
        modality=modality,
        body_part_examined=texts.code("BodyPartExamined"),
        view_position=texts.code("ViewPosition"),
        laterality=texts.code("ImageLaterality") or texts.code("Laterality"),
        series_description=texts.free("SeriesDescription"),
        manufacturer=texts.manufacturer(),
        photometric_interpretation=texts.code("PhotometricInterpretation") or "",
        rows=_integer(elements, "Rows") or 0,
        columns=_integer(elements, "Columns") or 0,
        number_of_frames=_frame_count(elements, size),
        instance_number=instance_number,
        image_type=(_text(elements, "ImageType") or "").upper(),
        position=position,
        orientation=orientation,
        quality={**header_quality(elements, modality, size), **_site(elements, key)},
        warnings=("sop-instance-uid-derived",) if derived else (),
        derived=derived,
        frames=(place_of_elements(elements, position, orientation, instance_number),)
        if modality in VOLUME_MODALITIES
        else (),
        identity=texts.identity(),
        slide_label=may_show_label(elements),
    )


def _site(elements: Elements, key: SecretKey) -> dict[str, str]:
    """The institution (PS3.3 C.7.5.1) as a hash, which tells it apart from others and does not name it."""
    name = _text(elements, "InstitutionName")
    return {"site": key.site(name)} if name else {}


def refused(path: str, code: str, elements: Elements, key: SecretKey) -> Rejected:
    """A rejected DICOM file, with the patient and the study that its header names, if any."""
    study = _group_uid(elements, "StudyInstanceUID", key)
    is_known = bool(study or _text(elements, "PatientID"))
    patient_key = _patient_key(elements, key, study) if is_known else None
    return Rejected(path, code, patient_key, key.uid(study) or None)


def plain_header(found: FoundFile, digest: str, metadata: PictureMetadata, key: SecretKey) -> Header:
    """The header of a picture or a volume, from its content hash (`digest`, hex) and its row of the metadata
    CSV; without the attributes of its pixels.
    """
    sop = content_uid(digest)
    study = key.derived_uid("study", metadata.patient_id, metadata.study_id) if metadata.study_id else ""
    study = study or content_uid_of("study", sop)
    is_named = bool(metadata.patient_id)
    return Header(
        path=found.path,
        size=found.size,
        mtime_ns=found.mtime_ns,
        kind="picture",
        sop_instance_uid=sop,
        series_instance_uid=content_uid_of("series", sop),
        study_instance_uid=study,
        patient_key=key.patient_key("", metadata.patient_id) if is_named else key.patient_key_of_study(study),
        patient_sex=metadata.sex,
        patient_age=metadata.age,
        modality=metadata.modality or "OT",
        body_part_examined=metadata.body_part,
        view_position=metadata.view,
        derived=True,
    )


def content_uid_of(purpose: str, sop_instance_uid: str) -> str:
    """A UID for the study or series of an instance without one."""
    return content_uid(hashlib.sha256(f"{purpose}\0{sop_instance_uid}".encode()).hexdigest())


def as_kept(header: Header, key: SecretKey) -> Header:
    """A header of `plain_header` with UIDs and age as the home of `key` keeps them."""
    return replace(
        header,
        sop_instance_uid=key.uid(header.sop_instance_uid),
        series_instance_uid=key.uid(header.series_instance_uid),
        study_instance_uid=key.uid(header.study_instance_uid),
        patient_age=key.age(header.patient_age),
    )


def _patient_key(elements: Elements, key: SecretKey, study_instance_uid: str) -> str:
    patient_id = _text(elements, "PatientID")
    if patient_id:
        return key.patient_key(_text(elements, "IssuerOfPatientID") or "", patient_id)
    return key.patient_key_of_study(study_instance_uid)


def _text(elements: Elements, keyword: str) -> str | None:
    return str(elements.get(keyword, "")).replace("\0", "").strip() or None


def usable_uid(elements: Elements, keyword: str) -> str:
    """A UID, or an empty text if it is absent or cannot be one (PS3.5 9: at most 64 digits and dots).

    A text with letters may hold a name. Leading zeros, though wrong, distinguish UIDs and are kept.
    """
    text = _text(elements, keyword) or ""
    return text if len(text) <= 64 and _DIGITS_AND_DOTS.fullmatch(text) else ""


def _group_uid(elements: Elements, keyword: str, key: SecretKey) -> str:
    """The UID of a study or series; an invalid one is replaced by a derived one, so that its files stay
    together.
    """
    text = _text(elements, keyword) or ""
    return usable_uid(elements, keyword) or (text and key.derived_uid(keyword, text))


def _registered_uid(elements: Elements, keyword: str) -> str:
    """A UID of the standard or of a manufacturer, which does not identify a person."""
    return usable_uid(elements, keyword)


def _sex(elements: Elements) -> str | None:
    sex = (_text(elements, "PatientSex") or "").upper()[:1]
    return sex if sex in {"M", "F", "O"} else None


def _integer(elements: Elements, keyword: str) -> int | None:
    text = str(elements.get(keyword, "")).split("\\")[0].strip()
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1 << 31 else None  # PS3.5 6.2: the range of IS


def _frame_count(elements: Elements, size: int) -> int:
    """Number of Frames (0028,0008), but at most one more than a file of this size has room for: a wrong count
    takes no memory, and is detected by the missing frame.
    """
    stated = max(_integer(elements, "NumberOfFrames") or 1, 1)
    syntax = TRANSFER_SYNTAXES.get(_registered_uid(elements, "TransferSyntaxUID"))
    pixels = (_integer(elements, "Rows") or 0) * (_integer(elements, "Columns") or 0)
    bits = pixels * (_integer(elements, "BitsStored") or 1)
    if bits <= 0 or (syntax is not None and syntax.encapsulated):
        bits = 8 * _LEAST_FRAGMENT
    if syntax is not None and syntax.uid == DEFLATED:
        size *= _DEFLATE_AT_MOST
    return min(stated, 8 * size // bits + 1)


def _floats(elements: Elements, keyword: str, count: int) -> tuple[float, ...] | None:
    parts = str(elements.get(keyword, "")).split("\\")
    try:
        numbers = tuple(float(part) for part in parts)
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(abs(n) < 1e9 for n in numbers) else None
