"""Drift between two groups of cases: found where there is one, with the cases that stand apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.conftest import Home, Phantoms

SKIN, CHEST = ("--reference", "modality=XC"), ("--current", "modality=DX|CR|CT")


def test_other_pictures_are_another_group(home: Home, tmp_path: Path) -> None:
    page = tmp_path / "drift.html"
    words = ("evaluate", "drift", *SKIN, *CHEST, "--cases", "2", "--permutations", "199", "--html", page)
    found = home.run(*words).json
    assert found["differs"]
    assert found["auroc"] > 0.95
    # By how many permutations separate as well depends on the folds, and so on the key of the home.
    assert min(found["auroc_p"], found["energy_p"]) <= 0.01
    assert max(found["auroc_p"], found["energy_p"]) <= 0.05
    assert (found["level"], found["permutations"]) == ("study", 199)
    assert set(found["modalities"]["reference"]) == {"XC"}
    assert [one["group"] for one in found["cases"]] == ["current"] * 2 + ["reference"] * 2
    assert all(one["apart"] > 0 for one in found["cases"])
    assert any("a difference may be one of what was examined" in one for one in found["warnings"])
    text = page.read_text()
    assert "The two groups do not look alike" in text
    assert found["cases"][0]["study_instance_uid"] in text
    shown = home.show(*words[:-2]).out
    assert "do not look alike" in shown
    assert found["cases"][0]["study_instance_uid"] in shown


def test_the_same_patients_are_in_neither_group(home: Home, phantoms: Phantoms) -> None:
    asked = home.run("evaluate", "drift", "--reference", "modality=XC", "--current", "modality=XC")
    assert asked.error["code"] == "too-few-patients"
    assert "are in both" in asked.error["message"]
    halves = ("--reference", "study_date<2019", "--current", "study_date>=2019", "--level", "image")
    found = home.run("evaluate", "drift", *halves, "--cases", "0").json
    assert found["cases"] == []
    assert found["reference_cases"] + found["current_cases"] == home.report["images"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("no-cases", ("--reference", "modality=NM", *CHEST)),
        ("bad-filter", ("--reference", "modality>", *CHEST)),
        ("bad-cases", (*SKIN, *CHEST, "--cases", "101")),
        ("bad-permutations", (*SKIN, *CHEST, "--permutations", "10")),
        # Where the page cannot be written is told before anything is measured.
        ("not-a-file", (*SKIN, "--current", "modality=NM", "--html", "/")),
    ],
)
def test_wrong_questions_are_told(home: Home, code: str, words: tuple[str, ...]) -> None:
    assert home.run("evaluate", "drift", *words).error["code"] == code
