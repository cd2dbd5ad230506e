"""`--where` expressions as SQL conditions on images.

    modality=CT|MR          equal to one of these; codes (CS in PS3.6) are compared without regard to case
    modality!=CT            exactly the images that `modality=CT` leaves out, absent values included
    patient_age>=60         < <= > >= on numbers and dates; an absent value satisfies none of them
    study_date>2020-03      dates as YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD
    view_position=          an empty value means absent
    quality.sharpness<0.2   what ingest measured on the image
    label:nodule=1          labels; the most specific wins: image's file, instance, series, study
    report=pleural effusion the study's report holds these words, next to each other; empty: it has no report

A `|` that belongs to a value is written `\\|`. Values are bound parameters, never part of the SQL text.
"""

from __future__ import annotations

import calendar
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Table, and_, func, literal, not_, or_, select

from index._quality import equals_any, is_number, ordered
from index.errors import CatalogError
from index.report_texts import says_any
from index.schema import images, instances, labels, patients, series, studies

Kind = Literal["code", "text", "number", "date"]
Operator = Literal["=", "!=", "<", "<=", ">", ">="]

_EXPRESSION = re.compile(r"\s*([^=<>!]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_LABEL = re.compile(r"\s*label:\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*([^=<>!]*?)\s*", re.DOTALL)
_DATE = re.compile(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d))?)?")
_ORDER: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}

FIELDS: dict[str, tuple[Column[Any], Kind]] = {
    "image_id": (images.c.id, "number"),
    "frame": (images.c.frame, "number"),
    "slice_index": (images.c.slice_index, "number"),
    "rendering": (images.c.rendering, "text"),
    "sop_instance_uid": (instances.c.sop_instance_uid, "text"),
    "sop_class_uid": (instances.c.sop_class_uid, "text"),
    "transfer_syntax_uid": (instances.c.transfer_syntax_uid, "text"),
    "pixel_hash": (instances.c.pixel_hash, "text"),
    "photometric_interpretation": (instances.c.photometric_interpretation, "code"),
    "rows": (instances.c.rows, "number"),
    "columns": (instances.c.columns, "number"),
    "number_of_frames": (instances.c.number_of_frames, "number"),
    "instance_number": (instances.c.instance_number, "number"),
    "series_instance_uid": (series.c.series_instance_uid, "text"),
    "modality": (series.c.modality, "code"),
    "body_part_examined": (series.c.body_part_examined, "code"),
    "view_position": (series.c.view_position, "code"),
    "laterality": (series.c.laterality, "code"),
    "series_description": (series.c.series_description, "text"),
    "manufacturer": (series.c.manufacturer, "text"),
    "orientation": (series.c.orientation, "code"),
    "study_instance_uid": (studies.c.study_instance_uid, "text"),
    "study_date": (studies.c.study_date, "date"),
    "study_description": (studies.c.study_description, "text"),
    "patient_sex": (studies.c.patient_sex, "code"),
    "patient_age": (studies.c.patient_age, "number"),
    "patient_key": (patients.c.patient_key, "text"),
}
"""What can be filtered on, besides `quality.<name>`, `label:<name>` and `report`."""

