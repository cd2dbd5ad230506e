"""What `classify` says of files and studies beside their scores, in its answer and to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.special import expit, softmax

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.errors import ModelError
from medsiglip.index.errors import CatalogError
from tests.api.conftest import Home, Phantoms, run


@pytest.fixture(scope="module")
def chest(phantoms: Phantoms) -> Path:
    """A DICOM file of a chest radiograph."""
    return next(
        path
        for path in sorted(phantoms.dicom.rglob("*.dcm"))
        if pydicom.dcmread(path).Modality in ("CR", "DX")
    )


@pytest.fixture(scope="module")
def mole(phantoms: Phantoms) -> Path:
    """A DICOM file of a photograph of the skin."""
    return next(
        path for path in sorted(phantoms.dicom.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "XC"
    )


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """A model without an archive: every file is a new one."""
    with Archive(tmp_path_factory.mktemp("none") / "home", model="tiny") as opened:
        yield opened


@pytest.fixture(scope="module")
def archive(home: Home) -> Iterator[Archive]:
    with Archive(home.path) as opened:
        yield opened


def changed(source: Path, target: Path, **elements: Any) -> Path:
    """A copy of a DICOM file as another instance, with other elements; None removes one."""
    content = pydicom.dcmread(source)
    content.SOPInstanceUID = content.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    for name, value in elements.items():
        if value is None:
            content.pop(name, None)
        else:
            setattr(content, name, value)
    content.save_as(target)
    return target


def test_scores_are_uncalibrated_and_the_answer_says_how_they_are_made(archive: Archive, chest: Path) -> None:
    answer = archive.classify(images=[chest], prompts="phantoms").to_json()
    assert answer["scoring"] == "protocol"
    for score in answer["scores"]:
        assert score["calibrated"] is False
        assert expit(score["margin"]) == pytest.approx(score["probability"], abs=1e-12)
    own = archive.classify(images=[chest], prompts="phantoms", scoring="sigmoid").to_json()
    assert own["scoring"] == "sigmoid"
    encoder = archive.encoder
    [same] = [one for one in own["scores"] if one["label"] == answer["scores"][0]["label"]]
    logit = encoder.logit_scale * same["cosine"] + encoder.logit_bias
    assert same["probability"] == pytest.approx(expit(logit), abs=1e-6)


def test_free_labels_are_pairs_unless_they_exclude_each_other(archive: Archive, chest: Path) -> None:
    labels = ["pleural effusion", "No pleural effusion", "a dog"]
    pairs = {one.label: one.probability for one in archive.classify(images=[chest], labels=labels).scores}
    assert set(pairs) == set(labels)
    assert pairs["pleural effusion"] + pairs["No pleural effusion"] == pytest.approx(1, abs=1e-12)
    exclusive = archive.classify(images=[chest], labels=labels, exclusive=True)
    assert sum(one.probability for one in exclusive.scores) == pytest.approx(1)
    vectors = archive.encoder.encode_texts(labels).astype(np.float64)
    assert exclusive.image is not None
    assert exclusive.image.image_id is not None
    picture = archive.index.vectors([exclusive.image.image_id])[0]
    expected = softmax(archive.encoder.logit_scale * vectors @ picture)
    found = {one.label: one.probability for one in exclusive.scores}
    assert [found[label] for label in labels] == pytest.approx(expected, abs=1e-5)


def test_a_study_denies_what_one_of_its_images_shows(archive: Archive) -> None:
    [study, *_] = archive.studies(["modality=CT"]).studies
    answer = archive.classify(study=study.study_instance_uid, labels=["nodule", "no nodule"])
    assert answer.images is not None
    assert answer.images > 1
    first, second = answer.scores
    assert first.probability + second.probability == pytest.approx(1, abs=1e-12)
    assert first.driving == second.driving
    assert answer.pooling == "max"


def test_stored_files_are_judged_as_their_study(archive: Archive, chest: Path, mole: Path) -> None:
    fitting = archive.classify(images=[chest], prompts="chest-xray")
    assert {one.fits for one in fitting.scores} == {True}
    assert fitting.warnings == ()
    other = archive.classify(images=[mole], prompts="chest-xray")
    assert {one.fits for one in other.scores} == {False}
    [warning] = other.warnings
    assert warning.startswith(
        "The prompt set chest-xray does not fit this picture, and its scores say nothing"
    )
    [study] = archive.studies([f"sop_instance_uid={pydicom.dcmread(mole).SOPInstanceUID}"]).studies
    by_study = archive.classify(study=study.study_instance_uid, prompts="chest-xray")
    assert {one.fits for one in by_study.scores} == {False}
    mixed = {one.label: one.fits for one in archive.classify(images=[mole], prompts="phantoms").scores}
    assert mixed["melanoma"] is True
    assert mixed["pneumothorax"] is False


@pytest.mark.parametrize(
    ("elements", "fits", "said"),
    [
        ({}, True, ""),
        ({"Modality": "MR"}, False, "which has modality MR"),
        ({"BodyPartExamined": "FOOT", "StudyDescription": ""}, False, "foot"),
        ({"PatientAge": "003Y"}, False, "16 years and over, and the age of this one is outside"),
        ({"PatientAge": None, "PatientBirthDate": None}, True, ""),
        (
            {"BodyPartExamined": None, "StudyDescription": "", "SeriesDescription": ""},
            True,
            "",
        ),  # by its look
    ],
)
def test_new_files_are_judged_by_header_and_look(
    empty: Archive, chest: Path, tmp_path: Path, elements: dict[str, Any], fits: bool, said: str
) -> None:
    file = changed(chest, tmp_path / "new.dcm", **elements)
    answer = empty.classify(images=[file], prompts="chest-xray")
    assert {one.fits for one in answer.scores} == {fits}, answer.warnings
    assert said in " ".join(answer.warnings)
    assert bool(answer.warnings) is not fits


def test_nobody_can_tell_what_a_plain_picture_is_of(empty: Archive, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    answer = empty.classify(images=[tmp_path / "noise.png"], prompts="chest-xray")
    assert {one.fits for one in answer.scores} == {None}
    [warning] = answer.warnings
    assert warning.startswith("Whether the prompt set chest-xray fits this picture is not known")
    assert {one.fits for one in empty.classify(images=[tmp_path / "noise.png"], labels=["a"]).scores} == {
        None
    }


def test_a_plain_picture_of_another_part_is_told_by_the_look(
    empty: Archive, chest: Path, tmp_path: Path
) -> None:
    pixels = pydicom.dcmread(chest).pixel_array.astype(np.float64)
    grey = np.uint8(255 * (pixels - pixels.min()) / np.ptp(pixels))
    Image.fromarray(grey).save(tmp_path / "chest.png")
    answer = empty.classify(images=[tmp_path / "chest.png"], prompts="diabetic-retinopathy")
    assert {one.fits for one in answer.scores} == {False}
    assert "this picture shows the chest" in answer.warnings[0]
    answer = empty.classify(images=[tmp_path / "chest.png"], prompts="chest-xray")
    assert {one.fits for one in answer.scores} == {None}  # of this modality nobody can tell


def test_each_of_several_files_has_its_own_warnings(archive: Archive, chest: Path, mole: Path) -> None:
    answer = archive.classify(images=[chest, mole], prompts="chest-xray")
    assert answer.results is not None
    of_chest, of_mole = answer.results
    assert of_chest.warnings == answer.warnings == ()
    assert "does not fit this picture" in of_mole.warnings[0]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"labels": ["a"], "exclusive": True}, "one-exclusive-label"),
        ({"labels": ["a"], "scoring": "softmax"}, "bad-scoring"),
        ({"prompts": "chest-xray", "exclusive": True}, "one-of"),
        ({"prompts": "chest-xray", "labels": ["a"]}, "one-of"),
        ({"prompts": "chests"}, "prompt-set-unknown"),
    ],
)
def test_what_contradicts_itself_is_refused(
    archive: Archive, chest: Path, asked: dict[str, Any], code: str
) -> None:
    with pytest.raises((ServiceError, ModelError)) as caught:
        archive.classify(images=[chest], **asked)
    assert isinstance(caught.value, ServiceError | ModelError)
    assert caught.value.code == code


def test_a_person_sees_scores_and_no_probabilities(home: Home, chest: Path, mole: Path) -> None:
    shown = home.show("classify", "--image", chest, "--prompts", "phantoms").out
    heading, *rows = shown.splitlines()[1:]
    assert heading.split() == ["label", "score", "cosine"]
    assert "uncalibrated scores by the published protocol" in shown
    unfit = [row for row in rows if "not for this image" in row]
    assert any(row.startswith("melanoma") for row in unfit)
    assert not any(character.isdigit() for row in unfit for character in row)
    assert rows.index(unfit[0]) >= 5  # those that are about it come first
    for words in (
        ("classify", "--image", mole, "--prompts", "chest-xray"),
        ("classify", "--image", mole, "--labels", "a mole", "--scoring", "sigmoid"),
        ("classify", "--image", mole, "--image", chest, "--label", "a mole, dark", "--label", "no mole"),
        ("classify", "--prompts", "list"),
    ):
        out = home.show(*words).out
        assert "probabilit" not in out.lower(), out
    assert "a mole, dark" in home.show(*words[:0], "classify", "--image", mole, "--label", "a mole, dark").out


def test_labels_of_a_command_that_contradict_each_other_are_wrong_usage(home: Home, chest: Path) -> None:
    for words in (
        ("--labels", "a", "--label", "b"),
        ("--label", "b", "--prompts", "chest-xray"),
        ("--prompts", "chest-xray", "--exclusive"),
        ("--labels", "a,b", "--scoring", "softmax"),
        (),
    ):
        assert run("--home", home.path, "classify", "--image", chest, *words).code == 2
    refused = run("--home", home.path, "classify", "--image", chest, "--labels", "a", "--exclusive")
    assert refused.code == 1
    assert "has no other that it excludes" in refused.err


def test_prompt_sets_say_what_they_are_for(home: Home) -> None:
    listed = {one["name"]: one for one in home.run("classify", "--prompts", "list").json["prompt_sets"]}
    assert len(listed) == 7
    chest = listed["chest-xray"]
    assert (chest["kind"], chest["exclusive"], chest["modalities"]) == ("findings", False, ["CR", "DX"])
    assert (chest["regions"], chest["population"]) == (["chest"], "16 years and over")
    assert "2507.05201" in chest["source"]
    assert listed["phantoms"]["modalities"] == ["CR", "CT", "DX", "MG", "MR", "OP", "SM", "US", "XC"]
    assert listed["tissue-type"]["exclusive"] is True
    assert listed["tissue-type"]["population"] == "any age"
    assert len({one["fingerprint"] for one in listed.values()}) == 7
    shown = home.show("classify", "--prompts", "list").out
    assert "16 years and over" in shown
    assert json.dumps(chest["source"]).strip('"') in shown


def test_a_study_is_scored_by_the_pictures_that_a_label_is_about(
    chest: Path, mole: Path, tmp_path: Path
) -> None:
    """As drafts and evaluations do, so that a calibration of studies is of these scores."""
    uid = str(pydicom.uid.generate_uid())
    together = {"StudyInstanceUID": uid, "PatientID": "one", "StudyDescription": ""}
    files = [
        changed(chest, tmp_path / "chest.dcm", **together),
        changed(mole, tmp_path / "mole.dcm", **together),
    ]
    with Archive(tmp_path / "home", model="tiny") as archive:
        archive.ingest(files)
        answer = archive.classify(study=uid, prompts="phantoms")
        assert answer.images == 2
        of_file = [
            {one.label: one for one in archive.classify(images=[file], prompts="phantoms").scores}
            for file in files
        ]
        for one in answer.scores:
            about = [each[one.label] for each in of_file if each[one.label].fits]
            assert len(about) == (1 if one.fits else 0), one.label
            assert one.margin == pytest.approx(about[0].margin if about else one.margin)
        assert {one.label for one in answer.scores if one.fits} >= {"melanoma", "pneumothorax"}


def test_each_image_of_a_study_has_the_scores_of_its_own_file(
    archive: Archive, home: Home, phantoms: Phantoms, chest: Path
) -> None:
    """A study's score of a finding is the highest of them, and the driving image has it."""
    [study, *_] = archive.studies(["modality=CT"]).studies
    uid = study.study_instance_uid
    answer = archive.classify(study=uid, prompts="phantoms", by_image=True)
    assert answer.by_image is not None
    images = {one.image_id: one for one in archive.study(uid).images}
    assert list(answer.by_image.image_ids) == list(images)
    files = {
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path
        for path in phantoms.dicom.rglob("*.dcm")
    }
    some = answer.by_image.image_ids[len(images) // 2]
    alone = archive.classify(images=[files[images[some].sop_instance_uid]], prompts="phantoms").scores
    for one in answer.scores:
        each = dict(zip(answer.by_image.image_ids, answer.by_image.probability[one.label], strict=True))
        assert max(value for value in each.values() if value is not None) == pytest.approx(one.probability)
        assert one.driving is not None
        assert one.driving.image_id is not None
        assert each[one.driving.image_id] == pytest.approx(one.probability)
        [own] = [other.probability for other in alone if other.label == one.label]
        assert each[some] == pytest.approx(own, abs=1e-5)  # of a batch of another size
    told = home.run("classify", "--study", uid, "--prompts", "phantoms", "--by-image").json["by_image"]
    assert told["image_ids"] == list(answer.by_image.image_ids)
    assert archive.classify(study=uid, prompts="phantoms").by_image is None
    with pytest.raises(ServiceError) as refused:
        archive.classify(images=[chest], prompts="phantoms", by_image=True)
    assert refused.value.code == "one-of"


def test_a_filter_that_no_archive_knows_is_named_with_its_set(archive: Archive, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    finding = '[prompts.x]\nabsent = ["no x"]\npresent = ["x"]\n'
    path.write_text(f'kind = "findings"\nwhere = ["modalty=CT"]\n{finding}')
    with pytest.raises(CatalogError, match=r"^The prompt set own has .*'modalty=CT'") as caught:
        archive.classify(study=archive.studies().studies[0].study_instance_uid, prompts=str(path))
    assert caught.value.code == "bad-filter"
