"""Pictures of stored images for generators and exports, rendered again from the files that they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.records import StoredImage
    from medsiglip.ingest.workers.render_files import Rendered
    from medsiglip.ingest.workers.rendering_pool import RenderingPool

Pixels = NDArray[np.uint8]


class StoredPictures:
    """An `ImageSource` over the files of an index. A series is rendered whole, for what depends on all of it,
    such as the percentiles of MR.
    """

    def __init__(self, index: CaseIndex, rendering_pool: RenderingPool) -> None:
        self._index = index
        self._rendering_pool = rendering_pool

    def pictures(self, image_ids: Sequence[int]) -> list[Pixels]:
        """Display values uint8 [height, width, 3] of each image. Raises ServiceError `picture-gone` where its
        file is not where it was, or does not hold the same pixels.
        """
        stored = [self._index.get(image_id) for image_id in image_ids]
        rendered: dict[tuple[str, int, str], Rendered] = {}
        for uid in dict.fromkeys(image.series_instance_uid for image in stored):
            rendered.update(self._series(uid))
        return [_found(image, rendered) for image in stored]

    def _series(self, series_instance_uid: str) -> dict[tuple[str, int, str], Rendered]:
        from medsiglip.index.records import SEPARATOR
        from medsiglip.ingest.privacy.deidentify import known_key
        from medsiglip.ingest.workers.render_files import Rendered, render_files

        records = self._index.files.of_series(series_instance_uid)
        paths = [record.path for record in records if record.outcome == "embedded"]
        paths = [path for path in paths if Path(path.split(SEPARATOR)[0]).is_file()]
        images = (
            render_files(paths, key=known_key(self._index), rendering_pool=self._rendering_pool)
            if paths
            else iter(())
        )
        return {
            (one.sop_instance_uid, one.frame, one.pixel_hash): one
            for one in images
            if isinstance(one, Rendered)
        }


def _found(image: StoredImage, rendered: dict[tuple[str, int, str], Rendered]) -> Pixels:
    one = rendered.get((image.sop_instance_uid, image.frame, image.pixel_hash))
    if one is None:
        raise ServiceError(
            "picture-gone",
            f"the file of image {image.image_id} is not where it was, or has changed: put it back, or "
            "ingest it again.",
        )
    pixels = one.pixels
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels
