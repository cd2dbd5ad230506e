"""What the service answers about pictures of images."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer

ThumbnailCode = Literal["burned-in", "picture-gone", "unknown-image", "not-made-yet"]


class ThumbnailLine(Answer):
    """A small picture of an image, `data` in base64 with its hash as `tag`; or the `code` that says why there
    is none: its pixels may name the patient, its file is not where it was, there is no such image, or it is
    still to be drawn and comes with a later request.
    """

    image_id: int
    tag: str | None = None
    content_type: str | None = None
    data: str | None = None
    code: ThumbnailCode | None = None


class ThumbnailList(Answer):
    """A line for each image that was asked about, in that order."""

    thumbnails: tuple[ThumbnailLine, ...]


class MadeThumbnails(Answer):
    """What `index thumbnails` did: thumbnails that were `made`, images that `lacked` one before, and those
    that still do because their files are `gone` or changed; `images` are all that may be shown.
    """

    images: int
    lacked: int
    made: int
    gone: int
