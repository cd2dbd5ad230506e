"""The points of a map as a table for other programs."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from medsiglip.api.archive.files import AnyPath, output_file
from medsiglip.api.archive.mapping.shown import map_points

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


def write_points(
    archive: OpenedArchive, out: AnyPath, *, level: str = "study", version: int | None = None
) -> None:
    """Write a CSV with the columns `x`, `y` and `image_id`. Raises ServiceError as `map_points` and
    `output_file` do."""
    shown = map_points(archive, level=level, version=version)
    with output_file(out).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("x", "y", "image_id"))
        for (x, y), image_id in zip(shown.places.tolist(), shown.image_ids.tolist(), strict=True):
            writer.writerow((f"{x:.6f}", f"{y:.6f}", image_id))
