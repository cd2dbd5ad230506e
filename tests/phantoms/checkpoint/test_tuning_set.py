from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from medsiglip.ingest.render.attributes import attributes_of
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.renderings import limits_percentiles, render
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.checkpoint.tuning_set import (
    RenderedStudy,
    TuningSetOptions,
    render_studies,
    series_inputs,
    write_tuning_set,
)
from medsiglip.phantoms.dicom import write_study
from medsiglip.phantoms.report import read_phrases
from medsiglip.preprocess import to_model_input

pytestmark = pytest.mark.long


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["chest-xray", "chest-ct", "brain-mr", "mammogram", "fundus"])
def test_inputs_are_those_of_the_files(name: str, tmp_path: Path) -> None:
    """The same pixels as from the DICOM file on disk, by its own attributes."""
    for study in make_studies(4, 3, [name]):
        series = study.series[0]
        datasets = [pydicom.dcmread(path) for path in write_study(study, tmp_path)]
        histogram = ValueHistogram()
        for dataset in datasets:
            if dataset.pixel_array.ndim == 2:
                histogram.add(dataset.pixel_array, attributes_of(dataset))
        chosen = [0, len(datasets) - 1]
        for i, ours in zip(chosen, series_inputs(series, 96, chosen), strict=True):
            attributes = attributes_of(datasets[i])
            percentiles = limits_percentiles(attributes)
            limits = None if percentiles is None else histogram.limits(percentiles)
            shown = render(datasets[i].pixel_array, attributes, limits=limits).values
            assert np.array_equal(ours, to_model_input(shown, 96))


def test_folder_holds_pictures_and_captions_for_tuning(tmp_path: Path) -> None:
    options = TuningSetOptions(30, 5, 64, images=2, captions=3, workers=1, anatomies=("mammogram", "skin"))
    assert write_tuning_set(tmp_path, options) == 30
    rows = rows_of(tmp_path)
    by_path: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        by_path.setdefault(row["path"], []).append(row)
    assert sorted(by_path) == sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png"))
    for path, same in by_path.items():
        captions = [row["caption"] for row in same]
        assert len(set(captions)) == len(captions)
        kind = "mammogram" if len(set(read_phrases("mammogram").view) & set(captions)) > 1 else "skin"
        assert set(read_phrases(kind).view) <= set(captions)
        assert len({row["patient_id"] for row in same}) == 1
        with Image.open(tmp_path / path) as picture:
            assert picture.size == (64, 64)
            assert picture.mode in {"L", "RGB"}
    assert len({row["patient_id"] for row in rows}) < 30


def test_workers_do_not_change_the_set(tmp_path: Path) -> None:
    for workers in (1, 2):
        options = TuningSetOptions(6, 8, 48, captions=2, workers=workers, anatomies=("skin", "ultrasound"))
        write_tuning_set(tmp_path / str(workers), options)
    files = sorted(path.relative_to(tmp_path / "1") for path in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()


@pytest.fixture(scope="module")
def brains() -> list[RenderedStudy]:
    options = TuningSetOptions(12, 4, 48, images=4, workers=1, anatomies=("brain-mr",))
    return list(render_studies(options))


def test_slices_of_a_volume_show_the_finding_half_the_time(brains: list[RenderedStudy]) -> None:
    with_tumour = [one for one in brains if one.study.labels["brain-tumour"]]
    assert len(with_tumour) == 6
    for one in brains:
        assert len(one.pictures) == 4
        shown = sum("brain-tumour" in seen for seen in one.seen)
        available = sum(bool(findings) for findings in one.study.series[0].image_findings)
        assert shown == min(2, available)


def test_only_every_second_volume_is_made_where_asked() -> None:
    plain = TuningSetOptions(12, 2, 32, images=1, workers=1, anatomies=("head-ct", "skin"))
    sparse = TuningSetOptions(12, 2, 32, images=1, every_volume=2, workers=1, anatomies=("head-ct", "skin"))
    every = {one.study.study_instance_uid: one.study.series[0].anatomy for one in render_studies(plain)}
    kept = {one.study.study_instance_uid: one.study.series[0].anatomy for one in render_studies(sparse)}
    assert kept.keys() < every.keys()
    counts = [[list(found.values()).count(name) for name in ("skin", "head-ct")] for found in (every, kept)]
    assert counts[0] == [6, 6]
    assert counts[1][0] == 6
    assert 0 < counts[1][1] < 6


def test_captions_speak_of_the_slice_and_not_of_the_series(tmp_path: Path) -> None:
    """A slice beside the tumour is captioned in words that the anatomy uses for normal pictures."""
    options = TuningSetOptions(12, 4, 32, images=4, workers=1, anatomies=("brain-mr",))
    write_tuning_set(tmp_path, options)
    phrases = read_phrases("brain-mr")
    healthy = {*phrases.normal, *phrases.absent["brain-tumour"]}
    seen = {
        f"pictures/{number:06d}-{index:02d}.png": bool(findings)
        for number, one in enumerate(render_studies(options))
        for index, findings in zip(one.indices, one.seen, strict=True)
    }
    for row in rows_of(tmp_path):
        if row["caption"] in phrases.view:
            continue
        named = [phrase for phrase in healthy if phrase in row["caption"]]
        assert bool(named) or seen[row["path"]], row["caption"]
    sick = [row["caption"] for row in rows_of(tmp_path) if seen[row["path"]]]
    healthy_only = [caption for caption in sick if any(caption.endswith(phrase) for phrase in phrases.normal)]
    assert len(healthy_only) < 0.1 * len(sick)
