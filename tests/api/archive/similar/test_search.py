from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage

from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home, Phantoms, run


def files(phantoms: Phantoms) -> list[Path]:
    return sorted(phantoms.dicom.rglob("*.dcm"))


def patient_of(home: Home, study: str) -> str:
    return str(home.run("study", "show", study).json["patient_key"])


def test_an_ingested_file_finds_itself_first(home: Home, phantoms: Phantoms) -> None:
    for file in files(phantoms)[::5]:
        uid = pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID
        found = home.run("search", "--image", file, "--include-same-patient", "-k", 3).json
        assert found["hits"][0]["sop_instance_uid"] == uid
        assert found["hits"][0]["score"] >= 0.999
        assert found["query"]["image_id"] == found["hits"][0]["image_id"]


def test_an_ingested_file_leaves_its_patient_out(home: Home, phantoms: Phantoms) -> None:
    file = files(phantoms)[0]
    study = str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)
    found = home.run("search", "--image", file, "-k", 100).json
    patients = {hit["patient_key"] for hit in found["hits"]}
    assert patients
    assert patient_of(home, study) not in patients


def test_a_new_file_of_a_known_patient_leaves_the_patient_out(
    home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(files(phantoms)[0])
    key = patient_of(home, str(dataset.StudyInstanceUID))
    for keyword, uid in (
        ("SOPInstanceUID", "2.25.7"),
        ("SeriesInstanceUID", "2.25.8"),
        ("StudyInstanceUID", "2.25.9"),
    ):
        setattr(dataset, keyword, uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
    new = tmp_path / "new.dcm"
    dataset.save_as(new)
    found = home.run("search", "--image", new, "-k", 100).json
    assert found["query"]["image_id"] is None
    assert key not in {hit["patient_key"] for hit in found["hits"]}
    dataset.PatientID = "somebody else"
    dataset.save_as(new)
    found = home.run("search", "--image", new, "-k", 100).json
    assert key in {hit["patient_key"] for hit in found["hits"]}


def test_asking_about_a_new_file_never_makes_a_key(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(files(phantoms)[0])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
    dataset.save_as(tmp_path / "new.dcm")
    (own_home.path / "secret.key").unlink()
    assert own_home.run("search", "--image", tmp_path / "new.dcm").error["code"] == "key-mismatch"
    assert not (own_home.path / "secret.key").exists()
    empty = Home(tmp_path / "empty", {})
    words = ("classify", "--image", tmp_path / "new.dcm", "--labels", "a,b")
    assert empty.run("--model", "tiny", *words).code == 0
    assert empty.run(*words).error["code"] == "no-archive"
    assert not empty.path.exists()


def test_a_study_finds_studies_of_other_patients(home: Home, phantoms: Phantoms) -> None:
    for study in list(phantoms.by_study)[::8]:
        found = home.run("search", "--study", study, "-k", 100).json
        assert found["level"] == "study"
        uids = [hit["study_instance_uid"] for hit in found["hits"]]
        assert len(uids) == len(set(uids)) > 1
        assert patient_of(home, study) not in {hit["patient_key"] for hit in found["hits"]}
        everyone = home.run("search", "--study", study, "-k", 1, "--include-same-patient").json
        assert everyone["hits"][0]["study_instance_uid"] == study
        assert everyone["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_filters_and_levels(home: Home, phantoms: Phantoms) -> None:
    words = ("search", "--text", "pigmented skin lesion", "-k", 100)
    everything = home.run(*words).json["hits"]
    assert len(everything) == home.report["images"]
    skin = home.run(*words, "--where", "modality=XC", "--where", "label:melanoma=1").json["hits"]
    assert {hit["study_instance_uid"] for hit in skin} == set(phantoms.with_label("melanoma"))
    series = home.run(*words, "--level", "series").json["hits"]
    assert len(series) == len({hit["series_instance_uid"] for hit in series}) == home.report["series"]
    assert home.run(*words, "--where", "modality").error["code"] == "bad-filter"


def test_scores_are_cosines_of_the_stored_vectors(home: Home) -> None:
    from medsiglip.api.archive.archive import Archive

    with Archive(home.path) as archive:
        hits = archive.search(text="melanoma", k=5)["hits"]
        stored = archive.index.vectors([hit["image_id"] for hit in hits])
        asked = archive.encoder.encode_texts(["melanoma"])[0]
        assert np.allclose([hit["score"] for hit in hits], stored @ asked, atol=1e-5)


def test_a_score_stands_among_others_at_the_level_of_the_hits(home: Home, phantoms: Phantoms) -> None:
    from medsiglip.api.archive.archive import Archive

    study = phantoms.with_label("melanoma")[0]
    with Archive(home.path) as archive:
        for whole in (False, True):
            found = archive.search(study=study, k=3, include_same_patient=whole, compare="means")
            table = archive.index.table("study")
            own = archive.study(study)["patient_key"]
            vector = table.vectors[table.ids.index(study)]
            others = [key != own for key in table.patient_keys]
            scores = (table.vectors if whole else table.vectors[np.array(others)]) @ vector
            background = found["background"]
            assert (background["level"], background["count"]) == ("study", len(scores))
            assert background["mean"] == pytest.approx(scores.mean(), abs=1e-4)
    shown = home.show("search", "--study", study).out
    assert f"background: {sum(others)} studies score" in shown


def test_what_cannot_be_asked(home: Home, tmp_path: Path) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM")
    assert home.run("search", "--image", text).error["code"] == "not-dicom"
    assert home.run("search", "--image", tmp_path / "absent.dcm").error["code"] == "no-such-path"
    assert home.run("search", "--image", tmp_path).error["code"] == "not-a-file"
    assert home.run("search", "--text", "").error["code"] == "empty-text"
    assert home.run("search", "--study", "1.2.3").error["code"] == "unknown-study"
    CaseIndex.open(tmp_path / "home").close()
    empty = run("--home", tmp_path / "home", "--json", "search", "--text", "lung")
    assert empty.code == 1
    assert empty.error["code"] == "no-space"


def test_a_long_cine_finds_itself(own_home: Home, tmp_path: Path) -> None:
    levels = np.random.default_rng(5).integers(0, 255, (90, 16, 16), np.uint8)
    cine = tmp_path / "cine.dcm"
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = UltrasoundMultiFrameImageStorage, "2.25.90"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.91", "2.25.92"
    dataset.Modality, dataset.PatientID, dataset.NumberOfFrames = "US", "cine", 90
    dataset.set_pixel_data(levels, "MONOCHROME2", 8)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(cine, enforce_file_format=True)
    assert own_home.run("ingest", cine).json["images"] == 85
    found = own_home.run("search", "--image", cine, "--include-same-patient", "-k", 1).json
    assert found["query"]["images"] == 85
    assert found["query"]["image_id"] == found["hits"][0]["image_id"]
    assert found["hits"][0]["score"] >= 0.999
