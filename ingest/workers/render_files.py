"""The images of some files as display values, before resizing: for `render`, `embed` and search by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.reasons import Rejected

if TYPE_CHECKING:
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.units.plan import PlanOptions
    from medsiglip.ingest.units.rendered_image import FileOutcome, RenderedImage
    from medsiglip.ingest.workers.rendering_pool import RenderingPool


@dataclass(frozen=True, slots=True)
class Rendered:
    """One image and what identifies it in an index; `pixels` are display values uint8 [H, W] or [H, W, 3].
    `older_hash` is the pixel hash of earlier versions, `thumbnail` a JPEG of an image that may be shown,
    where the options ask for them; with thumbnails there are no pixels.
    """

    path: str
    pixels: NDArray[np.uint8]
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    pixel_hash: str
    frame: int
    slice_index: int | None
    modality: str
    rendering: str
    rendering_params: Mapping[str, object]
    warnings: tuple[str, ...]
    older_hash: str | None = None
    thumbnail: bytes = b""


def render_files(
    paths: Sequence[str | Path],
    options: PlanOptions | None = None,
    key: SecretKey | None = None,
    rendering_pool: RenderingPool | None = None,
) -> Iterator[Rendered | Rejected]:
    """Render the images of files and folders as an ingest of the same paths would, series by series.

    UIDs are as the home of `key` keeps them; without a key, as in the files. What depends on a whole series
    (percentiles, the choice of slices) is taken from the given files alone. Files are read by the workers of
    `rendering_pool`, or in this process. Yields a `Rejected` for every file without a usable image, and never
    raises for what a file holds; raises `IngestError` as `walk` and `rendering_pool` do.
    """
    from medsiglip.ingest.files.walk import FoundFile, walk
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.scan.scan import scan_file
    from medsiglip.ingest.units.plan import PlanOptions, plan
    from medsiglip.ingest.workers.unit_rendering import render_images

    # Pseudonyms of patients do not leave this function, so any key does.
    key = key or SecretKey(bytes(32))
    options = options or PlanOptions()
    files = list(walk(paths))
    if rendering_pool is not None and len(files) == 1 and isinstance(files[0], FoundFile):
        shown = rendering_pool.scan_and_render(files[0], key, options)
        if shown is not None:
            yield from _with_identity([shown[0]], shown[1])
            return
    scan = rendering_pool.scan if rendering_pool else scan_file
    headers = []
    for found in files:
        scanned = found if isinstance(found, Rejected) else scan(found, key)
        if isinstance(scanned, Rejected):
            yield scanned
        else:
            headers.append(scanned)
    for unit in plan(headers, options):
        yield from _with_identity(
            unit.headers, rendering_pool.render(unit) if rendering_pool else render_images(unit)
        )


def _with_identity(
    headers: Sequence[Header], rendered: Iterable[FileOutcome | RenderedImage]
) -> Iterator[Rendered | Rejected]:
    from medsiglip.ingest.units.rendered_image import FileOutcome

    outcomes: dict[int, FileOutcome] = {}
    for item in rendered:
        if not isinstance(item, FileOutcome):
            yield _rendered(headers[item.slice.file], outcomes[item.slice.file], item)
        elif item.pixel_hash is None:
            yield Rejected(headers[item.file].path, item.code or "undecodable-pixels")
        else:
            outcomes[item.file] = item


def _rendered(header: Header, outcome: FileOutcome, image: RenderedImage) -> Rendered:
    return Rendered(
        path=header.path,
        pixels=image.display.values,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        pixel_hash=outcome.pixel_hash or "",
        older_hash=outcome.older_hash,
        frame=image.slice.frame,
        slice_index=image.slice.slice_index,
        modality=header.modality,
        rendering=image.display.rendering,
        rendering_params=image.display.params,
        warnings=(*header.warnings, *image.display.warnings),
        thumbnail=image.thumbnail,
    )
