"""The header of a file as it is handed on: allowed elements, what the home says of the case, and nothing that
names a person.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from functools import cache, partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.ingest.header.header_texts import TERMS, HeaderTexts
from medsiglip.ingest.privacy.deidentify import SecretKey, parse_date
from medsiglip.ingest.retrieval.allowed_elements import CODED, DEFINED, REGISTERED, allowed_vr, most_values
from medsiglip.ingest.retrieval.data_element import BYTES, NUMBERS, DataElement, text
from medsiglip.ingest.retrieval.instance_facts import InstanceFacts, dicom_age, dicom_date, dicom_time

if TYPE_CHECKING:
    from pydicom import Dataset

DEEPEST = 16
_PIXEL_REPRESENTATION = 0x00280103
# Type 2 elements whose words stay: Position Reference Indicator, Acquisition Context.
_EMPTIED = {0x00201040: "LO", 0x00400555: "SQ"}
_NUMERIC = frozenset({*NUMBERS, "DS", "IS"})
_BINARY = frozenset({*NUMBERS, *BYTES, "AT", "UN", None})
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_UID = re.compile(r"[0-9.]{1,64}")
_TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", re.ASCII)
_LONGEST_DS = 16
# Codes of DCM, SNOMED CT and SNOMED RT, and units of UCUM: a code of any other form may be a name.
_CODES = {
    "DCM": re.compile(r"\d{5,6}", re.ASCII),
    "SCT": re.compile(r"\d{6,18}", re.ASCII),
    **dict.fromkeys(("SRT", "SNM3"), re.compile(r"[A-Z]-[0-9A-F]{3,6}|[A-Z]\d-[0-9A-F]{3,6}", re.ASCII)),
}
# Type 1 of radiographs (PS3.3 table C.8-71); LIN is a name elsewhere.
_RELATIONSHIPS = {"PixelIntensityRelationship": ("LIN", "LOG", "DISP")}
_UNIT_CODES = """
    mm cm m s ms us 1 % deg rad [hnsf'U] {counts} {propcounts} Bq/ml kBq/ml g/ml g/ml{SUVbw} g/ml{SUVlbm}
    cm2/ml{SUVbsa} mm2/s 10*-6mm2/s um2/ms {ratio} ml/min ml/100ml T Hz ppm mg/ml cm/s
"""
_UNITS = frozenset(_UNIT_CODES.split())
_METHOD = "Allowed elements alone"


class Deidentifier:
    """Examines the headers of one file with the key of its home and the identifiers of its patient."""

    def __init__(self, key: SecretKey, texts: HeaderTexts) -> None:
        self._key = key
        self._texts = texts

    def data_set(self, header: Dataset, facts: InstanceFacts) -> dict[int, DataElement]:
        """What is handed on of a header without its pixels."""
        dated = facts if facts.study_date else None
        found = self._elements(header, _is_signed(header), dated, 0)
        found.update(_identity(facts, self._key))
        found.update({tag: DataElement(vr) for tag, vr in _EMPTIED.items() if tag in header})
        return found

    def _elements(
        self, dataset: Dataset, signed: bool, dated: InstanceFacts | None, depth: int
    ) -> dict[int, DataElement]:
        found: dict[int, DataElement] = {}
        # All before the first is accessed: with a sequence, pydicom converts other elements, too.
        stored = {int(tag): raw for tag, raw in dataset.items()}
        for tag, raw in stored.items():
            vr = allowed_vr(tag)
            if vr == "SQ":
                element = self._sequence(dataset, tag, signed, dated, depth)
            else:
                element = None if vr is None else self._element(dataset, tag, raw, vr, signed, dated)
            if element is not None:
                found[tag] = element
        return self._without_unknown_codes(found)

    def _element(
        self, dataset: Dataset, tag: int, raw: Any, vr: str, signed: bool, dated: InstanceFacts | None
    ) -> DataElement | None:
        if not raw.is_raw:
            return None
        vr = _own_vr(raw.VR, vr, signed)
        if not raw.value:
            return DataElement(vr)  # Type 2: it must be there and may be empty (PS3.5 7.4.3)
        if vr in _BINARY and raw.VR not in _BINARY:
            return None  # a text, which numbers would spell
        if vr in NUMBERS or vr == "AT":
            read = _tags if vr == "AT" else partial(_numbers, vr)
            found = read(raw.value, little=raw.is_little_endian)
            return found if found is None or len(found.values) <= most_values(tag) else None
        if vr in BYTES:
            return DataElement(vr, (_words(raw.value, little=raw.is_little_endian),))
        parts = [part.strip(" \0") for part in raw.value.decode("latin-1").split("\\")]
        if vr in ("DS", "IS"):
            return self._decimals(vr, parts)
        if vr in ("DA", "TM"):
            return None if dated is None else self._moments(vr, parts, dated.patient_key)
        if vr == "CS":
            return _some(vr, (self._code(tag, part) for part in parts))
        if vr == "UI":
            return _some(vr, (self._uid(tag, part) for part in parts))
        return self._text(dataset, tag, vr) if vr in ("LO", "SH") else None

    def _sequence(
        self, dataset: Dataset, tag: int, signed: bool, dated: InstanceFacts | None, depth: int
    ) -> DataElement | None:
        try:
            items = list(dataset[tag].value or ()) if dataset[tag].VR == "SQ" else None
        except Exception:  # pydicom parses a sequence on access, and may raise anything
            return None
        if depth >= DEEPEST or items is None:
            return None
        kept = tuple(self._elements(item, signed, dated, depth + 1) for item in items)
        return DataElement("SQ", kept) if any(kept) or not items else None

    def _decimals(self, vr: str, parts: Iterable[str]) -> DataElement | None:
        values = []
        for part in parts:
            if part and not _DECIMAL.fullmatch(part):
                return None
            number = float(part or 0)
            if not isfinite(number) or self._texts.is_identifier(part):
                return None
            if vr == "IS" and part:
                if abs(number) >= 1 << 31:
                    return None
                part = str(int(number))
            values.append(part if len(part) <= _LONGEST_DS else f"{number:.9g}")
        return _some(vr, values)

    def _moments(self, vr: str, parts: list[str], patient_key: str) -> DataElement | None:
        if vr == "DA":
            day = self._key.day(parse_date(parts[0]), patient_key)
            return DataElement("DA", (day.strftime("%Y%m%d").zfill(8),)) if day else None
        time = self._key.time(parts[0]) or ""
        return DataElement("TM", (time,)) if _TIME.fullmatch(time) else None

    def _code(self, tag: int, part: str) -> str | None:
        from pydicom.datadict import dictionary_keyword

        term = part.upper()
        keyword = dictionary_keyword(tag)
        is_term = term in DEFINED or term in TERMS.get(keyword, ()) or term in _RELATIONSHIPS.get(keyword, ())
        return term if is_term else self._texts.coded(part)

    def _uid(self, tag: int, part: str) -> str | None:
        from pydicom.datadict import dictionary_keyword

        if not _UID.fullmatch(part):
            return None
        return part if dictionary_keyword(tag) in REGISTERED else self._key.uid(part)

    def _text(self, dataset: Dataset, tag: int, vr: str) -> DataElement | None:
        try:
            value = dataset[tag].value
        except Exception:  # pydicom decodes a text on access, and may raise anything
            return None
        parts = [value] if isinstance(value, str) else [str(one) for one in value or ()]
        if tag in _code_tags():
            return _some(vr, parts)  # examined together with the others of its item
        return _some(vr, (self._short(part) or self._texts.description(part) for part in parts))

    def _short(self, part: str) -> str | None:
        """A number of one to three digits, such as a Stack ID, which is kept in any home."""
        return part if re.fullmatch(r"\d{1,3}", part, re.ASCII) else None

    def _without_unknown_codes(self, found: dict[int, DataElement]) -> dict[int, DataElement]:
        tags = [tag for tag in _code_tags() if tag in found]
        if tags:
            given = {keyword: found[tag].values for tag, keyword in _code_tags().items() if tag in found}
            told = {keyword: values[0] if values else None for keyword, values in given.items()}
            if not self._is_known_code(told):
                return {tag: element for tag, element in found.items() if tag not in tags}
        return found

    def _is_known_code(self, told: dict[str, str | None]) -> bool:
        value, scheme, meaning = (
            told.get(keyword) or "" for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
        )
        if scheme == "UCUM":
            return value in _UNITS and (meaning == value or self._texts.coded(meaning.upper()) is not None)
        form = _CODES.get(scheme)
        if form is None or not form.fullmatch(value) or self._texts.is_identifier(value):
            return False
        return self._texts.description(meaning) is not None


def _identity(facts: InstanceFacts, key: SecretKey) -> dict[int, DataElement]:
    """Who and what the instance is, as the home says (PS3.3 C.7.1 to C.7.3, C.12.1, PS3.15 E.3)."""
    strict = key.phi == "strict"
    return {
        0x00080005: text("CS", "ISO_IR 192"),
        0x00080016: text("UI", facts.sop_class_uid),
        0x00080018: text("UI", facts.sop_instance_uid),
        0x00080020: text("DA", dicom_date(facts.study_date)),
        0x00080030: text("TM", dicom_time(facts.study_time)),
        0x00080050: text("SH"),
        0x00080060: text("CS", facts.modality),
        0x00080070: text("LO", facts.manufacturer),
        0x00080090: text("PN"),
        **_told(0x00081030, "LO", facts.study_description),
        **_told(0x0008103E, "LO", facts.series_description),
        0x00100010: text("PN", facts.patient_key),
        0x00100020: text("LO", facts.patient_key),
        0x00100030: text("DA"),
        0x00100040: text("CS", facts.patient_sex),
        **_told(0x00101010, "AS", dicom_age(facts.patient_age)),
        0x00120062: text("CS", "YES"),
        0x00120063: text("LO", _METHOD),
        **_told(0x00180015, "CS", facts.body_part_examined),
        **_told(0x00185101, "CS", facts.view_position),
        **_told(0x00200060, "CS", facts.laterality if facts.laterality in ("L", "R") else None),
        0x0020000D: text("UI", facts.study_instance_uid),
        0x0020000E: text("UI", facts.series_instance_uid),
        0x00200010: text("SH"),
        0x00280303: text("CS", "MODIFIED" if strict else "UNMODIFIED"),
    }


def _told(tag: int, vr: str, value: str | None) -> dict[int, DataElement]:
    return {tag: text(vr, value)} if value else {}


@cache
def _code_tags() -> dict[int, str]:
    from pydicom.datadict import tag_for_keyword

    return {tag: keyword for keyword in CODED if (tag := tag_for_keyword(keyword)) is not None}


def _is_signed(dataset: Dataset) -> bool:
    """Whether Pixel Representation (0028,0103) is 1. The element stays raw, as all others."""
    raw: Any = dataset.get_item(_PIXEL_REPRESENTATION) if _PIXEL_REPRESENTATION in dataset else None
    value = raw.value if raw is not None else None
    return b"\1" in value[:2] if isinstance(value, bytes) else value == 1


def _own_vr(stated: str | None, by_dictionary: str, signed: bool) -> str:
    """The VR that a value is read by: the stated one where it is of the same kind as the dictionary's."""
    vr = by_dictionary
    if " or " in vr:
        vr = "OW" if vr == "US or OW" else "SS" if signed else "US"
        as_stated = ("US", "SS", "OW", "OB") if "OW" in by_dictionary else ("US", "SS")
        return stated if stated is not None and stated in as_stated and vr != "OW" else vr
    return stated if stated is not None and stated in _NUMERIC and vr in _NUMERIC else vr


def _numbers(vr: str, value: bytes, *, little: bool) -> DataElement | None:
    form = ("<" if little else ">") + NUMBERS[vr]
    if len(value) % struct.calcsize(form):
        return None
    values = tuple(number for (number,) in struct.iter_unpack(form, value))
    return DataElement(vr, values) if all(map(isfinite, values)) else None


def _tags(value: bytes, *, little: bool) -> DataElement | None:
    if len(value) % 4:
        return None
    pairs = struct.iter_unpack("<HH" if little else ">HH", value)
    return DataElement("AT", tuple(group << 16 | element for group, element in pairs))


def _words(value: bytes, *, little: bool) -> bytes:
    """Words of two bytes, little endian."""
    return value if little or len(value) % 2 else np.frombuffer(value, np.uint16).byteswap().tobytes()


def _some(vr: str, values: Iterable[str | None]) -> DataElement | None:
    """An element of these values, None if all are empty."""
    kept = tuple(values)
    return DataElement(vr, kept) if any(kept) else None
