"""Two spaces of a home on the same cases: each side is what it is alone, and wrong names are told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import ImageRecord, Space
from tests.api.conftest import Home

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def spaces(home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, str]:
    """A copy of the home with a second space, whose vectors are the first's with noise; two images lack."""
    path = tmp_path_factory.mktemp("two") / "home"
    shutil.copytree(home.path, path)
    rng = np.random.default_rng(3)
    with CaseIndex.open(path) as index:
        first = index.space
        assert first is not None
        second = Space(first.checkpoint_hash, "hf-processor", first.dimension, first.model)
        work = index.reembedding(second)
        held = [one for series in work.series(0, 10_000) for one in work.images(series)]
        held = held[:-2]
        vectors = index.vectors([one.image_id for one in held])
        noisy = vectors + rng.standard_normal(vectors.shape).astype(np.float32) * 0.15
        noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
        records = [
            ImageRecord(one.sop_instance_uid, one.pixel_hash, one.frame, None, one.rendering) for one in held
        ]
        work.add(
            [(one.image_id, record) for one, record in zip(held, records, strict=True)],
            noisy.astype(np.float32),
        )
    copy = Home(path, home.report)
    assert copy.run("probe", "train", "skin", "--label", "melanoma", "--level", "study").code == 0
    return copy, first.name, second.name


def figures(found: Any) -> dict[tuple[str | None, str], Any]:
    return {(one["label"], one["figure"]): one for one in found["figures"]}


@pytest.mark.parametrize("extra", [("--compare", "means"), ("--compare", "sets"), ()])
def test_retrieval_of_each_side_is_what_it_is_alone(
    spaces: tuple[Home, str, str], extra: tuple[str, ...], tmp_path: Path
) -> None:
    home, first, second = spaces
    words = ("evaluate", "retrieval", "--label", "melanoma", "--level", "study", "--where", "modality=XC")
    page = tmp_path / "page.html"
    found = home.run(*words, *extra, "--spaces", first, second, "--html", page).json
    alone = home.run(*words, *extra).json
    assert [one["name"] for one in found["spaces"]] == [first, second]
    assert (found["kind"], found["level"], found["left_out"]) == ("retrieval", "study", 0)
    assert found["compare"] == alone["compare"]
    of = figures(found)
    assert of[None, "map"]["first"] == pytest.approx(alone["map"])
    assert of["melanoma", "precision_at_5"]["first"] == pytest.approx(alone["labels"][0]["precision_at"]["5"])
    for one in of.values():
        assert one["difference"] == pytest.approx(one["second"] - one["first"])
        assert one["difference_ci"][0] <= one["difference"] <= one["difference_ci"][1]
    assert "Second less first" in page.read_text()
    shown = home.show(*words, *extra, "--spaces", second, first).out
    assert "cases of" in shown
    assert "precision_at_10" in shown


def test_zero_shot_and_probes_of_each_side(spaces: tuple[Home, str, str]) -> None:
    home, first, second = spaces
    words = ("evaluate", "zero-shot", "--prompts", "phantoms", "--label", "melanoma", "--level", "study")
    found = home.run(*words, "--spaces", first, second).json
    alone = home.run(*words).json["labels"][0]
    (one,) = found["figures"]
    assert one["first"] == pytest.approx(alone["auroc"])
    (turned,) = home.run(*words, "--spaces", second, first).json["figures"]
    assert turned["first"] == pytest.approx(one["second"])
    assert turned["difference"] == pytest.approx(-one["difference"])
    by_image = home.run(*words[:-1], "image", "--where", "modality=XC", "--spaces", first, second).json
    assert (by_image["level"], by_image["prompts"]) == ("image", "phantoms")
    assert by_image["cases"] < found["cases"]
    trained = home.run("evaluate", "probe", "skin", "--where", "modality=XC", "--spaces", first, second).json
    (one,) = trained["figures"]
    assert one["first"] == pytest.approx(home.run("probe", "show", "skin").json["labels"][0]["auroc"])
    assert trained["probe"] == "skin"


def test_both_are_trained_as_the_probe_was(spaces: tuple[Home, str, str]) -> None:
    home, first, second = spaces
    words = ("--label", "melanoma", "--level", "study", "--folds", "6", "--class-weight", "balanced")
    trained = home.run("probe", "train", "weighed", *words).json["labels"][0]
    found = home.run("evaluate", "probe", "weighed", "--spaces", first, second).json
    assert found["figures"][0]["first"] == pytest.approx(trained["auroc"])
    assert not any("greatest score" in one for one in found["warnings"])
    assert home.run("probe", "train", "greatest", *words, "--pooling", "max").code == 0
    found = home.run("evaluate", "probe", "greatest", "--spaces", first, second).json
    assert any("greatest score" in one for one in found["warnings"])


def test_what_one_space_lacks_is_counted(spaces: tuple[Home, str, str]) -> None:
    home, first, second = spaces
    found = home.run("evaluate", "retrieval", "--level", "image", "--spaces", first, second).json
    assert found["left_out"] == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("unknown-space", ("retrieval", "--spaces", "FIRST", "nowhere")),
        ("bad-spaces", ("retrieval", "--spaces", "FIRST", "FIRST")),
        ("unknown-label", ("retrieval", "--label", "unheard", "--spaces", "FIRST", "SECOND")),
        ("no-cases", ("retrieval", "--where", "modality=NM", "--spaces", "FIRST", "SECOND")),
        (
            "bad-level",
            ("zero-shot", "--prompts", "phantoms", "--level", "series", "--spaces", "FIRST", "SECOND"),
        ),
        (
            "unknown-label",
            ("zero-shot", "--prompts", "phantoms", "--label", "x", "--spaces", "FIRST", "SECOND"),
        ),
        ("unknown-probe", ("probe", "nothing", "--spaces", "FIRST", "SECOND")),
    ],
)
def test_wrong_questions_are_told(spaces: tuple[Home, str, str], code: str, words: tuple[str, ...]) -> None:
    home, first, second = spaces
    named = {"FIRST": first, "SECOND": second}
    asked = home.run("evaluate", *(named.get(word, word) for word in words))
    assert asked.error["code"] == code
