"""Texts of a header that are stored, without what may name a person."""

from __future__ import annotations

import re
from collections.abc import Mapping

from medsiglip.ingest.dicom.defined_terms import TERMS
from medsiglip.ingest.privacy.deidentify import Phi
from medsiglip.ingest.privacy.free_text import (
    code_string,
    identity_of,
    manufacturer_known,
    without_identifiers,
)

Elements = Mapping[str, str | int]

# Elements whose values must not be found in a text, word by word.
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
    "ReferringPhysicianName",
    "RequestingPhysician",
    "PhysiciansOfRecord",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "ResponsiblePerson",
)
# Elements whose values must not be found as a whole, for their words are those of any hospital.
PHRASES = ("InstitutionName",)
# Person names of the patient: of these, words of one or two letters count as well.
NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName")
# What a home that keeps identities stores with a study.
KEPT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "AccessionNumber")
# Names by which manufacturers are known: where free text is dropped, these stay.
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
_SNAKE = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class HeaderTexts:
    """Texts of a header as a home keeps them that keeps `phi` of a person."""

    def __init__(self, elements: Elements, phi: Phi) -> None:
        self._elements = elements
        self._phi = phi
        identifiers, names, phrases = (
            tuple(str(elements.get(keyword, "")) for keyword in keywords)
            for keywords in (IDENTIFIERS, NAMES, PHRASES)
        )
        self._people = identity_of(identifiers, names, phrases)

    def free(self, keyword: str) -> str | None:
        """A description, or None where it may name somebody or none is kept."""
        text = self._text(keyword)
        if text is None or self._phi == "keep":
            return text
        return None if self._phi == "strict" else without_identifiers(text, self._people)

    def code(self, keyword: str) -> str | None:
        """A value of VR CS in upper case, or None where it is not; a defined term is kept, though somebody
        may be called so.
        """
        text = self._text(keyword)
        term = text and text.split("\\")[0].strip().upper()
        return term if term in TERMS[keyword] else text and code_string(text, self._people)

    def manufacturer(self) -> str | None:
        """Manufacturer; where its text is not kept, the known name in it."""
        text = self._text("Manufacturer") or ""
        return self.free("Manufacturer") or manufacturer_known(text, MANUFACTURERS)

    def identity(self) -> dict[str, str] | None:
        """Who it is, in a home that keeps it; keys are DICOM keywords in snake_case."""
        if self._phi != "keep":
            return None
        found = {_SNAKE.sub("_", keyword).lower(): self._text(keyword) for keyword in KEPT}
        return {name: text for name, text in found.items() if text} or None

    def _text(self, keyword: str) -> str | None:
        return str(self._elements.get(keyword, "")).replace("\0", "").strip() or None
