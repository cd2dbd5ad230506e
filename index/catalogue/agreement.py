"""One study or series that several files tell of, and do not agree on.

Of different values the smallest is kept, whoever comes first: however the files are shared out over workers,
runs and interruptions, the same files make the same study.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from medsiglip.index.records import SeriesRecord, StudyRecord

Record = TypeVar("Record", StudyRecord, SeriesRecord)
_IDENTITY = frozenset({"study_instance_uid", "series_instance_uid", "patient_key"})


def agree(first: Record, *others: Record) -> Record:
    """What records of one study or series say together: for each field the smallest value that any gives.

    The patient is that of `first`; what is said of another patient does not count.
    """
    every: list[StudyRecord | SeriesRecord] = [first, *others]
    counting = [one for one in every if _patient(one) == _patient(first)]
    values: dict[str, Any] = {}
    for name in set(first.__slots__) - _IDENTITY:
        told = [getattr(one, name) for one in counting]
        values[name] = min((value for value in told if value not in (None, "")), key=_order, default=None)
    return replace(first, **values)


def _patient(record: StudyRecord | SeriesRecord) -> str | None:
    return record.patient_key if isinstance(record, StudyRecord) else None


def _order(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value
