"""Scores of series and studies from those of their pictures, as the probe pools them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable
    from medsiglip.probes.probe import Probe


def pictures_of_rows(
    archive: OpenedArchive, table: CaseTable
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The vectors, float32 [m, d], of all stored pictures of the series or studies of a table, and the row
    [m] that each belongs to.
    """
    rows = archive.index.instances.rows_of_images(table.level, table.image_ids.tolist())
    order = np.argsort(rows)
    pictures = archive.index.table("image", among=list(dict.fromkeys(table.study_instance_uids)))
    owners = archive.index.instances.rows_of_images(table.level, pictures.image_ids.tolist())
    places = np.minimum(np.searchsorted(rows[order], owners), len(rows) - 1)
    theirs = np.flatnonzero(rows[order][places] == owners)
    return pictures.vectors[theirs], order[places[theirs]].astype(np.int64)


def row_logits(archive: OpenedArchive, probe: Probe, table: CaseTable) -> Floats:
    """A probe's logits [n, L] of the rows of a table."""
    if not table.ids:
        return np.empty((0, len(probe.labels)))
    if table.level == "image" or probe.pooling == "mean":
        return probe.predict_logits(table.vectors)
    vectors, row = pictures_of_rows(archive, table)
    logits = np.full((len(table.ids), len(probe.labels)), -np.inf)
    np.maximum.at(logits, row, probe.predict_logits(vectors))
    return logits
