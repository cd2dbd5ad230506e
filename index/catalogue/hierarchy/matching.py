"""Conditions of the query model (PS3.4 C.2.2.2): lists of values, wildcards and ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_

from medsiglip.index.catalogue.hierarchy.records import Match
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import instances, patients, series, studies
from medsiglip.index.errors import CatalogError

COLUMNS: dict[str, ColumnElement[Any]] = {
    "patient_key": patients.c.patient_key,
    "patient_sex": studies.c.patient_sex,
    "study_instance_uid": studies.c.study_instance_uid,
    "study_date": studies.c.study_date,
    "study_time": studies.c.study_time,
    "study_description": studies.c.study_description,
    "series_instance_uid": series.c.series_instance_uid,
    "modality": series.c.modality,
    "series_description": series.c.series_description,
    "body_part_examined": series.c.body_part_examined,
    "laterality": series.c.laterality,
    "manufacturer": series.c.manufacturer,
    "sop_instance_uid": instances.c.sop_instance_uid,
    "sop_class_uid": instances.c.sop_class_uid,
    "instance_number": instances.c.instance_number,
    "rows": instances.c.rows,
    "columns": instances.c.columns,
    "number_of_frames": instances.c.number_of_frames,
}
"""The columns that attributes are compared with; `modalities_in_study` is one more attribute."""
OF_SERIES = frozenset(
    ("series_instance_uid", "modality", "series_description", "body_part_examined", "laterality")
) | {"manufacturer"}
OF_INSTANCES = frozenset(
    ("sop_instance_uid", "sop_class_uid", "instance_number", "rows", "columns", "number_of_frames")
)
# Of more values, or of longer ones, nothing is looked for.
MOST_VALUES = 1000
LONGEST_VALUE = 64
IS_DICOM = or_(instances.c.transfer_syntax_uid.is_not(None), instances.c.sop_class_uid.is_not(None))


def conditions(matches: Sequence[Match]) -> list[ColumnElement[bool]]:
    """The conditions that must hold for a row of joined patients, studies, series and instances.

    Raises `CatalogError` `bad-query` for more than `MOST_VALUES` values, or one that is too long.
    """
    return [_condition(one) for one in matches]


def _condition(match: Match) -> ColumnElement[bool]:
    if len(match.values) > MOST_VALUES or any(len(value) > LONGEST_VALUE for value in match.values):
        raise CatalogError(
            "bad-query",
            f"{match.attribute} may be compared with {MOST_VALUES} values of at most {LONGEST_VALUE} "
            "characters: ask for fewer at once.",
        )
    if match.attribute == "modalities_in_study":
        other = series.alias()
        return exists().where(other.c.study_id == studies.c.id, _any_of(other.c.modality, match.values))
    column = COLUMNS[match.attribute]
    if not match.values:
        bounds = [column >= match.low] if match.low is not None else []
        bounds += [column <= match.high] if match.high is not None else []
        return and_(column.is_not(None), *bounds)
    if column.type.python_type is int:
        return one_of(column, [int(value) for value in match.values])
    return _any_of(column, match.values)


def _any_of(column: ColumnElement[Any], values: Sequence[str]) -> ColumnElement[bool]:
    plain = [value for value in values if "*" not in value and "?" not in value]
    patterns = [value for value in values if value not in plain]
    # Several patterns would make a statement that grows with them: one at most is taken.
    if len(patterns) > 1:
        raise CatalogError(
            "bad-query", "one value with * or ? may be asked for: ask for the others one after the other."
        )
    ways = [one_of(column, plain)] if plain or not patterns else []
    ways += [func.lower(column).like(_pattern(one.lower()), escape="\\") for one in patterns]
    return or_(*ways)


def _pattern(value: str) -> str:
    """The pattern of LIKE for wildcards of DICOM."""
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")
