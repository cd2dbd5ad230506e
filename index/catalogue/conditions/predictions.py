"""Conditions on the stored predictions of a probe: `probe:NAME>0.8`, `probe:NAME/LABEL>0.8`,
`probe:NAME@2/LABEL>0.8`.

What has no prediction satisfies none of them, not even `!=`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, func, not_, select

from medsiglip.index.catalogue.conditions.comparisons import ORDER, number
from medsiglip.index.catalogue.filter_expression import Expression, bad_filter, suggestion
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, LEVEL_IDS, home, images, probes, series, studies
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.errors import excerpt
from medsiglip.index.records import Level

_ROWS: dict[Level, Column[int]] = {"image": images.c.id, "series": series.c.id, "study": studies.c.id}


@dataclass(frozen=True, slots=True)
class ProbeCondition:
    """The condition of a filter on a probe, on the rows of the probe's `level`; `value` is their prediction,
    NULL for none.
    """

    condition: ColumnElement[bool]
    value: ColumnElement[Any]
    level: Level


def probe_condition(connection: Connection, expression: Expression) -> ProbeCondition:
    """The condition that an expression of the kind `probe` stands for.

    Raises `CatalogError` `bad-filter` for a probe or label that there is not, a probe of another space, one
    without stored predictions, and where one of several labels has to be named.
    """
    name, _, label = expression.name.partition("/")
    probe = _probe(connection, expression, name)
    label = _label(expression, name, label, [one["label"] for one in probe.summary["labels"]])
    if probe.space_id != connection.execute(select(home.c.space_id)).scalar():
        raise bad_filter(
            expression.text, f"the probe {name} is of another model than the archive's: train it again"
        )
    of_probe = predictions.c.probe_id == probe.id
    if connection.execute(select(predictions.c.id).where(of_probe).limit(1)).first() is None:
        raise bad_filter(
            expression.text,
            f"the probe {name} has no stored predictions: run `probe predict {name} --all --store` first",
        )
    theirs = (of_probe, predictions.c.label == label)
    level: Level = probe.summary["level"]
    found = select(predictions.c.row_id).where(*theirs, _compared(expression))
    value = select(predictions.c.value).where(*theirs, predictions.c.row_id == _ROWS[level])
    rows = _ROWS[level]
    return ProbeCondition(rows.in_(found), value.correlate(rows.table).scalar_subquery(), level)


def without_prediction(connection: Connection, expression: Expression) -> int:
    """How many images of the active space came after the predictions that an expression asks for, or have
    none: their rows, of the probe's level, were not scored as they are now.
    """
    name = expression.name.partition("/")[0]
    probe = _probe(connection, expression, name)
    level: Level = probe.summary["level"]
    # Ids rise (`medsiglip.index.catalogue.schema`), so an image with a larger one came after the prediction.
    scored = select(predictions.c.id).where(
        predictions.c.probe_id == probe.id,
        predictions.c.label == probe.summary["labels"][0]["label"],
        predictions.c.row_id == LEVEL_IDS[level],
        predictions.c.id > images.c.id,
    )
    counted = select(func.count()).select_from(images)
    counted = counted.where(images.c.space_id == ACTIVE_SPACE, ~scored.correlate(images).exists())
    return int(connection.execute(counted).scalar_one())


def _compared(expression: Expression) -> ColumnElement[bool]:
    values, operator = expression.alternatives(), expression.operator
    if "" in values:
        raise bad_filter(expression.text, f"{operator} compares a prediction with a number, such as 0.8")
    numbers = [number(expression, value) for value in values]
    if operator in ORDER:
        if len(numbers) > 1:
            raise bad_filter(expression.text, f"{operator} compares with one number")
        return ORDER[operator](predictions.c.value, numbers[0])
    equal = one_of(predictions.c.value, numbers)
    return equal if operator == "=" else not_(equal)


def _probe(connection: Connection, expression: Expression, name: str) -> Row[*tuple[Any, ...]]:
    base, at, version = name.partition("@")
    statement = select(probes.c.id, probes.c.space_id, probes.c.summary).where(probes.c.name == base)
    if at:
        # No number of a version has more than nine digits, and none begins with 0.
        known = version.isascii() and version.isdecimal() and len(version) < 10
        statement = statement.where(probes.c.version == (int(version) if known else 0))
    row = connection.execute(statement.order_by(probes.c.version.desc()).limit(1)).first()
    if row is not None:
        return row
    names = connection.execute(select(probes.c.name).distinct()).scalars().all()
    if base in names:
        raise bad_filter(expression.text, f"the probe {base} has no version {excerpt(version)}")
    raise bad_filter(expression.text, f"there is no probe {excerpt(base)}{suggestion(base, names)}")


def _label(expression: Expression, name: str, label: str, known: Collection[str]) -> str:
    if label in known:
        return label
    if label:
        others = suggestion(label, known)
        raise bad_filter(expression.text, f"the probe {name} has no label {excerpt(label)}{others}")
    if len(known) > 1:
        others = suggestion("/", known).removeprefix("; ")
        raise bad_filter(
            expression.text,
            f"the probe {name} has several labels; write one as probe:{name}/LABEL>0.8. {others}",
        )
    return next(iter(known))
