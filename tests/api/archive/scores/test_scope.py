"""What answers say of texts and pictures that fit nothing, from Python, the command line and HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from medsiglip.api.archive.archive import Archive
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.backgrounds import BackgroundStore
from tests.api.archive.scores.strange_questions import photographs
from tests.api.conftest import Home, Phantoms
from tests.api.live_service import LiveService

NONSENSE = "zzzz qqqq"


@pytest.fixture(scope="module")
def archive(home: Home) -> Iterator[Archive]:
    with Archive(home.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def several(varied: Home) -> Iterator[Archive]:
    with Archive(varied.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "photograph.png"
    Image.fromarray(photographs("unseen", 1)[0]).save(file)
    return file


def test_a_text_that_fits_nothing_is_searched_and_named(archive: Archive) -> None:
    found = archive.search(text=NONSENSE, k=3)
    assert found.in_scope is False
    assert len(found.hits) == 3
    assert any("like nothing that this archive is asked about (p = 0.0" in one for one in found.warnings)
    usual = archive.search(text="melanoma", k=3)
    assert (usual.in_scope, usual.warnings) == (True, ())


def test_labels_that_fit_nothing_have_a_verdict(archive: Archive, phantoms: Phantoms) -> None:
    study = phantoms.with_label("melanoma")[0]
    answer = archive.classify(study=study, labels=["melanoma", NONSENSE])
    verdicts = {score.label: score.verdict for score in answer.scores}
    assert verdicts == {"melanoma": None, NONSENSE: "out-of-scope"}
    assert answer.in_scope is True
    [warning] = answer.warnings
    assert f"“{NONSENSE}” (p = 0.0" in warning
    assert "at most 5 % of the labels" in warning
    alone = archive.classify(study=study, labels=[NONSENSE, "xkqj vbnz"])
    assert alone.in_scope is False
    assert {score.verdict for score in alone.scores} == {"out-of-scope"}
    many = archive.classify(study=study, labels=[f"{letter * 4} qqqq" for letter in "zxjvkw"])
    assert many.warnings[0].count("(p = ") == 4
    assert "2 more" in many.warnings[0]


def test_a_picture_that_fits_nothing_has_no_verdict_but_that(several: Archive, photograph: Path) -> None:
    answer = several.classify(images=[photograph], labels=["melanoma", "naevus"])
    assert answer.in_scope is False
    assert {score.verdict for score in answer.scores} == {"out-of-scope"}
    assert any("the picture is like none of other patients" in one for one in answer.warnings)
    found = several.search(image=photograph, k=2)
    assert found.in_scope is False
    assert "The picture is like none that this archive holds" in found.warnings[0]
    both = several.classify(images=[photograph, photograph], labels=["melanoma"])
    assert [one.in_scope for one in both.results or ()] == [False, False]


def test_a_study_of_the_archive_is_in_scope(several: Archive) -> None:
    """At a rate of 5 %, few of these are not; each is compared with other patients alone."""
    studies = [one["study_instance_uid"] for one in several.studies()["studies"]][::4]
    found = [several.classify(study=study, labels=["melanoma"]).in_scope for study in studies]
    assert None not in found
    assert found.count(False) <= 5


def test_the_pictures_that_a_set_is_for_decide(several: Archive, tmp_path: Path) -> None:
    """A photograph of the skin is no radiograph, whatever else the archive holds: judged by its pixels."""
    file = tmp_path / "heart.toml"
    file.write_text(
        'kind = "findings"\n[prompts.cardiomegaly]\nwhere = ["modality=CR|DX"]\nabsent = ["normal heart"]\n'
        'present = ["cardiomegaly"]\n[prompts.anything]\nabsent = ["normal"]\npresent = ["abnormal"]\n'
    )
    by_modality = {one["modalities"][0]: one for one in several.studies()["studies"]}
    for modality, verdict in (("DX", None), ("US", "out-of-scope"), ("XC", "out-of-scope")):
        study = by_modality[modality]["study_instance_uid"]
        answer = several.classify(study=study, prompts=str(file))
        assert {one.label: one.verdict for one in answer.scores} == {
            "cardiomegaly": verdict,
            "anything": None,
        }
        assert answer.in_scope is True
        said = [one for one in answer.warnings if one.startswith("Out of scope")]
        assert len(said) == (verdict is not None)
        assert all(one.endswith("these scores say nothing of it: cardiomegaly.") for one in said)


def test_without_an_archive_nothing_is_said_of_scope(photograph: Path, tmp_path: Path) -> None:
    with Archive(tmp_path / "none", model="tiny") as opened:
        answer = opened.classify(images=[photograph], labels=["melanoma", NONSENSE])
    assert answer.in_scope is None
    assert {score.verdict for score in answer.scores} == {None}


def test_in_an_archive_of_few_patients_nothing_is_said_of_pictures(photograph: Path, tmp_path: Path) -> None:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for number, study in enumerate(make_studies(2, 5, ["skin"])):
        write_study(study, tmp_path / "dicom" / str(number))
    with Archive(tmp_path / "home", model="tiny") as opened:
        opened.ingest([tmp_path / "dicom"])
        assert opened.search(image=photograph).in_scope is None
        assert opened.search(text=NONSENSE).in_scope is False
        answer = opened.classify(images=[photograph], prompts="chest-xray")
        assert answer.in_scope is None


def test_the_archive_s_own_reports_are_in_scope(own_home: Home, phantoms: Phantoms) -> None:
    """Sentences of its reports set the threshold, in a language of which nothing else is in scope here."""
    sentence = "Kein Nachweis eines malignen Prozesses im Bereich der Haut"
    with Archive(own_home.path) as opened:
        assert opened.search(text=sentence, k=1).in_scope is False
        reports = dict.fromkeys(phantoms.by_study, f"Befund. {sentence}. Verlaufskontrolle empfohlen.")
        opened.index.report_texts.put(reports, "import")
        assert opened.search(text=sentence, k=1).in_scope is True
        assert opened.search(text=NONSENSE * 3, k=1).in_scope is False


def test_what_cannot_be_stored_is_measured_all_the_same(
    own_home: Home, phantoms: Phantoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CatalogError("read-only-home", "nothing can be written")

    monkeypatch.setattr(BackgroundStore, "put", refuse)
    with Archive(own_home.path) as opened:
        opened.forget(study=phantoms.with_label("melanoma")[0])  # what was measured goes
        for _ in range(2):
            assert opened.search(text=NONSENSE, k=1).in_scope is False
        assert opened.index.backgrounds.get(opened.space.name, "text") is None


def test_a_damaged_background_is_measured_again(own_home: Home) -> None:
    with Archive(own_home.path) as opened:
        opened.search(text=NONSENSE, k=1)
        space = opened.space.name
        for content in ({}, {"probe": "?"}, None):
            opened.index.backgrounds.put(space, "text", {"images": "many", "content": content})
            with Archive(own_home.path) as again:
                assert again.search(text=NONSENSE, k=1).in_scope is False
    with Archive(own_home.path) as again:
        kept = again.index.backgrounds.get(space, "text")
        assert kept is not None
        assert isinstance(kept.summary["images"], int)


def test_commands_and_http_say_it_too(home: Home, service: LiveService, phantoms: Phantoms) -> None:
    study = phantoms.with_label("melanoma")[0]
    answer = home.run("classify", "--study", study, "--labels", NONSENSE).json
    assert (answer["in_scope"], answer["scores"][0]["verdict"]) == (False, "out-of-scope")
    assert home.run("search", "--text", NONSENSE).json["in_scope"] is False
    shown = " ".join(home.show("search", "--text", NONSENSE).out.split())
    assert "like nothing that this archive is asked about" in shown
    with service.http("read") as client:
        searched = client.post("/v1/search", json={"text": NONSENSE}).json()
        assert searched["in_scope"] is False
        assert searched["hits"][0]["percentile"] < 0.3
        several = client.post("/v1/search", json={"queries": [{"text": NONSENSE}, {"text": "melanoma"}]})
        assert [one["in_scope"] for one in several.json()["results"]] == [False, True]
        classified = client.post("/v1/classify", json={"study_instance_uid": study, "labels": [NONSENSE]})
        assert classified.json()["in_scope"] is False, classified.text
    with service.client("read") as asked:
        found = asked.search(text=NONSENSE)
    assert (found.in_scope, found.hits[0].percentile) == (False, searched["hits"][0]["percentile"])
