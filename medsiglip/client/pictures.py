"""Pictures of stored images: `preview`, `thumbnail` and `thumbnails`."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Literal

from medsiglip.answers.pictures import ThumbnailLine, ThumbnailList
from medsiglip.arguments import several
from medsiglip.client.connection import Connection, read


class PictureMethods:
    """The methods about pictures of `Client`."""

    _service: Connection

    def preview(
        self,
        image_id: int,
        *,
        size: int | None = None,
        drawn: Literal["model", "display"] = "model",
        show_burned_in: bool = False,
    ) -> bytes:
        """A PNG of a stored image, whose longer side has at most `size` pixels: 128, 256, 512 or 1024.

        It is `drawn` as the model takes it, or for `display` as people read it, which differs for CT: grey by
        the window of its file. `show_burned_in` shows, to `admin`, what may bear a name in its pixels.
        """
        query = {
            "size": None if size is None else index(size),
            "drawn": None if drawn == "model" else drawn,
            "show_burned_in": show_burned_in or None,
        }
        return self._service.get_bytes(f"/v1/images/{index(image_id)}/preview", **query)

    def thumbnail(self, image_id: int) -> bytes:
        """A JPEG of a stored image as people read it, whose longer side has at most 192 pixels."""
        return self._service.get_bytes(f"/v1/images/{index(image_id)}/thumbnail")

    def thumbnails(self, image_ids: Sequence[int]) -> list[ThumbnailLine]:
        """The thumbnails of at most 200 images, in base64, or the code that says why one has none."""
        ids = [index(one) for one in several("image_ids", image_ids)]
        answer = self._service.get("/v1/thumbnails", image_id=ids)
        return list(read(ThumbnailList, answer).thumbnails)
