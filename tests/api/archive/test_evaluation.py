"""An evaluation without figures says why, to a person too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import Home, Phantoms

Store = Callable[[str, list[int]], Home]


@pytest.fixture
def label(own_home: Home, phantoms: Phantoms, tmp_path: Path) -> Store:
    """Store one label with a value for each of the first studies."""

    def store(name: str, values: list[int]) -> Home:
        rows = [f"{uid},{value}" for uid, value in zip(phantoms.by_study, values, strict=False)]
        (tmp_path / "labels.csv").write_text("\n".join([f"study_instance_uid,label:{name}", *rows]))
        assert own_home.run("label", "import", tmp_path / "labels.csv").code == 0
        return own_home

    return store


def test_retrieval_of_what_only_one_patient_has(label: Store) -> None:
    home = label("seldom", [1])
    figures = home.run("evaluate", "retrieval", "--label", "seldom").json
    assert figures["queries"] == 0
    assert "a case of another patient" in figures["reason"]
    assert figures["labels"][0]["reason"] == figures["reason"]
    assert "another patient" in home.show("evaluate", "retrieval", "--label", "seldom").out
    mixed = home.show(
        "evaluate", "retrieval", "--label", "seldom", "--label", "melanoma", "--level", "study"
    ).out
    assert "precision@5" in mixed
    assert "seldom: 0 queries, no case that carries" in mixed


def test_retrieval_of_what_nobody_has(label: Store) -> None:
    home = label("nowhere", [0, 0, 0])
    assert home.run("evaluate", "retrieval", "--label", "nowhere").error["code"] == "no-labels"
    assert home.run("evaluate", "retrieval", "--where", "modality=US").error["code"] == "no-cases"


def test_zero_shot_of_one_class_only(home: Home) -> None:
    words = ("evaluate", "zero-shot", "--prompts", "phantoms", "--where", "label:melanoma=1")
    figures = home.run(*words, "--label", "melanoma", "--label", "pneumothorax").json
    assert figures["macro_auroc"] is None
    assert figures["unlabelled"] == ["pneumothorax"]
    shown = home.show(*words, "--label", "melanoma", "--label", "pneumothorax").out
    assert "no macro AUROC" in shown
    assert "rows are positive" in shown
    assert "no case that fits carries these labels: pneumothorax" in shown
