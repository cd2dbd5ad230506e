"""Lesions of phantoms are found where they were put, and shares are counted as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medsiglip.answers.why import Localisation
from medsiglip.checkpoint import TINY, open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.patches.picture_place import PicturePlace
from medsiglip.phantoms.catalogue import plan_studies, synthesise_study
from medsiglip.phantoms.checkpoint import localisation
from medsiglip.phantoms.checkpoint.localisation import (
    Lesion,
    find_lesion,
    is_in_brightest_tenth,
    measure_localisation,
)
from medsiglip.phantoms.checkpoint.make_checkpoint import write_localisation


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(open_checkpoint("tiny"), device="cpu")


def test_the_place_of_a_lesion_is_on_its_side() -> None:
    """The left of a patient is on the right of a radiograph."""
    plans = [plan for plan in plan_studies(60, 7, ["chest-xray"]) if plan.findings == ("nodule",)]
    for plan in plans:
        [lesion] = find_lesion(plan, 128, "medsiglip-eval")
        [finding] = synthesise_study(plan).series[0].findings
        assert (lesion.at[1] > 64) == (finding.side == "left")
        row, column = lesion.at
        around = lesion.picture[row - 2 : row + 3, column - 2 : column + 3].mean()
        assert around > lesion.picture[row - 14 : row + 15, column - 14 : column + 15].mean()
    assert len(plans) > 3


def test_normal_studies_and_those_with_two_findings_have_no_lesion() -> None:
    plans = plan_studies(80, 7, ["chest-xray"])
    assert any(len(plan.findings) == 2 for plan in plans)
    assert all(
        not list(find_lesion(plan, 128, "medsiglip-eval")) for plan in plans if len(plan.findings) != 1
    )


def test_the_brightest_tenth_is_of_the_picture_without_its_padding() -> None:
    values = np.zeros((10, 10))
    values[:, :5] = np.arange(50).reshape(10, 5)
    values[:, 5:] = 1000  # padding
    place = PicturePlace(0.0, 0.0, 1.0, 0.5)
    found = [
        (row, column)
        for row in range(10)
        for column in range(10)
        if is_in_brightest_tenth(
            values, Lesion("x", "1", np.zeros((10, 10, 3), np.uint8), (row, column), place)
        )
    ]
    assert found == [(9, column) for column in range(5)]


def test_nodules_are_found_by_their_word_and_less_by_others(encoder: Encoder) -> None:
    plans = [plan for plan in plan_studies(72, 740_001, ["chest-xray"]) if plan.findings == ("nodule",)]
    lesions = [one for plan in plans for one in find_lesion(plan, 128, "medsiglip-eval")]
    own = localisation.hits(encoder, lesions, ["nodule"] * len(lesions))
    other = localisation.hits(encoder, lesions, ["cardiomegaly"] * len(lesions))
    assert own.mean() >= localisation.ENOUGH
    assert other.mean() < own.mean()


@pytest.mark.long
def test_shares_add_up(encoder: Encoder) -> None:
    measured = measure_localisation(encoder, "medsiglip-eval", 24, seed=741_001)
    found = sum(round(count * share) for _, count, share in measured.findings)
    assert measured.phantoms == sum(count for _, count, _ in measured.findings)
    assert measured.share == pytest.approx(found / measured.phantoms)
    assert measured.localises == (measured.share >= 0.8)


@pytest.mark.campaign
def test_the_bundled_figures_are_those_of_the_bundled_model(encoder: Encoder) -> None:
    stated = json.loads((TINY / "localisation.json").read_text(encoding="utf-8"))
    [(space, figures)] = stated.items()
    assert space.startswith(f"{encoder.checkpoint.hash[:12]}-medsiglip-eval-")
    measured = measure_localisation(encoder, "medsiglip-eval", 300)
    assert measured.phantoms == figures["phantoms"]
    assert measured.share == pytest.approx(figures["share"], abs=0.011)
    assert measured.other_text == pytest.approx(figures["other_text"], abs=0.011)


@pytest.mark.long
def test_a_new_checkpoint_has_its_own_figures(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("localisation.json"))
    write_localisation(folder, 24)
    [(space, figures)] = json.loads((folder / "localisation.json").read_text(encoding="utf-8")).items()
    [stated] = json.loads((TINY / "localisation.json").read_text(encoding="utf-8"))
    assert space == stated
    assert Localisation.model_validate(figures).phantoms == figures["phantoms"] > 0
