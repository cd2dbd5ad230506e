from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.api.conftest import Home, run

STUDIES = 48
"""The fewest that a demonstration has."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A small demonstration in a home of its own."""
    home = tmp_path_factory.mktemp("demo") / "home"
    return Home(home, run("--home", home, "--json", "demo", "--studies", STUDIES).json)


def test_the_demonstration_answers_all_three_questions(shown: Home) -> None:
    outcome = shown.report
    assert set(outcome) >= {"studies", "zero_shot", "retrieval", "probe", "seconds"}
    assert outcome["studies"] == outcome["ingest"]["studies"] == STUDIES
    assert outcome["ingest"]["quarantined"] == outcome["ingest"]["skipped"] == []
    anatomies = {label["anatomy"] for label in outcome["zero_shot"]["labels"]}
    assert {"chest-xray", "chest-ct", "brain-mr", "mammogram", "fundus", "skin"} <= anatomies
    assert all(0 <= label["auroc"] <= 1 for label in outcome["zero_shot"]["labels"])
    assert 0 <= outcome["zero_shot"]["macro_auroc"] <= 1
    assert set(outcome["retrieval"]["precision_at"]) >= {"1", "5"}
    assert outcome["retrieval"]["map"] > 0
    assert outcome["probe"]["labels"]
    assert len(outcome["text_search"]["hits"]) == 5
    assert {hit["modality"] for hit in outcome["text_search"]["hits"]} <= {"CR", "DX"}
    assert all(len(found["hits"]) == 5 for found in outcome["case_search"])


def test_it_writes_files_an_archive_and_a_contact_sheet(shown: Home) -> None:
    outcome = shown.report
    files = list(Path(outcome["files"]).rglob("*.dcm"))
    assert len(files) == outcome["ingest"]["files"]
    with Image.open(outcome["contact_sheet"]) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
    assert shown.run("index", "verify").json["images"] == len(files)
    assert shown.path.stat().st_mode & 0o777 == 0o700
    assert [probe["name"] for probe in shown.run("probe", "list").json["probes"]] == ["demo-findings"]


def test_it_refuses_a_folder_of_something_else(home: Home, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "precious.txt").write_text("mine")
    for folder in (home.path, tmp_path):
        refused = run("--home", folder, "--json", "demo", "--studies", STUDIES)
        assert refused.code == 1
        assert refused.error["code"] == "home-in-use"
    assert home.run("index", "verify").json["images"] == home.report["images"]
    assert (tmp_path / "demo" / "precious.txt").read_text() == "mine"


@pytest.mark.long
def test_the_next_demo_replaces_it(shown: Home) -> None:
    for studies in (STUDIES + 24, STUDIES):  # a larger one, and a smaller one
        again = shown.run("demo", "--studies", studies).json
        assert again["ingest"]["studies"] == studies
        assert shown.run("index", "info").json["studies"] == studies
        assert len(list(Path(again["files"]).rglob("*.dcm"))) == again["ingest"]["files"]
