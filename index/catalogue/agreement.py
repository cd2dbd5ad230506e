"""Agreement of several files on the attributes of one study or series.

Of different values the smallest is kept, not the first: so the same files make the same study, however they
are divided among workers, runs and interruptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar

from medsiglip.index.records import SeriesRecord, StudyRecord

Record = TypeVar("Record", StudyRecord, SeriesRecord)
_IDENTITY = frozenset({"study_instance_uid", "series_instance_uid", "patient_key"})


def agree(first: Record, *others: Record) -> Record:
    """One record from several of one study or series: for each field the smallest value that any has.

    The patient is that of `first`; records of another patient are ignored.
    """
    if "" not in attrgetter(*first.__slots__)(first) and all(one == first for one in others):
        return first
    records: list[StudyRecord | SeriesRecord] = [first, *others]
    counting = [one for one in records if _patient(one) == _patient(first)]
    values: dict[str, Any] = {}
    for name in set(first.__slots__) - _IDENTITY:
        given = [getattr(one, name) for one in counting]
        values[name] = min((value for value in given if value not in (None, "")), key=_order, default=None)
    return replace(first, **values)


def of_patient(study: StudyRecord, patient_key: str) -> StudyRecord:
    """A study under a patient; if it names another one, its facts about that person are dropped."""
    if study.patient_key == patient_key:
        return study
    return StudyRecord(study.study_instance_uid, patient_key, study_description=study.study_description)


def _patient(record: StudyRecord | SeriesRecord) -> str | None:
    return record.patient_key if isinstance(record, StudyRecord) else None


def _order(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value
