"""The part of `Client` that is about maps."""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING

from medsiglip.answers.jobs import Job
from medsiglip.answers.maps import (
    DuplicateList,
    KeptMap,
    Map,
    MapColours,
    MapList,
    MapPlace,
    OutlierList,
)
from medsiglip.arguments import one_of
from medsiglip.client.connection import Connection, read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PATH = "/v1/map"


class MapMethods:
    """Methods of `Client`. `level` is study, series or image, `version` that of a map, None for the
    newest."""

    _service: Connection

    def make_map(self, level: str = "study", *, seed: int = 0) -> Job:
        """Start laying out the archive in a plane; `wait` for it, then `map(level)`."""
        body = {"level": level, "seed": index(seed)}
        return read(Job, self._service.post(_PATH, body, once=True))

    def map(self, level: str = "study", *, version: int | None = None) -> Map:
        """How a map was made, what it is worth, and by what its points may be coloured."""
        return read(Map, self._service.get(_PATH, level=level, version=version))

    def maps(self) -> list[KeptMap]:
        """The maps that are kept, by level, the newest first."""
        return list(read(MapList, self._service.get(f"{_PATH}/versions")).maps)

    def map_points(
        self, level: str = "study", *, version: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """The places of all points, float32 [n, 2], and the ids of the images that stand for them, uint32
        [n]."""
        import numpy as np

        content = self._service.get_bytes(f"{_PATH}/points", level=level, version=version)
        count = len(content) // 12
        places = np.frombuffer(content, "<f4", 2 * count).reshape(count, 2)
        return places, np.frombuffer(content, "<u4", offset=8 * count)

    def map_colours(self, field: str, level: str = "study", *, version: int | None = None) -> MapColours:
        """What the points have of a field that `map` names."""
        answer = self._service.get(f"{_PATH}/colours", field=field, level=level, version=version)
        return read(MapColours, answer)

    def map_place(
        self,
        *,
        text: str | None = None,
        image_id: int | None = None,
        k: int = 10,
        level: str = "study",
        version: int | None = None,
    ) -> MapPlace:
        """Where a text or a stored image belongs: its `k` nearest in truth, and where they stand."""
        one_of(text=text, image_id=image_id)
        asked = {"text": text, "image_id": None if image_id is None else index(image_id), "k": index(k)}
        return read(MapPlace, self._service.get(f"{_PATH}/place", **asked, level=level, version=version))

    def map_outliers(
        self, limit: int = 20, *, level: str = "study", version: int | None = None
    ) -> OutlierList:
        """The cases that are least like all of other studies."""
        answer = self._service.get(f"{_PATH}/outliers", limit=index(limit), level=level, version=version)
        return read(OutlierList, answer)

    def map_duplicates(
        self,
        limit: int = 20,
        *,
        min_cosine: float = 0.98,
        other_patients: bool = False,
        level: str = "study",
        version: int | None = None,
    ) -> DuplicateList:
        """Groups of cases of several studies that are nearly the same, or only those of several patients."""
        asked = {"limit": index(limit), "min_cosine": float(min_cosine), "level": level, "version": version}
        answer = self._service.get(f"{_PATH}/duplicates", **asked, other_patients=other_patients or None)
        return read(DuplicateList, answer)
