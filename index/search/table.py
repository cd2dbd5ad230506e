"""A level as columns, for evaluation and probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from medsiglip.index.catalogue import given_labels, labels, reading
from medsiglip.index.records import CaseTable, LabelRecord, Level
from medsiglip.index.search.shard_vectors import VectorSource
from medsiglip.index.vectors import Ids


def table(
    connection: Connection,
    source: VectorSource,
    level: Level,
    image_ids: Ids,
    given: Sequence[LabelRecord] | None = None,
) -> CaseTable:
    """One row for each of these images, or for each series or study that holds one of them; with the labels
    that are `given`, or those that are stored.
    """
    image_ids = np.sort(image_ids)
    rows = reading.image_rows(connection, image_ids.tolist())
    image_ids = np.array([one for one in image_ids.tolist() if one in rows], np.int64)
    if level == "image":
        groups, first = image_ids, image_ids
        vectors = source.vectors("image", groups)
        ids = [str(one) for one in groups.tolist()]
    else:
        owners = np.array([getattr(rows[one], f"{level}_id") for one in image_ids.tolist()], np.int64)
        groups, places = np.unique(owners, return_index=True)
        order = np.argsort(image_ids[places])
        groups, first = groups[order], image_ids[places][order]
        vectors = source.vectors(level, groups)
        ids = [getattr(rows[one], f"{level}_instance_uid") for one in first.tolist()]
    values = _labels(connection, level, groups.tolist(), given)
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


def _labels(
    connection: Connection, level: Level, row_ids: list[int], given: Sequence[LabelRecord] | None
) -> dict[int, dict[str, float]]:
    if given is not None:
        return given_labels.of_level(connection, level, row_ids, given)
    if level == "image":
        return labels.of_images(connection, row_ids)
    return labels.of_groups(connection, level, row_ids)


def _columns(values: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = sorted({name for row in values for name in row})
    return {name: np.array([row.get(name, np.nan) for row in values], np.float64) for name in names}
