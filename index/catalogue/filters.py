"""`--where` expressions as SQL conditions on images.

    modality=CT|MR          equal to one of these; codes (CS in PS3.6) are compared without regard to case
    modality!=CT            exactly the images that `modality=CT` leaves out, absent values included
    patient_age>=60         < <= > >= on numbers and dates; an absent value satisfies none of them
    study_date>2020-03      dates as YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD
    view_position=          an empty value means absent
    series_description~lung the text, or code, holds this; ^= begins with it; case does not count
    quality.sharpness<0.2   what ingest measured on the image
    probe:nodule>0.8        what `probe predict --all --store` stored; probe:NAME/LABEL>0.8 for one of several
    patient_age=60..<70|90..   numbers from 60 to below 70, or from 90; `60..70` includes 70
    label:nodule=1          labels; the most specific wins: image's file, instance, series, study
    collection=teaching     cases that somebody put together under a name; empty: in none
    report=pleural effusion the study's report holds these words, next to each other; empty: it has no report

    not modality=CT         exactly the images that `modality=CT` leaves out
    modality=CT or patient_age>=60   one of them holds, where what follows ` or ` is a filter

A `|` within a value is written `\\|`. Values are bound parameters, never part of the SQL text. The limits of
an expression's length are in `medsiglip.index.catalogue.filter_expression`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Table,
    and_,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
)

from medsiglip.index.catalogue.conditions.collections import in_any, names_asked
from medsiglip.index.catalogue.conditions.comparisons import ORDER, Kind, compare, number
from medsiglip.index.catalogue.conditions.quality import equals_any, ordered
from medsiglip.index.catalogue.filter_expression import (
    MAX_CHARACTERS,
    MAX_EXPRESSIONS,
    Expression,
    bad_filter,
    read_terms,
    suggestion,
)
from medsiglip.index.catalogue.full_text.whole_words import LONGEST_PHRASE, says_any, words_of
from medsiglip.index.catalogue.schema import images, instances, labels, patients, series, studies
from medsiglip.index.errors import CatalogError, excerpt

__all__ = [
    "FIELDS",
    "MAX_CHARACTERS",
    "MAX_EXPRESSIONS",
    "Filter",
    "Term",
    "conjunction",
    "either",
    "joined",
    "parse",
    "parse_all",
    "resolved_label",
    "suggestion",
]

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
"""The fields of filters, besides `quality.<name>`, `label:<name>`, `probe:<name>`, `report`, `collection`."""

_NEEDS: dict[str, tuple[Table, ...]] = {
    "images": (),
    "instances": (instances,),
    "series": (series,),
    "studies": (studies,),
    "patients": (studies, patients),
}
_LEVELS: dict[str, Literal["series", "study"]] = {
    "series": "series",
    "studies": "study",
    "patients": "study",
}
_JOINS: dict[str, ColumnElement[bool]] = {
    "instances": images.c.instance_id == instances.c.id,
    "series": images.c.series_id == series.c.id,
    "studies": images.c.study_id == studies.c.id,
    "patients": studies.c.patient_id == patients.c.id,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on images, the tables that it needs besides `images`, and the label or quality that it
    names, if any; `value` is the column that it compares, None for a report. `level` is that of the rows
    whose columns it compares: images that share such a row pass together. `probe` is a question about
    predictions, whose condition `medsiglip.index.catalogue.filter_queries` finds. `collections` are named.
    """

    condition: ColumnElement[bool]
    tables: tuple[Table, ...]
    label: str | None = None
    quality: str | None = None
    value: ColumnElement[Any] | None = None
    level: Literal["image", "series", "study"] = "image"
    probe: Expression | None = None
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """One of several filters of which one must hold, or, `negated`, must not."""

    filter: Filter
    negated: bool


def parse(text: str) -> Filter:
    """The condition of an expression; what it asks of predictions counts as never so.

    Raises `CatalogError` `bad-filter`, which names the field and what it may be.
    """
    return either(parse_terms(text))


def parse_terms(text: str) -> tuple[Term, ...]:
    """The terms of an expression. Raises `CatalogError` `bad-filter`."""
    return tuple(Term(_filter(one.expression), one.negated) for one in read_terms(text))


def either(terms: Sequence[Term]) -> Filter:
    """The filter that one of the terms holds, at their level, or at that of images where they have several.

    That of one term names what the term names, that of several names nothing.
    """
    if len(terms) == 1:
        only = terms[0].filter
        return replace(only, condition=_holds(terms[0])) if terms[0].negated else only
    levels = {term.filter.level for term in terms}
    return Filter(
        or_(*map(_holds, terms)),
        tuple(dict.fromkeys(table for term in terms for table in term.filter.tables)),
        level=levels.pop() if len(levels) == 1 else "image",
    )


