"""How many texts and pictures that fit nothing are told from those that fit, on phantoms, with `tiny`.

`make scope-test` asks 200 of each, half of them from sources that nothing was tried out with, and writes
`benchmarks/results/out-of-scope.csv`; the tests of every day ask fewer, of a small archive.
"""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.scores.scope import image_p_value, text_p_values
from medsiglip.phantoms.catalogue import ANATOMIES, make_studies
from medsiglip.phantoms.checkpoint.tuning_set import TuningSetOptions, render_studies
from medsiglip.phantoms.report import caption, read_phrases
from medsiglip.phantoms.writing import write_phantoms
from medsiglip.preprocess import to_model_input
from medsiglip.scope.image_scope import MOST_IMAGES, ImageScope
from medsiglip.scope.outlier_p_values import FALSE_ALARM
from tests.api.archive.scores.strange_questions import (
    HALVES,
    Pixels,
    drawings,
    nonsense,
    other_domains,
    other_languages,
    photographs,
)
from tests.api.conftest import Home
from tests.repository import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "out-of-scope.csv"
GOAL = 0.95
RADIOGRAPHS = ("modality=CR|DX",)
CHECKED = ("chest-xray",)
DATA_SETS = ("cxr_pneumonia", "brain_mri_tumor", "fundus_4class", "cxr_covid_notes", "modality_mix")


@dataclass(frozen=True, slots=True)
class Row:
    """So many of `asked` things of a source are called out of scope."""

    what: str
    source: str
    asked: int
    flagged: int

    @property
    def share(self) -> float:
        return self.flagged / self.asked


def texts_row(archive: Archive, what: str, source: str, texts: Sequence[str]) -> Row:
    values = text_p_values(archive, texts, archive.encoder.encode_texts(texts))
    return Row(what, source, len(texts), sum(values[one] <= FALSE_ALARM for one in texts))


def pictures_row(
    archive: Archive, what: str, source: str, inputs: Sequence[Pixels], where: Sequence[str] = ()
) -> Row:
    flagged = 0
    for vector in archive.encoder.encode_images(list(inputs)):
        value = image_p_value(archive, vector[None], None, where)
        assert value is not None
        flagged += value <= FALSE_ALARM
    return Row(what, source, len(inputs), flagged)


def strange_texts(archive: Archive, each: int) -> Iterator[Row]:
    for half in HALVES:
        for source in (nonsense, other_domains, other_languages):
            name = f"{source.__name__.replace('_', ' ')}, {half}"
            yield texts_row(archive, "strange text", name, source(half, each))


def usual_texts(archive: Archive, count: int, seed: int) -> Iterator[Row]:
    """Captions and sentences of reports of phantoms that are in no archive."""
    studies = list(make_studies(count, seed, ["chest-xray", "mammogram", "skin", "ultrasound", "fundus"]))
    draw = np.random.default_rng(seed)
    captions = [caption(draw, read_phrases(one.series[0].anatomy), one.series[0].findings) for one in studies]
    sentences = [draw.choice(one.report.rstrip(".").split(". ")) for one in studies]
    yield texts_row(archive, "usual text", "captions of new phantoms", captions)
    yield texts_row(archive, "usual text", "sentences of new phantoms' reports", [str(s) for s in sentences])


def as_inputs(archive: Archive, pictures: Sequence[Pixels]) -> list[Pixels]:
    size, profile = archive.encoder.image_size, archive.space.profile
    return [to_model_input(one, size, profile) for one in pictures]


def phantom_pictures(archive: Archive, count: int, seed: int, anatomies: Sequence[str]) -> list[Pixels]:
    """One picture of each of so many studies of patients who are in no archive."""
    options = TuningSetOptions(
        count, seed, archive.encoder.image_size, images=1, workers=1, anatomies=tuple(anatomies)
    )
    return [one.pictures[0] for one in render_studies(options)]


def strange_pictures(archive: Archive, each: int) -> Iterator[Row]:
    for half in HALVES:
        for source in (photographs, drawings):
            inputs = as_inputs(archive, source(half, each))
            yield pictures_row(archive, "strange picture", f"{source.__name__}, {half}", inputs)


