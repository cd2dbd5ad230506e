"""The part of `Client` that shows why a text fits and why two images are alike."""

from __future__ import annotations

from operator import index

from medsiglip.answers.why import WhyAnswer
from medsiglip.arguments import one_of
from medsiglip.client.connection import AnyPath, Connection, read
from medsiglip.client.paths import checked


class WhyMethods:
    """Methods of `Client`."""

    _service: Connection

    def why(
        self,
        file: AnyPath | None = None,
        *,
        study: str | None = None,
        image_id: int | None = None,
        text: str | None = None,
        like: AnyPath | None = None,
        like_study: str | None = None,
        like_image_id: int | None = None,
        show_burned_in: bool = False,
    ) -> WhyAnswer:
        """Where `text` fits in an image, or which places of it and of another image are alike; `picture` of
        the answer is a PNG.

        The image is that of a file, a study or a stored image, and so is the one that it is compared with; a
        file and a stored image are compared with the file first. `show_burned_in` shows, to `admin`, what may
        bear a name in its pixels.
        """
        one_of(file=file, study=study, image_id=image_id)
        one_of(text=text, like=like, like_study=like_study, like_image_id=like_image_id)
        body = {
            "study_instance_uid": checked("study", "uid", study),
            "image_id": None if image_id is None else index(image_id),
            "text": text,
            "like_study_instance_uid": checked("like_study", "uid", like_study),
            "like_image_id": None if like_image_id is None else index(like_image_id),
            "show_burned_in": show_burned_in or None,
        }
        if file is not None:
            return read(WhyAnswer, self._service.send_files("/v1/why", [file], body, like=like))
        if like is not None:
            raise TypeError(
                "give exactly one of text, like_study and like_image_id for a stored image: a file goes first"
            )
        return read(WhyAnswer, self._service.post("/v1/why", body))
