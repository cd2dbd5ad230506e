"""What the points of maps are coloured by: columns of the catalogue, labels, and what probes say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import row_ids as rows_of
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, LEVEL_IDS, images, probes, series, studies
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.records import Level

Ids = NDArray[np.int64]
COLUMNS: dict[str, ColumnElement[Any]] = {
    "modality": series.c.modality,
    "body_part_examined": series.c.body_part_examined,
    "year": func.substr(studies.c.study_date, 1, 4),
    "manufacturer": series.c.manufacturer,
    "site": images.c.quality["site"].as_string(),
    "patient_sex": studies.c.patient_sex,
}
"""Fields whose values are texts. The site is the column `site` of a metadata CSV, or a keyed hash of
Institution Name."""


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label of the newest version of a probe of the active space, of which predictions are stored."""

    probe: str
    label: str
    level: Level
    probe_id: int


class PointValues:
    """Questions about many rows of one catalogue's active space at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def images_of(self, level: Level, row_ids: Ids) -> Ids:
        """The image that stands for each row of a level, int64 [n]: its first; 0 for a row that is not
        there."""
        column = LEVEL_IDS[level]
        statement = select(column, func.min(images.c.id)).where(images.c.space_id == ACTIVE_SPACE)
        with self._database.read() as connection:
            found = rows_of(connection, statement.group_by(column).order_by(column)).reshape(-1, 2)
        if not len(found):
            return np.zeros(len(row_ids), np.int64)
        places = np.minimum(np.searchsorted(found[:, 0], row_ids), len(found) - 1)
        return np.where(found[places, 0] == row_ids, found[places, 1], 0)

    def texts(self, fields: Sequence[str], image_ids: Ids) -> dict[str, list[str | None]]:
        """What images have of fields of `COLUMNS`, in their order; None where it is not known."""
        statement = (
            select(images.c.id, *(COLUMNS[field] for field in fields))
            .select_from(images.join(series, images.c.series_id == series.c.id))
            .join(studies, images.c.study_id == studies.c.id)
            .where(one_of(images.c.id, image_ids.tolist()))
        )
        with self._database.read() as connection:
            found = {row[0]: row[1:] for row in connection.execute(statement)}
        nothing = (None,) * len(fields)
        rows = [found.get(one, nothing) for one in image_ids.tolist()]
        return {field: [row[place] or None for row in rows] for place, field in enumerate(fields)}

    def labels(self, level: Level, name: str, row_ids: Ids) -> NDArray[np.float64]:
        """The value of a label for rows of a level, float64 [n]; NaN for none."""
        with self._database.read() as connection:
            held = labels.of_level(connection, level, row_ids.tolist())
        return np.array([held.get(one, {}).get(name, np.nan) for one in row_ids.tolist()], np.float64)

    def scores(self, level: Level, label: ScoredLabel, row_ids: Ids) -> NDArray[np.float64]:
        """The stored predictions of a label for rows of a level, float64 [n]: where the probe's level is
        another, the greatest of the rows that share an image with it; NaN for none.
        """
        column = LEVEL_IDS[level]
        scored = images.join(predictions, predictions.c.row_id == LEVEL_IDS[label.level])
        statement = select(column, func.max(predictions.c.value)).select_from(scored)
        statement = statement.where(
            images.c.space_id == ACTIVE_SPACE,
            predictions.c.probe_id == label.probe_id,
            predictions.c.label == label.label,
        )
        with self._database.read() as connection:
            found: dict[int, float] = {
                row[0]: row[1] for row in connection.execute(statement.group_by(column))
            }
        return np.array([found.get(one, np.nan) for one in row_ids.tolist()], np.float64)

    def label_names(self) -> list[str]:
        """Every label name, sorted."""
        with self._database.read() as connection:
            return labels.names(connection)

    def scored_labels(self) -> list[ScoredLabel]:
        """The labels of probes that have stored predictions, by probe."""
        with self._database.read() as connection:
            return list(_scored(connection))


def _scored(connection: Connection) -> list[ScoredLabel]:
    statement = select(probes.c.id, probes.c.name, probes.c.summary).where(probes.c.space_id == ACTIVE_SPACE)
    statement = statement.order_by(probes.c.name, probes.c.version.desc())
    newest: dict[str, Row[*tuple[Any, ...]]] = {}
    for row in connection.execute(statement):
        newest.setdefault(row.name, row)
    return [
        ScoredLabel(row.name, one["label"], row.summary["level"], row.id)
        for row in newest.values()
        if _has_predictions(connection, row.id)
        for one in row.summary["labels"]
    ]


def _has_predictions(connection: Connection, probe_id: int) -> bool:
    held = select(predictions.c.id).where(predictions.c.probe_id == probe_id).limit(1)
    return connection.execute(held).first() is not None
