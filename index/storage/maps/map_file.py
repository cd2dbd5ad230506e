"""Maps at rest: `maps/<space>/<name>.parquet`, written once and never changed, a row for each point.

Columns: `row_id` int64, the image, series or study, as the map's level says, ascending; `x` and `y` float32,
within -1 and 1; `kept` float32, the share of its true neighbours that are near on the plane; `apart` float32,
1 less the mean cosine to the nearest rows of other studies; and these rows, `near`, with their cosines
`alike`, five of each, 0 and NaN where there are fewer.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.vectors import Ids, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class MapPoints:
    """The points of a map, by row id: `row_ids` int64 [n], `places` float32 [n, 2], `kept` and `apart`
    float32 [n], `near` int64 [n, 5] and `alike` float32 [n, 5].
    """

    row_ids: Ids
    places: Vectors
    kept: Vectors
    apart: Vectors
    near: Ids
    alike: Vectors

    def without(self, gone: Ids) -> MapPoints:
        """The points without these rows, which are nobody's neighbours any more either."""
        stays = ~np.isin(self.row_ids, gone)
        near, alike = self.near[stays].copy(), self.alike[stays].copy()
        lost = np.isin(near, gone)
        near[lost], alike[lost] = 0, np.nan
        return MapPoints(
            self.row_ids[stays], self.places[stays], self.kept[stays], self.apart[stays], near, alike
        )

    def names(self, gone: Ids) -> bool:
        """Whether one of these rows is a point, or the neighbour of one."""
        return bool(np.isin(self.row_ids, gone).any() or np.isin(self.near, gone).any())


class MapFolder:
    """The files of the maps of one space."""

    def __init__(self, objects: ObjectStore, space: str) -> None:
        self._objects = objects
        self.space = space

    def object_name(self, name: str) -> str:
        """The name of a map as an object."""
        return f"maps/{self.space}/{name}.parquet"

    def write(self, name: str, points: MapPoints) -> None:
        """Write a map, which is on disk when this returns."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "row_id": pa.array(points.row_ids, pa.int64()),
            "x": pa.array(points.places[:, 0], pa.float32()),
            "y": pa.array(points.places[:, 1], pa.float32()),
            "kept": pa.array(points.kept, pa.float32()),
            "apart": pa.array(points.apart, pa.float32()),
            "near": _listed(points.near, pa.int64()),
            "alike": _listed(points.alike, pa.float32()),
        }
        stream = io.BytesIO()
        pq.write_table(pa.table(columns), stream, compression="zstd")
        self._objects.put_new(self.object_name(name), [stream.getbuffer()])

    def read(self, name: str) -> MapPoints:
        """The points of a map; raises `CatalogError` `map-gone` where its file is missing or damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self._objects.open_local(self.object_name(name))).combine_chunks()
            places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
            return MapPoints(
                table["row_id"].to_numpy(),
                np.asarray(places, np.float32).reshape(-1, 2),
                table["kept"].to_numpy(),
                table["apart"].to_numpy(),
                np.asarray(_unlisted(table["near"]), np.int64),
                np.asarray(_unlisted(table["alike"]), np.float32),
            )
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise CatalogError(
                "map-gone",
                f"The map file {self._objects.place(self.object_name(name))} cannot be read "
                f"({type(error).__name__}); make the map again with `map make`.",
            ) from None

    def discard(self, name: str) -> list[str]:
        """Delete a file that no row refers to; returns the objects of which versions remain."""
        return self._objects.delete([self.object_name(name)])


def _listed(values: NDArray[Any], kind: Any) -> Any:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values).reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _unlisted(column: Any) -> NDArray[Any]:
    parts = [one.flatten().to_numpy(zero_copy_only=False) for one in column.chunks]
    flat = np.concatenate(parts) if parts else np.empty(0)
    return flat.reshape(-1, int(column.type.list_size))
