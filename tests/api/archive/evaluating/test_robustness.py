"""What changed pictures do to scores, from files that are read again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from medsiglip.shifts.alterations import ALTERATIONS
from medsiglip.shifts.chain import CHAIN
from tests.api.conftest import Home, run

pytestmark = pytest.mark.long


def test_a_prompt_set_on_changed_pictures(home: Home, tmp_path: Path) -> None:
    page = tmp_path / "robustness.html"
    words = ("evaluate", "robustness", "--prompts", "phantoms", "--label", "melanoma", "--cases", "12")
    found = home.run(*words, "--where", "modality=XC", "--html", page).json
    assert (found["cases"], found["missing"], found["left_out"], found["level"]) == (12, 0, 0, "study")
    assert found["images"] >= 12
    assert [one["name"] for one in found["shifts"]] == [one.name for one in ALTERATIONS]
    assert [one["name"] for one in found["chain"]] == [one.name for one in CHAIN]
    by_name = {one["name"]: one for one in (*found["shifts"], *found["chain"])}
    assert by_name["jpeg"]["cosine"] > by_name["crop-strong"]["cosine"]
    assert by_name["noise"]["cosine"] > by_name["noise-strong"]["cosine"]
    before = {label["first"] for one in by_name.values() for label in one["labels"]}
    assert len(before) == 1
    for one in by_name.values():
        assert one["cosine_low"] <= one["cosine"] + 1e-6 <= 1 + 2e-6
        (label,) = one["labels"]
        assert label["difference_ci"][0] <= label["difference"] <= label["difference_ci"][1]
    assert "CoDA (arXiv 2603.18545)" in page.read_text()


def test_a_probe_on_changed_pictures_of_which_a_file_is_gone(own_home: Home) -> None:
    trained = own_home.run("probe", "train", "skin", "--label", "melanoma", "--level", "image")
    assert trained.code == 0, trained.err
    count = trained.json["labels"][0]["n"]
    words = ("evaluate", "robustness", "--probe", "skin", "--level", "image", "--where", "modality=XC")
    lose(
        own_home,
        "IN (SELECT MIN(instance_id) FROM images JOIN series ON series.id = series_id WHERE modality = 'XC')",
    )
    shown = own_home.show(*words, "--cases", "12").out
    assert "chain-4-delivery" in shown
    found = own_home.run(*words, "--cases", "200").json
    assert (found["missing"], found["left_out"], found["probe"]) == (1, 1, "skin")
    assert found["trained_on"] == found["cases"] == count - 1
    assert any("was trained on the patients" in one for one in found["warnings"])
    lose(own_home, "> 0")
    assert own_home.run(*words).error["code"] == "no-pictures"


def lose(home: Home, instances: str) -> None:
    """Let the files of instances be where nothing is."""
    with sqlite3.connect(home.path / "catalog.db") as database:
        database.execute(f"UPDATE files SET path = '/gone' || path WHERE instance_id {instances}")
    database.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("one-of", ()),
        ("one-of", ("--prompts", "phantoms", "--probe", "x")),
        ("unknown-probe", ("--probe", "x")),
        ("bad-cases", ("--prompts", "phantoms", "--cases", "3")),
        ("bad-level", ("--prompts", "phantoms", "--level", "series")),
        ("unknown-label", ("--prompts", "phantoms", "--label", "x")),
        ("no-labels", ("--prompts", "phantoms", "--where", "modality=US")),
    ],
)
def test_wrong_questions_are_told(home: Home, code: str, words: tuple[str, ...]) -> None:
    assert run("--home", home.path, "--json", "evaluate", "robustness", *words).error["code"] == code