def _holds(term: Term) -> ColumnElement[bool]:
    """The condition of a term, false and not NULL for what is absent."""
    known = func.coalesce(term.filter.condition, false())
    return not_(known) if term.negated else known


def _filter(expression: Expression) -> Filter:
    name = expression.name
    if expression.kind == "label":
        label = resolved_label(name)
        condition = compare(expression, label, "number")
        if expression.operator != "!=" and "" not in expression.alternatives():
            condition = and_(studies.c.id.in_(_studies_given(expression)), condition)
        return Filter(condition, (instances, series, studies), name, value=label)
    if expression.kind == "probe":
        return Filter(false(), (), probe=expression)
    if expression.kind == "quality":
        return Filter(_quality(expression), (), quality=name, value=images.c.quality[name])
    if name == "report":
        return Filter(_report(expression), ())
    if name == "collection":
        return Filter(in_any(expression), (studies,), level="study", collections=names_asked(expression))
    if name not in FIELDS:
        raise bad_filter(expression.text, f"there is no field {excerpt(name)}{suggestion(name, FIELDS)}")
    column, kind = FIELDS[name]
    table = column.table.name
    level: Literal["image", "series", "study"] = _LEVELS.get(table, "image")
    return Filter(compare(expression, column, kind), _NEEDS[table], value=column, level=level)


def joined(filters: Iterable[Filter], *more: Table) -> Any:
    """`images` joined with the tables that these filters and the caller need."""
    wanted = {table.name for one in filters for table in one.tables} | {table.name for table in more}
    source: Any = images
    for name in ("instances", "series", "studies", "patients"):
        if name in wanted:
            source = source.join(images.metadata.tables[name], _JOINS[name])
    return source


def resolved_label(name: str) -> ColumnElement[Any]:
    """An image's value of a label: the most specific one, or NULL."""

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


def _studies_given(expression: Expression) -> CompoundSelect[int]:
    """The studies to which, or to a part of which, a fitting value of a label was given: the images of no
    others can resolve to one, so that they need not be looked at.
    """
    of_study, of_series, of_instance = studies.alias(), series.alias(), instances.alias()
    fits = (labels.c.name == expression.name, compare(expression, labels.c.value, "number"))

    def given(level: str, uid: ColumnElement[str]) -> ColumnElement[bool]:
        return and_(labels.c.level == level, labels.c.uid == uid, *fits)

    by_instance = labels.join(of_instance, given("instance", of_instance.c.sop_instance_uid))
    return union_all(
        select(of_study.c.id).join(labels, given("study", of_study.c.study_instance_uid)),
        select(of_series.c.study_id).join(labels, given("series", of_series.c.series_instance_uid)),
        select(of_series.c.study_id).select_from(
            by_instance.join(of_series, of_instance.c.series_id == of_series.c.id)
        ),
    )


def _quality(expression: Expression) -> ColumnElement[bool]:
    operator, name, values = expression.operator, expression.name, expression.alternatives()
    if '"' in name or "\\" in name:
        raise bad_filter(expression.text, "the name of a quality holds neither quotation mark nor backslash")
    if operator in ("=", "!="):
        matches = equals_any(name, values)
        return matches if operator == "=" else not_(matches)
    if len(values) > 1 or values == [""]:
        raise bad_filter(expression.text, f"{operator} compares with one number")
    return ordered(name, ORDER[operator], number(expression, values[0]))


def _report(expression: Expression) -> ColumnElement[bool]:
    if expression.operator not in ("=", "!="):
        raise bad_filter(expression.text, "a report is asked for words; use = or !=")
    phrases = expression.alternatives()
    longest = max(len(words_of(phrase)) for phrase in phrases)
    if longest > LONGEST_PHRASE:
        raise bad_filter(
            expression.text,
            f"it asks for {longest} characters next to each other and may for {LONGEST_PHRASE}: "
            "ask for fewer words",
        )
    matches = says_any(phrases)
    return matches if expression.operator == "=" else not_(matches)


def parse_all(texts: Sequence[str]) -> tuple[tuple[Term, ...], ...]:
    """The terms of several expressions, each of which must hold. Raises `CatalogError` `bad-filter`."""
    _require_few(len(texts))
    found = tuple(parse_terms(text) for text in texts)
    _require_few(sum(map(len, found)))
    return found


def _require_few(count: int) -> None:
    if count > MAX_EXPRESSIONS:
        raise CatalogError(
            "bad-filter",
            f"A question may have {MAX_EXPRESSIONS} filters and this one has {count}: "
            "write the values of one field as field=a|b, or ask in several questions.",
        )


def conjunction(filters: Iterable[Filter]) -> ColumnElement[bool]:
    """The condition that all filters hold."""
    return and_(literal(True), *(one.condition for one in filters))
