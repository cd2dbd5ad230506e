"""Questions of QIDO-RS (DICOM PS3.18, section 8.3.4): attributes to match, fields, and which part of the
list.

An attribute that a home never stores, such as Accession Number, matches nothing. One that it stores and
cannot compare, or that is unknown, is refused: leaving it out would answer another question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from medsiglip.api.errors import ServiceError
from medsiglip.index.catalogue.hierarchy.records import Match

MATCHED = {
    "StudyInstanceUID": "study_instance_uid",
    "PatientID": "patient_key",
    "PatientName": "patient_key",
    "PatientSex": "patient_sex",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "StudyDescription": "study_description",
    "ModalitiesInStudy": "modalities_in_study",
    "SeriesInstanceUID": "series_instance_uid",
    "Modality": "modality",
    "SeriesDescription": "series_description",
    "BodyPartExamined": "body_part_examined",
    "Laterality": "laterality",
    "Manufacturer": "manufacturer",
    "SOPInstanceUID": "sop_instance_uid",
    "SOPClassUID": "sop_class_uid",
    "InstanceNumber": "instance_number",
    "Rows": "rows",
    "Columns": "columns",
    "NumberOfFrames": "number_of_frames",
}
"""The attributes that are compared; the patient's ID and name are the patient key."""
NEVER_STORED = frozenset(
    (
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyID",
        "PatientBirthDate",
        "IssuerOfPatientID",
        "OtherPatientIDs",
        "InstitutionName",
        "PerformingPhysicianName",
        "OperatorsName",
        "NameOfPhysiciansReadingStudy",
    )
)
MOST_ROWS = 1000
_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_INTEGERS = frozenset(("instance_number", "rows", "columns", "number_of_frames"))
_INTEGER = re.compile(r"-?\d{1,9}", re.ASCII)
_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})", re.ASCII)
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.\d{1,6})?)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListQuestion:
    """What is asked for; `empty` where nothing can match, `warnings` for the header Warning."""

    matches: tuple[Match, ...] = ()
    limit: int = MOST_ROWS
    offset: int = 0
    empty: bool = False
    warnings: tuple[str, ...] = ()

    def within(self, attribute: str, value: str | None) -> ListQuestion:
        """The same question about the study or series that the path names."""
        if value is None:
            return self
        return replace(self, matches=(*self.matches, Match(attribute, (value,))))


def list_question(parameters: Sequence[tuple[str, str]], limit: int, offset: int) -> ListQuestion:
    """The question of a query; `parameters` are its names and values without `limit` and `offset`.

    Raises ServiceError `bad-dicomweb-query`.
    """
    given: dict[str, list[str]] = {}
    warnings: list[str] = []
    for name, value in parameters:
        if name == "includefield":
            for field in value.split(","):
                _check_field(field)
        elif name == "fuzzymatching":
            if value.lower() not in ("true", "false", ""):
                raise _bad("fuzzymatching is true or false")
            if value.lower() == "true":
                warnings.append(
                    "The fuzzymatching parameter is not supported. Only literal matching has been performed."
                )
        else:
            given.setdefault(_keyword(name), []).append(value)
    question = ListQuestion(limit=min(limit, MOST_ROWS), offset=offset, warnings=tuple(warnings))
    for keyword, values in given.items():
        question = _with_match(question, keyword, values)
    return question


def _with_match(question: ListQuestion, keyword: str, given: Sequence[str]) -> ListQuestion:
    values = [one.strip() for value in given for one in re.split(r"[,\\]", value)]
    if all(value in ("", "*", '""') for value in values):
        return question  # universal matching (PS3.4 C.2.2.2.3)
    if keyword in NEVER_STORED:
        return replace(question, empty=True)
    attribute = MATCHED.get(keyword)
    if attribute is None:
        raise _bad(
            f"{keyword} cannot be matched here: ask for {', '.join(sorted(MATCHED))}, and look through the "
            "answer for the rest"
        )
    return replace(question, matches=(*question.matches, _match(keyword, attribute, values)))


def _match(keyword: str, attribute: str, values: Sequence[str]) -> Match:
    if keyword == "StudyDate":
        return _range(attribute, values, _day, _day)
    if keyword == "StudyTime":
        return _range(attribute, values, lambda text: _clock(text, "00"), lambda text: _clock(text, "59"))
    if attribute in _INTEGERS:
        for value in values:
            if not _INTEGER.fullmatch(value):
                raise _bad(f"{keyword} is a whole number")
    return Match(attribute, tuple(values))


def _range(attribute: str, values: Sequence[str], low: object, high: object) -> Match:
    """One value, or a range (PS3.4 C.2.2.2.5)."""
    if len(values) > 1:
        raise _bad(f"one value or range of {attribute} is compared at a time")
    first, dash, last = values[0].partition("-")
    begin = low(first) if callable(low) and first else None
    end = high(last if dash else first) if callable(high) and (last or not dash) else None
    if begin is None and end is None:
        raise _bad(f"{values[0][:64]!r} is no range of {attribute}")
    return Match(attribute, low=begin, high=end)


def _day(text: str) -> str:
    found = _DATE.fullmatch(text.strip())
    try:
        return date(*map(int, found.groups())).isoformat() if found else _fail_date()
    except ValueError:
        return _fail_date()


def _fail_date() -> str:
    raise _bad("a date is YYYYMMDD, and a range of them YYYYMMDD-YYYYMMDD")


def _clock(text: str, rest: str) -> str:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise _bad("a time is HHMMSS, and a range of them HHMMSS-HHMMSS")
    return ":".join(part or rest for part in found.groups())


def _keyword(name: str) -> str:
    """The keyword of an attribute that is given by keyword or tag (PS3.18 8.3.4.1)."""
    from pydicom.datadict import dictionary_has_tag, dictionary_keyword, tag_for_keyword

    if _TAG.fullmatch(name):
        tag = int(name, 16)
        if dictionary_has_tag(tag):
            return str(dictionary_keyword(tag))
    elif tag_for_keyword(name) is not None:
        return name
    raise _bad(f"{name[:64]!r} is neither a parameter nor an attribute by its keyword or tag")


def _check_field(field: str) -> None:
    """Fields that are not stored are left out of the answer; what is no field at all is refused."""
    if field != "all" and not _TAG.fullmatch(field):
        for part in field.split("."):
            if not _TAG.fullmatch(part):
                _keyword(part)


def _bad(sentence: str) -> ServiceError:
    return ServiceError("bad-dicomweb-query", f"{sentence}.")
