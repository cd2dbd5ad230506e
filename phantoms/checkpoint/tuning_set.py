"""Phantom studies as a folder of pictures and captions for `medsiglip tune`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medsiglip.ingest.child_process import process_pool
from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.renderings import choose_rendering, limits_percentiles, render
from medsiglip.phantoms.catalogue import StudyPlan, plan_studies, synthesise_study
from medsiglip.phantoms.report import caption, read_phrases, statements
from medsiglip.phantoms.study import PhantomSeries, PhantomStudy
from medsiglip.preprocess import DEFAULT_PROFILE, to_model_input

_CHUNK = 32
VOLUMES = frozenset({"chest-ct", "brain-mr", "head-ct"})
"""Anatomies whose series have many slices."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TuningSetOptions:
    """How much to make: `studies` from `seed`, at most `images` of each series, `captions` for each image.

    `size` is the side of the pictures, the model's own, so that tuning need not resize them. `anatomies` are
    all by default. Of the volumes only every `every_volume`-th is made: each takes long and gives several
    pictures.
    """

    studies: int
    seed: int
    size: int
    images: int = 4
    every_volume: int = 1
    captions: int = 6
    workers: int = 2
    anatomies: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RenderedStudy:
    """A study as the model sees it: `pictures` uint8 [n, S, S, 3], `seen[i]` the findings in picture i."""

    study: PhantomStudy
    indices: tuple[int, ...]
    pictures: NDArray[np.uint8]
    seen: tuple[frozenset[str], ...]


def write_tuning_set(
    folder: Path,
    options: TuningSetOptions,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write PNGs and `metadata.csv` (path, caption, patient_id, group) to `folder`; return the picture count.

    The same options give the same bytes, whatever the number of workers. `on_progress` gets the number of
    studies done and their total.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    plans = _plans(options)
    pictures = 0
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "caption", "patient_id", "group"])
        for rows in _each(partial(_write_study, folder, options), plans, options.workers, on_progress):
            writer.writerows(rows)
            pictures += len({row[0] for row in rows})
    return pictures


def render_studies(
    options: TuningSetOptions, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[RenderedStudy]:
    """Synthesise the same studies in memory, with up to `images` pictures of each, to measure a model."""
    plans = _plans(options)
    yield from _each(partial(_render, options), plans, options.workers, on_progress)


def _plans(options: TuningSetOptions) -> list[StudyPlan]:
    plans = plan_studies(options.studies, options.seed, options.anatomies)
    return [plan for plan in plans if plan.anatomy not in VOLUMES or plan.number % options.every_volume == 0]


def _each(
    work: Callable[[StudyPlan], _T],
    plans: Sequence[StudyPlan],
    workers: int,
    on_progress: Callable[[int, int], None],
) -> Iterator[_T]:
    """Yield `work(plan)` for each plan in order, from spawned processes where there are several workers."""
    if workers < 2:
        for done, plan in enumerate(plans, start=1):
            yield work(plan)
            on_progress(done, len(plans))
        return
    with process_pool(workers) as pool:
        for done, result in enumerate(pool.map(work, plans, chunksize=_CHUNK), start=1):
            yield result
            on_progress(done, len(plans))


def _write_study(folder: Path, options: TuningSetOptions, plan: StudyPlan) -> list[tuple[str, str, str, str]]:
    rendered = _render(options, plan)
    phrases, series = read_phrases(plan.anatomy), rendered.study.series[0]
    rows = []
    for index, picture in zip(rendered.indices, rendered.pictures, strict=True):
        path = f"pictures/{plan.number:06d}-{index:02d}.png"
        flat = picture[..., 0] if (picture == picture[..., :1]).all() else picture
        Image.fromarray(flat).save(folder / path, compress_level=1)
        rng = np.random.default_rng([options.seed, 8, plan.number, index])
        texts = [caption(rng, phrases, series.image_findings[index]) for _ in range(options.captions)]
        texts += statements(phrases, series.image_findings[index])
        rows += [(path, text, rendered.study.patient_id, plan.anatomy) for text in dict.fromkeys(texts)]
    return rows


def _render(options: TuningSetOptions, plan: StudyPlan) -> RenderedStudy:
    study = synthesise_study(plan)
    series = study.series[0]
    rng = np.random.default_rng([options.seed, 9, plan.number])
    indices = _choose_images(series, options.images, rng)
    seen = tuple(frozenset(finding.name for finding in series.image_findings[i]) for i in indices)
    return RenderedStudy(study, indices, series_inputs(series, options.size, indices), seen)


def _choose_images(series: PhantomSeries, most: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Choose up to `most` images, half of them with a finding where the series has that many."""
    order = rng.permutation(len(series.pixels))
    positive = [int(i) for i in order if series.image_findings[i]]
    negative = [int(i) for i in order if not series.image_findings[i]]
    half = max(most // 2, most - len(negative))
    chosen = positive[:half]
    return tuple(sorted(chosen + negative[: most - len(chosen)]))


def series_inputs(
    series: PhantomSeries, size: int, indices: Sequence[int], profile: str = DEFAULT_PROFILE
) -> NDArray[np.uint8]:
    """Render images of a series as ingest would from its files: model inputs, uint8 [n, size, size, 3]."""
    attributes = _attributes(series)
    rendering = choose_rendering(attributes)
    limits = None
    percentiles = limits_percentiles(attributes)
    if percentiles is not None:
        histogram = ValueHistogram()
        for stored in series.pixels:
            histogram.add(stored, attributes)
        limits = histogram.limits(percentiles)
    shown = (render(series.pixels[i], attributes, rendering=rendering, limits=limits).values for i in indices)
    return np.stack([to_model_input(values, size, profile) for values in shown])


def _attributes(series: PhantomSeries) -> PixelAttributes:
    slope, intercept = series.rescale
    return PixelAttributes(
        modality=series.modality,
        photometric_interpretation=series.photometric_interpretation,
        bits_stored=series.bits_stored,
        rescale_slope=slope,
        rescale_intercept=intercept,
        hounsfield=series.modality == "CT",
        windows=() if series.window is None else (Window(*series.window),),
    )
