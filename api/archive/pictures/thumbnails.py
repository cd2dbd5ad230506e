"""Thumbnails of stored images; those that are missing are drawn from their files and kept."""

from __future__ import annotations

import base64
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

from medsiglip.answers.pictures import MadeThumbnails, ThumbnailCode, ThumbnailLine, ThumbnailList
from medsiglip.api.archive.drafts.image_source import drawn_images
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.files import AnyPath
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.storage.thumbnails import ShownImage

MOST_AT_ONCE = 200
"""How many thumbnails one question may ask for."""
# A page of a grid waits no longer than this for pictures of a home of before thumbnails; the rest come with
# its next questions.
_SECONDS = 4.0
_SERIES_TOGETHER = 200


def thumbnails(
    archive: OpenedArchive,
    image_ids: Sequence[int],
    *,
    on_shown: Callable[[list[str]], None] = lambda studies: None,
    clock: Callable[[], float] = time.monotonic,
) -> ThumbnailList:
    """The thumbnail of each image, or why there is none.

    Missing ones are drawn, series by series, for some seconds. `on_shown` gets the UIDs of the studies of the
    images that are shown, before they are.
    """
    shown = archive.index.thumbnails.shown(image_ids)
    codes: dict[int, ThumbnailCode] = {}
    lacking: dict[str, list[int]] = {}
    for image_id in dict.fromkeys(image_ids):
        image = shown.get(image_id)
        if image is None:
            codes[image_id] = "unknown-image"
        elif not _may_be_shown(image):
            codes[image_id] = "burned-in"
        elif image.thumbnail is None:
            lacking.setdefault(image.series_instance_uid, []).append(image_id)
    until = clock() + _SECONDS
    for uid, theirs in lacking.items():
        late = clock() >= until
        if not late:
            make_for_series(archive, uid)
        codes |= dict.fromkeys(theirs, "not-made-yet" if late else "picture-gone")
    tried = [one for one, code in codes.items() if code == "picture-gone"]
    shown |= archive.index.thumbnails.shown(tried)
    lines = tuple(_line(image_id, shown.get(image_id), codes.get(image_id)) for image_id in image_ids)
    with_data = [line.image_id for line in lines if line.data is not None]
    on_shown(list(dict.fromkeys(shown[image_id].study_instance_uid for image_id in with_data)))
    return ThumbnailList(thumbnails=lines)


def thumbnail_of(archive: OpenedArchive, image_id: int) -> tuple[str, bytes]:
    """The UID of an image's study, and its thumbnail, drawn if it is missing.

    Raises CatalogError `unknown-image`, ServiceError `burned-in` for an image whose pixels may name the
    patient, and `picture-gone` where the file of a missing one is not where it was.
    """
    found = archive.index.thumbnails.one(image_id)
    if not _may_be_shown(found):
        raise ServiceError(
            "burned-in",
            f"image {image_id} may bear the patient's name in its pixels, so that it has no thumbnail: a key "
            "with the scope admin sees its preview with show_burned_in=true.",
        )
    if found.thumbnail is None:
        make_for_series(archive, found.series_instance_uid)
        found = archive.index.thumbnails.one(image_id)
    if found.thumbnail is None:
        raise ServiceError(
            "picture-gone",
            f"the file of image {image_id} is not where it was, or has changed: put it back, ingest it "
            "again, or `pacs fetch` the study where it came from a PACS.",
        )
    return found.study_instance_uid, found.thumbnail.content


def make_for_series(archive: OpenedArchive, series_instance_uid: str) -> int:
    """Draw and keep the missing thumbnails of a series; returns how many."""
    index = archive.index
    lacking = index.thumbnails.lacking_in(series_instance_uid)
    if not lacking:
        return 0
    drawn = drawn_images(index, archive.rendering_pool, series_instance_uid, lacking, "thumbnail")
    return index.thumbnails.put({image_id: one.thumbnail for image_id, one in drawn.items()})


def make_thumbnails(
    archive: OpenedArchive, *, sources: Sequence[AnyPath] = (), on_progress: OnProgress = silent
) -> MadeThumbnails:
    """Draw and keep every missing thumbnail of the home, series by series; what is kept stays if this is
    ended. A home that keeps no paths needs the folders of its files as `sources`.
    """
    from medsiglip.api.archive.upkeep.reembedding import mention

    mention(archive, sources)
    before = archive.index.thumbnails.count()
    lacked = before.images - before.thumbnails
    made = 0
    on_progress("thumbnails", 0, lacked)
    with closing(_made(archive)) as counts:
        for count in counts:
            made += count
            on_progress("thumbnails", min(made, lacked), lacked)
    after = archive.index.thumbnails.count()
    gone = after.images - after.thumbnails
    return MadeThumbnails(images=after.images, lacked=lacked, made=made, gone=gone)


def _made(archive: OpenedArchive) -> Generator[int]:
    """How many were made of one series after the other, by as many threads as there are workers."""
    from medsiglip.ingest.workers.pool import usual_workers

    workers, stopped = usual_workers(), threading.Event()
    running: deque[Future[int]] = deque()

    def make(uid: str) -> int:
        return 0 if stopped.is_set() else make_for_series(archive, uid)

    with ThreadPoolExecutor(workers, "thumbnails") as threads:
        try:
            for uid in _series_lacking(archive):
                running.append(threads.submit(make, uid))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            stopped.set()


def _series_lacking(archive: OpenedArchive) -> Iterator[str]:
    after = 0
    while together := archive.index.thumbnails.series_lacking(after, _SERIES_TOGETHER):
        yield from (uid for _, uid in together)
        after = together[-1][0]


def _may_be_shown(image: ShownImage) -> bool:
    from medsiglip.ingest.header.burned_in import may_preview

    return may_preview(image.quality)


def _line(image_id: int, image: ShownImage | None, code: ThumbnailCode | None) -> ThumbnailLine:
    from medsiglip.ingest.render.thumbnail import CONTENT_TYPE

    if image is None or image.thumbnail is None or code == "burned-in":
        return ThumbnailLine(image_id=image_id, code=code)
    return ThumbnailLine(
        image_id=image_id,
        tag=image.thumbnail.tag,
        content_type=CONTENT_TYPE,
        data=base64.b64encode(image.thumbnail.content).decode("ascii"),
    )
