"""Stored predictions of probes: what `probe:NAME>0.8` compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, and_, delete, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_columns, reserve_ids
from medsiglip.index.catalogue.schema import LEVEL_IDS, images
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.records import Level, ProbeRecord
from medsiglip.index.storage.probes import probe_id_of

# Values of one transaction: other writers wait for about a second at most.
_VALUES_AT_ONCE = 50_000

Batch = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Image ids [n], each standing for the row of its level that it is of, and a value for each label [n, L]."""


class PredictionStore:
    """The predictions of one catalogue's probes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace(self, probe: ProbeRecord, labels: Sequence[str], batches: Iterable[Batch]) -> int:
        """Store the values of `labels` for rows of the probe's level, in place of all that it had; returns
        how many rows.

        Batches are taken one by one, and written in transactions of their own. A run that ends early leaves
        each row with its new or its former value. Images that were deleted meanwhile are left out. Raises
        `CatalogError` `unknown-probe` for a probe that was.
        """
        level: Level = probe.summary["level"]
        stored, first = 0, None
        for image_ids, values in batches:
            step = max(1, _VALUES_AT_ONCE // max(1, len(labels)))
            for low in range(0, len(image_ids), step):
                part = (image_ids[low : low + step], values[low : low + step])
                with self._database.write() as connection:
                    probe_id = probe_id_of(connection, probe.name, probe.version)
                    begin, count = _store(connection, (probe_id, level), labels, part)
                first = begin if first is None else first
                stored += count
        with self._database.write() as connection:
            former = predictions.c.probe_id == probe_id_of(connection, probe.name, probe.version)
            if first is not None:  # ids rise: what is older was not among the batches
                former = and_(former, predictions.c.id < first)
            connection.execute(delete(predictions).where(former))
        return stored

    def count(self, probe: ProbeRecord) -> int:
        """How many rows have a stored prediction of a probe."""
        with self._database.read() as connection:
            theirs = predictions.c.probe_id == probe_id_of(connection, probe.name, probe.version)
            counted = select(func.count()).where(theirs).group_by(predictions.c.label).limit(1)
            return int(connection.execute(counted).scalar() or 0)


def _store(
    connection: Connection, of_probe: tuple[int, Level], labels: Sequence[str], batch: Batch
) -> tuple[int, int]:
    """Write a batch; returns the first id of its rows, and the number of the images that are there still."""
    (probe_id, level), (image_ids, values) = of_probe, batch
    chosen = select(images.c.id, LEVEL_IDS[level], images.c.study_id)
    held = {
        row[0]: (row[1], row[2])
        for row in connection.execute(chosen.where(one_of(images.c.id, image_ids.tolist())))
    }
    there = [place for place, image_id in enumerate(image_ids.tolist()) if image_id in held]
    rows = [held[image_id] for image_id in image_ids[there].tolist()]
    row_ids = [row_id for row_id, _ in rows]
    former = and_(predictions.c.probe_id == probe_id, one_of(predictions.c.row_id, row_ids))
    for label in labels:  # by the index on probe, label and row
        connection.execute(delete(predictions).where(former, predictions.c.label == label))
    count = len(rows) * len(labels)
    ids = reserve_ids(connection, count)
    if rows:
        columns = {
            "id": list(ids),
            "probe_id": [probe_id] * count,
            "study_id": [study_id for _, study_id in rows] * len(labels),
            "row_id": row_ids * len(labels),
            "label": [label for label in labels for _ in rows],
            "value": values[there].T.ravel().tolist(),
        }
        insert_columns(connection, predictions, columns)
    return ids.start, len(rows)
