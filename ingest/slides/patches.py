"""Rendering a slide: patches with tissue from one level of its pyramid, read tile by tile, and the images of
its label.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.pixels.pixel_hash import PixelHash
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.slides.levels import (
    COARSER_AT_MOST,
    MAGNIFICATION_MICROMETRES,
    Grid,
    Level,
    choose_levels,
    grid_of,
    is_fine_enough,
    levels_of,
    target_micrometres,
)
from medsiglip.ingest.slides.regions import SlideRegions
from medsiglip.ingest.slides.tiles import TileFile, open_tiles
from medsiglip.ingest.slides.tissue import LEAST_TISSUE, estimate_tissue, tissue_share
from medsiglip.ingest.units.plan import PatchOptions, Region, Slice, Unit
from medsiglip.ingest.units.rendered_image import FileOutcome, Keeping, RenderedImage, code_of
from medsiglip.ingest.units.sampling import sample_evenly

# The most pixels of a level that the patches may cover: a minute or two of decoding.
MAX_SOURCE_PIXELS = 1 << 30
# An image of the label or of the whole glass is rendered as a whole.
MAX_LABEL_PIXELS = 1 << 26


def render_slide(
    unit: Unit, options: PatchOptions, keeping: Keeping
) -> Iterator[FileOutcome | RenderedImage]:
    """Yield one outcome for every file of a slide, an image for every patch that is kept, and one for every
    image of the label or of the whole glass.

    A level with a file that fails gives no image; the next best level is rendered instead. Never raises for
    what the files hold.
    """
    files: dict[int, TileFile] = {}
    hashes: dict[int, PixelHash] = {}
    try:
        for number, header in enumerate(unit.headers):
            try:
                opened = open_tiles(header.path)
                with closing(opened):  # only the files of the level that is rendered stay open
                    hashes[number] = opened.pixel_hash(older=unit.older_hashes)
                files[number] = opened
            except Exception as error:
                yield FileOutcome(number, None, code_of(error))
        levels, refused = levels_of(files)
        pictures = [level for level in levels if unit.headers[level.files[0]].slide_label]
        labels, failed = _render_labels(pictures, files, keeping)
        refused.update(failed)
        levels = [level for level in levels if not unit.headers[level.files[0]].slide_label]
        images: deque[RenderedImage] = deque()
        while levels and not images:
            images, failed = _render_best(levels, files, options, keeping)
            refused.update(failed)
            levels = [level for level in levels if not failed.keys() & set(level.files)]
        images += labels
    finally:
        for opened in files.values():
            opened.close()
    for number in files:
        code = refused.get(number)
        found = hashes[number]
        yield FileOutcome(number, None if code else found.value, code, older_hash=found.older)
    while images:
        yield images.popleft()


def _render_labels(
    labels: Sequence[Level], files: dict[int, TileFile], keeping: Keeping
) -> tuple[list[RenderedImage], dict[int, str]]:
    """One image of each, and the code of the files that failed."""
    images, failed = [], {}
    for level in labels:
        regions = SlideRegions(level, files)
        try:
            if level.rows * level.columns > MAX_LABEL_PIXELS:
                raise decode_error("picture-too-large")
            display = regions.region(Region(0, 0, level.rows, level.columns))
            images.append(keeping.image(Slice(level.files[0], 0, None), display))
        except Exception as error:
            number = level.files[0] if regions.failed is None else regions.failed
            failed[number] = code_of(error)
    return images, failed


def _render_best(
    levels: Sequence[Level], files: dict[int, TileFile], options: PatchOptions, keeping: Keeping
) -> tuple[deque[RenderedImage], dict[int, str]]:
    """The patches of the best levels; if any file fails, none, and the codes of the files that failed."""
    regions = {level.files: SlideRegions(level, files) for level in levels}
    chosen = choose_levels(levels, options.magnification)
    most = max(options.max_patches // len(chosen), 1)
    images: deque[RenderedImage] = deque()
    for level in chosen:
        others = [other for files_of, other in regions.items() if files_of != level.files]
        try:
            images += _patches(regions[level.files], others, replace(options, max_patches=most), keeping)
        except Exception as error:
            numbers = [r.failed for r in regions.values() if r.failed is not None] or [level.files[0]]
            return deque(), dict.fromkeys(numbers, code_of(error))
    return images, {}


def _patches(
    regions: SlideRegions, others: Sequence[SlideRegions], options: PatchOptions, keeping: Keeping
) -> list[RenderedImage]:
    level, magnification = regions.level, options.magnification
    grid = grid_of(level, magnification)
    if not len(level.top):
        raise decode_error("inconsistent-pixels")
    shares = estimate_tissue(regions, grid, others).ravel()
    candidates = np.flatnonzero(shares >= LEAST_TISSUE)
    most = max(min(options.max_patches, MAX_SOURCE_PIXELS // grid.side**2), 1)
    warnings: tuple[str, ...] = ("slide-thinned",) if len(candidates) > most else ()
    if not is_fine_enough(level, magnification):
        warnings += ("slide-spacing-unknown",) if level.micrometres is None else ("slide-coarse",)
    warnings += ("slide-tiles-empty",) if level.lacks_tiles else ()
    images = []
    for i in sample_evenly(len(candidates), most):
        display = _patch(regions, grid, int(candidates[i]), magnification)
        if tissue_share(display.values) >= LEAST_TISSUE:
            images.append(_image(level, grid, int(candidates[i]), display, warnings, keeping))
    if not images:
        likeliest = int(np.argmax(shares)) if shares.any() else len(grid) // 2
        display = _patch(regions, grid, likeliest, magnification)
        images = [_image(level, grid, likeliest, display, (*warnings, "slide-no-tissue"), keeping)]
    return images


def _patch(regions: SlideRegions, grid: Grid, patch: int, magnification: float) -> Display:
    """Render a patch, as `slide-10x` and the like, or as `slide-native` if the level is coarser or the whole
    slide is smaller than a patch.
    """
    region, level = grid.region(patch), regions.level
    display = regions.region(region)
    named = "native"
    params: dict[str, object] = {
        **display.params,
        "row": region.row,
        "column": region.column,
        "height": region.height,
        "width": region.width,
    }
    if level.micrometres is not None:
        micrometres = level.micrometres * grid.side / grid.shown
        if 1 / COARSER_AT_MOST <= micrometres / target_micrometres(magnification) <= COARSER_AT_MOST:
            named = f"{magnification:g}x"
        params["micrometres_per_pixel"] = round(micrometres, 4)
        params["magnification"] = round(MAGNIFICATION_MICROMETRES / micrometres, 3)
    return replace(
        display, values=_shrink(display.values, grid.shown), rendering=f"slide-{named}", params=params
    )


def _shrink(values: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize to `size` x `size`, bilinear with antialiasing."""
    if values.shape[:2] == (size, size):
        return values
    from PIL import Image

    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR))


def _image(
    level: Level, grid: Grid, patch: int, display: Display, warnings: tuple[str, ...], keeping: Keeping
) -> RenderedImage:
    item = Slice(level.files[0], patch, None, grid.region(patch))
    return keeping.image(item, replace(display, warnings=(*display.warnings, *warnings)))
