"""The texts of a header that are stored, without those that may name a person."""

from __future__ import annotations

import re

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.privacy.deidentify import Phi
from medsiglip.ingest.privacy.free_text import (
    code_string,
    identity_of,
    manufacturer_known,
    without_identifiers,
)

# Elements whose values must not occur in a text, word by word.
IDENTIFIERS = (
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "MedicalRecordLocator",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "ReferringPhysicianName",
    "RequestingPhysician",
    "PhysiciansOfRecord",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "ResponsiblePerson",
)
# Elements whose values must not occur as a whole; their words are common.
PHRASES = ("InstitutionName",)
# Names of the patient: here words of one or two letters count too.
NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
# Dates that a text may hold where no date of birth is known: they are stored anyway.
DAYS = ("StudyDate",)
# What a home that keeps identities stores with a study.
KEPT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "AccessionNumber")
# Known names of manufacturers, which are kept where free text is dropped.
MANUFACTURERS = (
    "Siemens",
    "GE",
    "Philips",
    "Canon",
    "Toshiba",
    "Hitachi",
    "Fujifilm",
    "Agfa",
    "Carestream",
    "Kodak",
    "Konica Minolta",
    "Hologic",
    "Samsung",
    "Shimadzu",
    "Mindray",
    "Esaote",
    "Varian",
    "Elekta",
    "Leica",
    "Hamamatsu",
    "Olympus",
    "Zeiss",
    "Topcon",
)
# Modality, PS3.3 C.7.3.1.1.1, retired terms too.
_MODALITIES = """
    AR AS ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DR DS DX EC ECG EEG EMG EOG
    EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM OPT OPTBSV
    OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD
    RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF XA XC XAPROTOCOL
"""
# View Position, PS3.3 C.8.1.1, C.8.7.1 and PS3.16 CID 4014.
_VIEWS = """
    AP PA LL RL LLD RLD LLO RLO LAO RAO LPO RPO OBL LAT ML LM MLO LMO CC XCC XCCL XCCM FB SIO ISO AX TAN CV
"""
# Body Part Examined, PS3.16 annex L: those that images are made of most.
_BODY_PARTS = """
    ABDOMEN ABDOMENPELVIS ANKLE AORTA ARM BLADDER BRAIN BREAST CALCANEUS CAROTID CERVIX CHEST CHESTABDOMEN
    CHESTABDPELVIS CLAVICLE COCCYX COLON CSPINE CTSPINE EAR ELBOW ESOPHAGUS EXTREMITY EYE FACE FEMUR FINGER
    FOOT FOREARM GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS IAC JAW KIDNEY KNEE LEG LIVER LSPINE
    LSSPINE LUNG MANDIBLE MAXILLA MEDIASTINUM NECK NECKCHEST NOSE ORBIT PANCREAS PATELLA PELVIS PROSTATE
    RECTUM RIB SACRUM SCAPULA SHOULDER SINUS SKIN SKULL SPINE SPLEEN STERNUM
    STOMACH THIGH THORAX THUMB THYROID TIBFIB TLSPINE TMJ TOE TONGUE TRACHEA TSPINE UTERUS WHOLEBODY WRIST
    ZYGOMA
"""
_PHOTOMETRIC = """
    MONOCHROME1 MONOCHROME2 RGB YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_PARTIAL_422 YBR_ICT YBR_RCT
"""

# Defined terms of coded elements in upper case (PS3.3, PS3.16), kept even if a patient has the same name.
TERMS: dict[str, frozenset[str]] = {
    "Modality": frozenset(_MODALITIES.split()),
    "ViewPosition": frozenset(_VIEWS.split()),
    "BodyPartExamined": frozenset(_BODY_PARTS.split()),
    "Laterality": frozenset("LRBU"),
    "ImageLaterality": frozenset("LRBU"),
    "PhotometricInterpretation": frozenset([*_PHOTOMETRIC.split(), "PALETTE COLOR"]),
}
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class HeaderTexts:
    """Texts of a header as a home with this `phi` keeps them."""

    def __init__(self, elements: Elements, phi: Phi) -> None:
        self._elements = elements
        self._phi = phi
        identifiers, names, phrases, days = (
            tuple(str(elements.get(keyword, "")) for keyword in keywords)
            for keywords in (IDENTIFIERS, NAMES, PHRASES, DAYS)
        )
        self._people = identity_of(identifiers, names, phrases, days)

    def free(self, keyword: str) -> str | None:
        """A description, or None if it is not known to name nobody or the home keeps none."""
        text = self._text(keyword)
        if text is None or self._phi == "keep":
            return text
        return None if self._phi == "strict" else without_identifiers(text, self._people)

    def code(self, keyword: str) -> str | None:
        """A value of VR CS in upper case, or None if it is not a code; a defined term is kept even if it is
        also a name of the patient.
        """
        text = self._text(keyword)
        term = text and text.split("\\")[0].strip().upper()
        return term if term in TERMS[keyword] else text and code_string(text, self._people)

    def description(self, text: str) -> str | None:
        """Another text of the header, or None if it is not known to name nobody or the home is strict."""
        return None if self._phi == "strict" else without_identifiers(text, self._people)

    def coded(self, text: str) -> str | None:
        """One value of another element of VR CS, as `code` gives it."""
        return code_string(text, self._people)

    def is_identifier(self, text: str) -> bool:
        """Whether a text, such as a number, is a word of what identifies the patient."""
        return not self._people.words.isdisjoint({text.casefold(), text.lstrip("0")} - {""})

    def manufacturer(self) -> str | None:
        """Manufacturer; if its text is not kept, the known name in it."""
        text = self._text("Manufacturer") or ""
        return self.free("Manufacturer") or manufacturer_known(text, MANUFACTURERS)

    def identity(self) -> dict[str, str] | None:
        """Identity of the patient, in a home that keeps it; keys are DICOM keywords in snake_case."""
        if self._phi != "keep":
            return None
        found = {_SNAKE.sub("_", keyword).lower(): self._text(keyword) for keyword in KEPT}
        return {name: text for name, text in found.items() if text} or None

    def _text(self, keyword: str) -> str | None:
        return str(self._elements.get(keyword, "")).replace("\0", "").strip() or None
