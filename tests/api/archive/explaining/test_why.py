"""`why` at each door: in Python, on the command line, over HTTP and by the client."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.answers.why import WhyAnswer
from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.client.client import ApiError
from tests.api.conftest import Home, Phantoms, run
from tests.api.live_service import LiveService

TEXT = "pleural effusion"


@pytest.fixture(scope="module")
def archive(home: Home) -> Iterator[Archive]:
    with Archive(home.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def stored(archive: Archive, phantoms: Phantoms) -> list[Any]:
    """One image of each of three radiographs, and one of a CT."""
    radiographs = archive.index.studies(["modality=CR|DX"])[:3]
    tomogram = archive.index.studies(["modality=CT"])[:1]
    return [archive.index.images_of(study.study_instance_uid)[0] for study in (*radiographs, *tomogram)]


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return picture.size


def test_a_text_is_shown_in_a_file_a_study_and_a_stored_image_alike(
    archive: Archive, stored: list[Any]
) -> None:
    one = stored[0]
    found = archive.why(image_id=one.image_id, text=TEXT)
    assert found.present == (TEXT,)
    assert found.absent == (f"no {TEXT}", f"no evidence of {TEXT}")
    assert found.patches == (8, 8)
    values = np.array(found.map)
    assert values.shape == (8, 8)
    assert np.abs(values).max() == 1
    assert found.brightest is not None
    assert abs(values.max() - values[int(found.brightest.y * 8), int(found.brightest.x * 8)]) < 0.35
    vector, texts = archive.index.vectors([one.image_id])[0], archive.encoder.encode_texts([TEXT])
    assert found.cosine == pytest.approx(float(vector @ texts[0]), abs=1e-5)
    assert found.study_instance_uid == one.study_instance_uid
    assert size_of(found.picture) == (384 * 2 + 12, 384)
    of_study = archive.why(study=one.study_instance_uid, text=TEXT)
    assert (of_study.map, of_study.image) == (found.map, found.image)
    of_file = archive.why(image=one.path, text=TEXT)
    np.testing.assert_allclose(np.array(of_file.map), values, atol=2e-3)
    assert of_file.study_instance_uid is None


def test_a_denied_text_is_shown_the_other_way_round(archive: Archive, stored: list[Any]) -> None:
    stated = archive.why(image_id=stored[0].image_id, text=TEXT)
    denied = archive.why(image_id=stored[0].image_id, text=f"no {TEXT}")
    assert (denied.present, denied.absent) == (stated.absent, stated.present)
    np.testing.assert_allclose(np.array(denied.map), -np.array(stated.map), atol=1e-3)
    assert denied.contrast == pytest.approx(-(stated.contrast or 0), abs=1e-5)


def test_of_a_study_the_image_that_fits_best_is_shown(archive: Archive, stored: list[Any]) -> None:
    study = stored[3].study_instance_uid
    images = archive.index.images_of(study)
    assert len(images) > 1
    found = archive.why(study=study, text=TEXT)
    others = [archive.why(image_id=one.image_id, text=TEXT).contrast for one in images[:3]]
    assert found.contrast is not None
    assert all(found.contrast >= (other or 0) - 1e-5 for other in others)


def test_an_image_matches_itself_patch_by_patch(archive: Archive, stored: list[Any]) -> None:
    one = stored[0]
    found = archive.why(image_id=one.image_id, like=one.path)
    assert found.cosine == pytest.approx(1, abs=1e-4)
    assert found.matches
    assert all(pair.image == pair.like and pair.cosine > 0.999 for pair in found.matches)
    assert len(found.matches) <= 64
    assert size_of(found.picture) == (384 * 2 + 12, 384)


def test_two_images_are_compared_whatever_names_them(archive: Archive, stored: list[Any]) -> None:
    one, other = stored[:2]
    by_id = archive.why(image_id=one.image_id, like_image_id=other.image_id)
    assert by_id.like_study_instance_uid == other.study_instance_uid
    by_study = archive.why(study=one.study_instance_uid, like_study=other.study_instance_uid)
    assert by_study.matches == by_id.matches
    turned = archive.why(image=other.path, like=one.path)
    assert by_id.matches is not None
    pairs = {(pair.image.x, pair.image.y, pair.like.x, pair.like.y) for pair in by_id.matches}
    back = {(pair.like.x, pair.like.y, pair.image.x, pair.image.y) for pair in turned.matches or ()}
    assert len(pairs & back) >= 0.8 * len(pairs)
    assert [pair.cosine for pair in by_id.matches] == sorted(pair.cosine for pair in by_id.matches)[::-1]


def test_what_the_maps_are_worth_is_said_for_the_model(archive: Archive, stored: list[Any]) -> None:
    found = archive.why(image_id=stored[0].image_id, text=TEXT)
    assert found.localisation is not None
    bundled = json.loads((archive.checkpoint.folder / "localisation.json").read_text())
    assert found.localisation.share == bundled[archive.space.name]["share"]
    assert found.localisation.localises == (found.localisation.share >= 0.8)
    said = any("do not localise reliably" in warning for warning in found.warnings)
    assert said is not found.localisation.localises


def test_figures_that_a_home_measured_are_those_of_its_answers(own_home: Home) -> None:
    measured = own_home.run("why", "--measure", "--phantoms", 30).json["localisation"]
    assert 10 <= measured["phantoms"] <= 30
    low, high = measured["interval"]
    assert low <= measured["share"] <= high
    counts = [round(one["share"] * one["phantoms"]) for one in measured["findings"]]
    assert measured["share"] == pytest.approx(sum(counts) / measured["phantoms"], abs=1e-3)
    with Archive(own_home.path) as archive:
        image = archive.index.images_of(archive.index.studies(["modality=CR|DX"])[0].study_instance_uid)[0]
        found = archive.why(image_id=image.image_id, text=TEXT)
    assert found.localisation is not None
    assert found.localisation.phantoms == measured["phantoms"]
    assert run("--home", own_home.path, "why", "--measure", "--phantoms", 29).code == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "one-of"),
        ({"image_id": 1}, "one-of"),
        ({"image_id": 1, "study": "1.2", "text": "a"}, "one-of"),
        ({"image_id": 1, "text": "a", "like_image_id": 2}, "one-of"),
        ({"image_id": 1, "text": "..."}, "empty-text"),
        ({"image": "/nowhere/x.png", "text": "nodule"}, "no-such-path"),
    ],
)
def test_bad_questions_are_refused(archive: Archive, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(ServiceError) as refused:
        archive.why(**arguments)
    assert refused.value.code == code


def test_the_command_line_writes_the_picture(home: Home, stored: list[Any], tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    answer = home.run("why", "--study", stored[0].study_instance_uid, "--text", TEXT, "--out", out).json
    assert answer["path"] == str(out)
    assert "png" not in answer
    assert size_of(out.read_bytes())[1] == 384
    shown = home.show("why", "--image", stored[0].path, "--text", TEXT, "--out", out)
    assert "measured" in shown.out
    assert "probability" not in shown.out
    pair = home.show(
        *("why", "--image-id", stored[0].image_id, "--like-image-id", stored[1].image_id, "--out", out)
    )
    assert "from the left" in pair.out
    for words in (
        ("--image", stored[0].path, "--like", stored[1].path),
        ("--image", stored[0].path, "--like-study", stored[1].study_instance_uid, "--show-burned-in"),
    ):
        assert home.run("why", *words, "--out", out).code == 0
    misused: list[tuple[object, ...]] = [
        ("--text", "a"),
        ("--image-id", 1),
        ("--measure", "--text", "a"),
        ("--image-id", 0, "--text", "a"),
    ]
    for wrong in misused:
        assert home.run("why", *wrong).code == 2


def test_http_and_the_client_give_the_same_answer(
    service: LiveService, archive: Archive, stored: list[Any]
) -> None:
    one, other = stored[:2]
    expected = archive.why(image_id=one.image_id, text=TEXT)
    with service.client("read") as client:
        for found in (
            client.why(image_id=one.image_id, text=TEXT),
            client.why(study=one.study_instance_uid, text=TEXT, show_burned_in=True),
            client.why(one.path, text=TEXT),
        ):
            assert isinstance(found, WhyAnswer)
            np.testing.assert_allclose(np.array(found.map), np.array(expected.map), atol=2e-3)
            assert size_of(found.picture) == size_of(expected.picture)
        by_file = client.why(one.path, like=other.path)
        by_id = client.why(one.path, like_image_id=other.image_id)
        by_study = client.why(image_id=one.image_id, like_study=other.study_instance_uid)
        assert by_file.matches
        assert len(by_file.matches) == len(by_id.matches or ()) == len(by_study.matches or ())
        wrongs: list[dict[str, Any]] = [{}, {"image_id": 1}, {"image_id": 1, "like": one.path}]
        for wrong in wrongs:
            with pytest.raises(TypeError):
                client.why(**wrong)
        with pytest.raises(ApiError) as refused:
            client.why(image_id=2**40, text=TEXT)
        assert refused.value.code == "unknown-image"
    with service.http("read") as http:
        for body in ({"image_id": 1}, {"image_id": 1, "text": "a", "like_image_id": 1}):
            answer = http.post("/v1/why", json=body)
            assert (answer.status_code, answer.json()["code"]) == (422, "one-of")
        two = [("file", (str(i), Path(str(one.path)).read_bytes())) for i in range(2)]
        assert http.post("/v1/why", files=two, data={"text": TEXT}).json()["code"] == "one-of"
        form = {"image_id": str(one.image_id)}
        like = {"like": ("other.dcm", Path(str(other.path)).read_bytes())}
        answer = http.post("/v1/why", files=like, data=form)
        assert len(answer.json()["matches"]) == len(by_id.matches or ())


def test_a_file_that_cannot_be_written_is_told(home: Home, stored: list[Any]) -> None:
    words = ("why", "--image-id", stored[0].image_id, "--text", TEXT, "--out")
    assert home.run(*words, "/proc/map.png").error["code"] == "cannot-create"