def pictures_over_splits(archive: Archive, splits: int) -> Row:
    """One picture of each patient of a third of the archive, beside the other patients': over random splits,
    as the rate of one archive varies around the stated one, by its few patients.
    """
    sample = archive.index.image_sample(MOST_IMAGES)
    owners = archive.index.instances.owners_of_images(sample.image_ids.tolist())
    patients = np.array([owners[image_id][1] for image_id in sample.image_ids.tolist()])
    every, draw = np.unique(patients), np.random.default_rng(70_020)
    asked = flagged = 0
    for _ in range(splits):
        known = np.isin(patients, draw.permutation(every)[: 2 * len(every) // 3])
        scope = ImageScope.of(sample.vectors[known], patients[known].tolist())
        assert scope is not None
        others = draw.permutation(np.flatnonzero(~known))
        _, first = np.unique(patients[others], return_index=True)
        flagged += int((scope.p_values(sample.vectors[others[first]]) <= FALSE_ALARM).sum())
        asked += len(first)
    return Row("usual picture, many archives", f"{splits} random splits by patient", asked, flagged)


def real_pictures(archive: Archive, folder: Path, each: int) -> Iterator[Row]:
    """Real medical pictures, which the model has never seen the like of."""
    from PIL import Image

    for name in DATA_SETS:
        files = sorted(
            one for one in (folder / "images" / name).rglob("*") if one.suffix in (".png", ".jpg", ".jpeg")
        )
        chosen = random.Random(name).sample(files, min(each, len(files)))
        pictures = [np.asarray(Image.open(one).convert("RGB")) for one in chosen]
        yield pictures_row(archive, "real medical picture", name, as_inputs(archive, pictures))


def together(rows: Sequence[Row], what: str) -> float:
    theirs = [row for row in rows if row.what == what]
    return sum(row.flagged for row in theirs) / sum(row.asked for row in theirs)


@pytest.fixture(scope="module")
def few(varied: Home) -> Iterator[Archive]:
    with Archive(varied.path) as archive:
        yield archive


@pytest.mark.long
def test_strange_texts_are_told_in_a_small_archive(few: Archive) -> None:
    rows = [*strange_texts(few, 25), *usual_texts(few, 40, 70_001)]
    assert together(rows, "strange text") >= 0.9, rows
    assert together(rows, "usual text") <= 0.1, rows


@pytest.mark.long
def test_strange_pictures_are_told_in_a_small_archive(few: Archive) -> None:
    rows = list(strange_pictures(few, 15))
    new = phantom_pictures(few, 30, 70_002, ["skin", "ultrasound", "chest-xray"])
    rows.append(pictures_row(few, "usual picture", "new phantoms", new))
    assert together(rows, "strange picture") >= 0.9, rows
    assert together(rows, "usual picture") <= 0.25, rows


@pytest.mark.campaign
def test_goals_on_phantoms(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "phantoms", 300, 70_010)
    with Archive(tmp_path / "home") as archive:
        archive.ingest([tmp_path / "phantoms" / "dicom"])
        rows = [*strange_texts(archive, 34), *usual_texts(archive, 100, 70_011)]
        rows += strange_pictures(archive, 50)
        others = [name for name in ANATOMIES if name not in CHECKED]
        wrong = phantom_pictures(archive, 200, 70_012, others)
        rows.append(pictures_row(archive, "wrong modality", "phantoms but radiographs", wrong, RADIOGRAPHS))
        right = phantom_pictures(archive, 200, 70_013, CHECKED)
        rows.append(pictures_row(archive, "right modality", "new chest radiographs", right, RADIOGRAPHS))
        new = phantom_pictures(archive, 300, 70_014, list(ANATOMIES))
        rows.append(pictures_row(archive, "usual picture", "new phantoms of all kinds", new))
        rows.append(pictures_over_splits(archive, 200))
        if "MEDSIGLIP_TEST_DATA" in os.environ:
            rows += real_pictures(archive, Path(os.environ["MEDSIGLIP_TEST_DATA"]), 60)
    with RESULTS.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)] + ["share"])
        writer.writerows([*astuple(row), f"{row.share:.3f}"] for row in rows)
    print(RESULTS.read_text())
    for what in ("strange text", "strange picture", "wrong modality"):
        assert together(rows, what) >= GOAL, rows
    assert together(rows, "usual picture, many archives") <= FALSE_ALARM + 0.01, rows
    for what in ("usual text", "right modality", "usual picture"):
        assert together(rows, what) <= FALSE_ALARM + 0.03, rows  # two deviations of 200
