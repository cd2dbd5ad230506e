"""A level as columns, for evaluation and probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from index import _reading, labels
from index._loaded import LoadedSpace
from index.records import CaseTable, Level
from index.vectors import Ids


def table(connection: Connection, loaded: LoadedSpace, level: Level, image_ids: Ids) -> CaseTable:
    """One row for each of these images, or for each series or study that holds one of them."""
    image_ids = np.sort(image_ids)
    rows = _reading.image_rows(connection, image_ids.tolist())
    image_ids = np.array([one for one in image_ids.tolist() if one in rows], np.int64)
    if level == "image":
        groups, first = image_ids, image_ids
        values = labels.of_images(connection, groups.tolist())
        vectors = loaded.index.rows(groups)
        ids = [str(one) for one in groups.tolist()]
    else:
        owners = np.array([getattr(rows[one], f"{level}_id") for one in image_ids.tolist()], np.int64)
        groups, places = np.unique(owners, return_index=True)
        order = np.argsort(image_ids[places])
        groups, first = groups[order], image_ids[places][order]
        values = labels.of_groups(connection, level, groups.tolist())
        vectors = loaded.level(level).index.rows(groups)
        ids = [getattr(rows[one], f"{level}_instance_uid") for one in first.tolist()]
    chosen = [rows[one] for one in first.tolist()]
    return CaseTable(
        level=level,
        ids=tuple(ids),
        image_ids=first,
        study_instance_uids=tuple(row.study_instance_uid for row in chosen),
        patient_keys=tuple(row.patient_key for row in chosen),
        modalities=tuple(row.modality for row in chosen),
        paths=tuple(row.path for row in chosen),
        vectors=vectors,
        labels=_columns([values[group] for group in groups.tolist()]),
    )


def _columns(values: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = sorted({name for row in values for name in row})
    return {name: np.array([row.get(name, np.nan) for row in values], np.float64) for name in names}