_NEEDS: dict[str, tuple[Table, ...]] = {
    "images": (),
    "instances": (instances,),
    "series": (series,),
    "studies": (studies,),
    "patients": (studies, patients),
}
_JOINS: dict[str, ColumnElement[bool]] = {
    "instances": images.c.instance_id == instances.c.id,
    "series": images.c.series_id == series.c.id,
    "studies": images.c.study_id == studies.c.id,
    "patients": studies.c.patient_id == patients.c.id,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on images, the tables it speaks of besides `images`, and the label or the quality that it
    names if any; `value` is what it compares, None for a report.
    """

    condition: ColumnElement[bool]
    tables: tuple[Table, ...]
    label: str | None = None
    quality: str | None = None
    value: ColumnElement[Any] | None = None


def parse(expression: str) -> Filter:
    """The condition that an expression stands for.

    Raises `CatalogError` `bad-filter`, which names the field and what it may be.
    """
    found = _LABEL.fullmatch(expression)
    if found:
        name, operator, value = found.groups()
        label = resolved_label(name)
        condition = _compare(expression, label, "number", operator, value)
        return Filter(condition, (instances, series, studies), name, value=label)
    found = _EXPRESSION.fullmatch(expression)
    if found is None:
        raise _bad(expression, "write it as field=value, for example modality=CT or patient_age>=60")
    name, operator, value = found.groups()
    if name.startswith("quality."):
        member = name.removeprefix("quality.")
        measured = images.c.quality[member]
        return Filter(_quality(expression, member, operator, value), (), quality=member, value=measured)
    if name == "report":
        return Filter(_report(expression, operator, value), ())
    if name not in FIELDS:
        raise _bad(expression, f"there is no field {name!r}{suggestion(name, FIELDS)}")
    column, kind = FIELDS[name]
    condition = _compare(expression, column, kind, operator, value)
    return Filter(condition, _NEEDS[column.table.name], value=column)


def joined(filters: Iterable[Filter], *more: Table) -> Any:
    """`images` joined with the tables that these filters, and the caller, need."""
    wanted = {table.name for one in filters for table in one.tables} | {table.name for table in more}
    source: Any = images
    for name in ("instances", "series", "studies", "patients"):
        if name in wanted:
            source = source.join(images.metadata.tables[name], _JOINS[name])
    return source


def resolved_label(name: str) -> ColumnElement[Any]:
    """An image's value of a label: the most specific that was given, or NULL."""

    def given(level: str, uid: ColumnElement[Any], pixel_hash: ColumnElement[Any]) -> ColumnElement[Any]:
        found = select(labels.c.value).where(
            labels.c.level == level,
            labels.c.uid == uid,
            labels.c.pixel_hash == pixel_hash,
            labels.c.name == name,
        )
        return found.correlate(instances, series, studies).scalar_subquery()

    any_pixels = literal("")
    return func.coalesce(
        given("instance", instances.c.sop_instance_uid, instances.c.pixel_hash),
        given("instance", instances.c.sop_instance_uid, any_pixels),
        given("series", series.c.series_instance_uid, any_pixels),
        given("study", studies.c.study_instance_uid, any_pixels),
    )


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` and the list of what there is."""
    names = sorted(known)
    close = [one for one in names if name.lower() in one] or difflib.get_close_matches(name.lower(), names, 1)
    meant = f"; did you mean {close[0]}?" if close else ";"
    return f"{meant} There are: {', '.join(names) or 'none'}"


def _compare(
    expression: str, column: ColumnElement[Any], kind: Kind, operator: str, text: str
) -> ColumnElement[bool]:
    values = _alternatives(text)
    if operator in ("=", "!="):
        matches = or_(*(_equal(expression, column, kind, value) for value in values))
        return matches if operator == "=" else not_(func.coalesce(matches, literal(False)))
    if len(values) > 1 or kind in ("code", "text") or not text:
        raise _bad(expression, f"{operator} compares with one number or date")
    if kind == "number":
        return _ORDER[operator](column, _number(expression, values[0]))
    first, last = _days(expression, values[0])
    return _ORDER[operator](column, last if operator in ("<=", ">") else first)


def _equal(expression: str, column: ColumnElement[Any], kind: Kind, value: str) -> ColumnElement[bool]:
    if value == "":
        empty = column.is_(None)
        return or_(empty, column == "") if kind in ("code", "text") else empty
    if kind == "number":
        return column == _number(expression, value)
    if kind == "date":
        return column.between(*_days(expression, value))
    if kind == "code":
        return func.upper(column) == func.upper(value)
    return column == value


def _quality(expression: str, name: str, operator: str, text: str) -> ColumnElement[bool]:
    values = _alternatives(text)
    if operator in ("=", "!="):
        matches = equals_any(name, values)
        return matches if operator == "=" else not_(matches)
    if len(values) > 1 or not text:
        raise _bad(expression, f"{operator} compares with one number")
    return ordered(name, _ORDER[operator], _number(expression, values[0]))


def _report(expression: str, operator: str, text: str) -> ColumnElement[bool]:
    if operator not in ("=", "!="):
        raise _bad(expression, "a report is asked for words; use = or !=")
    matches = says_any(_alternatives(text))
    return matches if operator == "=" else not_(matches)


def _alternatives(text: str) -> list[str]:
    return [part.replace("\\|", "|").strip() for part in re.split(r"(?<!\\)\|", text)]


def _number(expression: str, text: str) -> float:
    if not is_number(text):
        raise _bad(expression, f"{text!r} is not a number")
    return float(text)


def _days(expression: str, text: str) -> tuple[str, str]:
    """First and last day, ISO 8601, of a year, a month or a day."""
    found = _DATE.fullmatch(text)
    year, month, day = (int(part) if part else 0 for part in found.groups()) if found else (0, 0, 0)
    length = calendar.monthrange(year, month or 12)[1] if year and month <= 12 else 0
    if found is None or not length or day > length or "00" in found.groups():
        raise _bad(expression, f"{text!r} is not a date; write YYYY, YYYY-MM or YYYY-MM-DD")
    return (
        f"{year:04}-{month or 1:02}-{day or 1:02}",
        f"{year:04}-{month or 12:02}-{day or length:02}",
    )


def _bad(expression: str, why: str) -> CatalogError:
    return CatalogError("bad-filter", f"The filter {expression!r} cannot be used: {why}.")


def parse_all(expressions: Sequence[str]) -> tuple[Filter, ...]:
    """Every condition; all of them must hold."""
    return tuple(parse(expression) for expression in expressions)


def conjunction(filters: Iterable[Filter]) -> ColumnElement[bool]:
    """That all filters hold."""
    return and_(literal(True), *(one.condition for one in filters))
