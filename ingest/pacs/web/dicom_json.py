"""Answers of a PACS in DICOM JSON (PS3.18, annex F), read for the little that is wanted of them.

A PACS may answer anything: what is not of the form that the standard gives is left out, and a study or
instance without a usable UID is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from medsiglip.ingest.pacs.records import PacsInstance, PacsStudy
from medsiglip.ingest.pacs.shown_text import shown_text

MOST_VALUES = 1000
# Wider than PS3.5, section 9.1, for the UIDs that exist; nothing in it means more in a path or a question.
_UID = re.compile(r"(?=[._-]*[0-9A-Za-z])[0-9A-Za-z._-]{1,64}")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_INTEGER = re.compile(r"[0-9]{1,9}")

AVAILABLE_TRANSFER_SYNTAX_UID = "00083002"
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = "0020000D", "0020000E"
SOP_CLASS_UID, SOP_INSTANCE_UID = "00080016", "00080018"


def usable_uid(text: str) -> str | None:
    """A UID without its padding, None for what is none."""
    stripped = text.strip(" \0")
    return stripped if _UID.fullmatch(stripped) else None


def values_of(item: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute, none where it is absent, empty or malformed."""
    attribute = item.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[:MOST_VALUES] if isinstance(values, list) else []


def texts_of(item: Mapping[str, Any], tag: str) -> list[str]:
    """The values that are texts, numbers as they are written, without padding."""
    texts = [
        str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        for value in values_of(item, tag)
    ]
    return [shown_text(text) for text in texts if isinstance(text, str)]


def text_of(item: Mapping[str, Any], tag: str) -> str:
    """The first value that is a text, or ""."""
    return next(iter(texts_of(item, tag)), "")


def person_of(item: Mapping[str, Any], tag: str) -> str:
    """A name as PS3.5 writes it: its groups of components between `=`."""
    for value in values_of(item, tag):
        if isinstance(value, str):
            return shown_text(value)
        if isinstance(value, dict):
            groups = [value.get(group) for group in _GROUPS]
            written = [shown_text(group) if isinstance(group, str) else "" for group in groups]
            return "=".join(written).rstrip("=")
    return ""


def number_of(item: Mapping[str, Any], tag: str) -> int | None:
    """A count, None where it is absent or none."""
    text = text_of(item, tag)
    return int(text) if _INTEGER.fullmatch(text) else None


def study_of(item: Mapping[str, Any]) -> PacsStudy | None:
    """A study of an answer to QIDO-RS (PS3.18, table 10.6.3-3), None without a usable UID."""
    uid = usable_uid(text_of(item, STUDY_INSTANCE_UID))
    if uid is None:
        return None
    return PacsStudy(
        study_instance_uid=uid,
        patient_id=text_of(item, "00100020"),
        issuer_of_patient_id=text_of(item, "00100021"),
        patient_name=person_of(item, "00100010"),
        patient_sex=text_of(item, "00100040"),
        study_date=text_of(item, "00080020"),
        study_time=text_of(item, "00080030"),
        accession_number=text_of(item, "00080050"),
        study_description=text_of(item, "00081030"),
        modalities=tuple(texts_of(item, "00080061")),
        series=number_of(item, "00201206"),
        instances=number_of(item, "00201208"),
    )


def instance_of(item: Mapping[str, Any]) -> PacsInstance | None:
    """An instance of an answer to QIDO-RS (PS3.18, table 10.6.3-5), None without usable UIDs."""
    series = usable_uid(text_of(item, SERIES_INSTANCE_UID))
    sop = usable_uid(text_of(item, SOP_INSTANCE_UID))
    if series is None or sop is None:
        return None
    return PacsInstance(
        series_instance_uid=series,
        sop_instance_uid=sop,
        sop_class_uid=usable_uid(text_of(item, SOP_CLASS_UID)) or "",
        transfer_syntax_uid=usable_uid(text_of(item, AVAILABLE_TRANSFER_SYNTAX_UID)) or "",
    )
