"""Versions of probes, stored predictions, files of probes, and suggestions, as a user meets them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.api.conftest import Home, Phantoms


@pytest.fixture(scope="module")
def trained(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the shared archive with two versions of a probe of studies, and one of images."""
    path = tmp_path_factory.mktemp("registry") / "home"
    shutil.copytree(home.path, path)
    copy = Home(path, home.report)
    for arguments in (("moles", "--level", "study"), ("moles", "--level", "study"), ("pictures",)):
        assert copy.run("probe", "train", *arguments, "--label", "melanoma").code == 0
    return copy


def studies(home: Home, *where: str) -> set[str]:
    options = [part for one in where for part in ("--where", one)]
    return {one["study_instance_uid"] for one in home.run("study", "list", *options).json["studies"]}


def test_a_probe_trained_again_is_its_next_version(trained: Home) -> None:
    listed = trained.run("probe", "list").json["probes"]
    assert [(one["name"], one["version"]) for one in listed] == [("moles", 2), ("pictures", 1)]
    every = trained.run("probe", "list", "--all-versions").json["probes"]
    assert [(one["name"], one["version"]) for one in every] == [("moles", 2), ("moles", 1), ("pictures", 1)]
    first, newest = (trained.run("probe", "show", name).json for name in ("moles@1", "moles"))
    assert (first["version"], newest["version"]) == (1, 2)
    assert first["training_rows"] == newest["training_rows"]
    assert len(first["training_rows"]) == 64
    assert first["origin"] == "trained"
    assert first["training_rows"] != trained.run("probe", "show", "pictures").json["training_rows"]
    for name, says in (
        ("moles@3", "its versions are 1, 2"),
        ("moles@x", "its versions"),
        ("mole", "pictures"),
    ):
        refused = trained.run("probe", "show", name)
        assert refused.error["code"] == "unknown-probe"
        assert says in refused.error["message"]


def test_predictions_are_stored_and_found_by_filters(trained: Home, tmp_path: Path) -> None:
    assert (
        "--store goes with --all" in trained.run("probe", "predict", "moles", "--study", "1", "--store").err
    )
    refused = trained.run("study", "list", "--where", "probe:moles>0.5")
    assert (refused.error["code"], "--all --store" in refused.error["message"]) == ("bad-filter", True)
    everything = trained.run("probe", "predict", "moles", "--all").json["predictions"]
    scores = {one["study_instance_uid"]: one["probability"]["melanoma"] for one in everything}
    out = tmp_path / "all.parquet"
    stored = trained.run("probe", "predict", "moles", "--all", "--store", "--out", out).json
    assert (stored["stored"], stored["rows"], stored["path"]) == (len(scores), len(scores), str(out))
    table = pq.read_table(out).to_pylist()
    assert {one["study_instance_uid"]: dict(one["probability"])["melanoma"] for one in table} == scores
    assert trained.run("probe", "show", "moles").json["predictions"] == len(scores)
    limit = float(np.median(list(scores.values())))
    high = {uid for uid, score in scores.items() if score > limit}
    assert studies(trained, f"probe:moles>{limit}") == high
    assert studies(trained, f"probe:moles@2/melanoma<={limit}") == scores.keys() - high
    assert studies(trained, f"probe:moles>{limit}", "modality=XC") == high & studies(trained, "modality=XC")
    found = trained.run(
        "search",
        "--study",
        min(scores),
        "-k",
        "50",
        "--include-same-patient",
        "--where",
        f"probe:moles>{limit}",
    )
    assert {one["study_instance_uid"] for one in found.json["hits"]} == high
    # Another version has none of its own yet; what is stored again replaces what was.
    assert trained.run("study", "list", "--where", "probe:moles@1>0.5").error["code"] == "bad-filter"
    some = trained.run("probe", "predict", "moles", "--all", "--store", "--where", "modality=XC").json
    assert some["stored"] == len(studies(trained, "modality=XC"))
    assert studies(trained, "probe:moles>=0") == studies(trained, "modality=XC")


def test_pictures_that_came_later_are_said_in_a_warning(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    for arguments in (("train", "moles", "--label", "melanoma"), ("predict", "moles", "--all", "--store")):
        assert own_home.run("probe", *arguments).code == 0
    study = own_home.run("study", "list").json["studies"][0]["study_instance_uid"]
    asked = ("search", "--study", study, "--where", "probe:moles>0")
    assert not [one for one in own_home.run(*asked).json["warnings"] if "stored predictions" in one]
    import pydicom
    from pydicom.uid import UID

    source = pydicom.dcmread(next(phantoms.dicom.rglob("*.dcm")))
    source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = UID("2.25.77")
    source.StudyInstanceUID, source.SeriesInstanceUID = UID("2.25.78"), UID("2.25.79")
    source.save_as(tmp_path / "new.dcm")
    assert own_home.run("ingest", tmp_path / "new.dcm").json["embedded"] >= 1
    [said] = [one for one in own_home.run(*asked).json["warnings"] if "stored predictions" in one]
    assert "`probe predict moles --all --store`" in said
    for others in (
        ("suggest", "moles"),
        ("predict", "moles", "--all"),
        ("train", "x", "--label", "melanoma"),
    ):
        answer = own_home.run("probe", *others, "--where", "probe:moles>0").json
        assert said in answer["warnings"]
    listed = own_home.run("study", "list", "--where", "probe:moles>0").json
    assert listed["warnings"] == [said]
    assert "2.25.78" not in {one["study_instance_uid"] for one in listed["studies"]}


def test_a_probe_goes_to_another_archive_and_back(trained: Home, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "probe"
    exported = trained.run("probe", "export", "moles@1", "--out", folder).json
    assert (exported["name"], exported["version"]) == ("moles", 1)
    assert exported["files"] == ["probe.json", "probe.safetensors"]
    text = (folder / "probe.json").read_text()
    listed = trained.run("study", "list").json["studies"]
    assert not [
        one for study in listed for one in (study["patient_key"], study["study_instance_uid"]) if one in text
    ]
    other = Home(tmp_path / "other", home.report)
    shutil.copytree(home.path, other.path)
    imported = other.run("probe", "import", folder).json
    assert (imported["name"], imported["version"], imported["origin"]) == ("moles", 1, "imported")
    assert any("whom it was trained on is not known here" in one for one in imported["warnings"])
    again = other.run("probe", "import", folder, "--name", "from-b").json
    assert (again["name"], again["version"]) == ("from-b", 1)
    assert other.run("probe", "import", folder).json["version"] == 2
    theirs, ours = (one.run("probe", "predict", "moles", "--all").json for one in (other, trained))
    assert [one["probability"] for one in theirs["predictions"]] == [
        one["probability"] for one in ours["predictions"]
    ]
    # Where the same rows are known, so are the patients.
    back = trained.run("probe", "import", folder, "--name", "back").json
    assert not any("not known here" in one for one in back["warnings"])
    seen = trained.run("probe", "predict", "back", "--all").json["predictions"]
    assert [one["trained_on"] for one in seen] == [one["trained_on"] for one in ours["predictions"]]
    removed = trained.run("probe", "delete", "back").json
    assert (removed["name"], removed["removed"]) == ("back", True)
    assert trained.run("probe", "delete", "back").error["code"] == "unknown-probe"


def test_files_of_another_model_or_that_were_edited_are_refused(trained: Home, tmp_path: Path) -> None:
    from medsiglip.probes.exchange import packed, unpacked
    from medsiglip.probes.files import read_files, write_files

    folder = tmp_path / "probe"
    trained.run("probe", "export", "moles", "--out", folder)
    whole = (folder / "probe.json").read_text()
    (folder / "probe.json").write_text(whole.replace('"level": "study"', '"level": "image"'))
    assert trained.run("probe", "import", folder).error["code"] == "probe-file-changed"
    (folder / "probe.json").write_text(whole)
    assert trained.run("probe", "import", folder, "--name", "a/b").error["code"] == "bad-probe-name"
    assert trained.run("probe", "import", tmp_path / "none").error["code"] == "probe-file-unreadable"
    found = unpacked(read_files([folder]))
    from dataclasses import replace

    write_files(folder, packed(replace(found.probe, space="foreign-8"), found.about))
    refused = trained.run("probe", "import", folder)
    assert (refused.error["code"], "foreign-8" in refused.error["message"]) == ("space-mismatch", True)
    for summary in (
        None,
        {},
        {**found.about["summary"], "labels": []},
        {**found.about["summary"], "level": 7},
        {**found.about["summary"], "trained_at": {}},
    ):
        write_files(folder, packed(found.probe, {**found.about, "summary": summary}))
        assert trained.run("probe", "import", folder).error["code"] == "probe-file-foreign"
    assert [one["name"] for one in trained.run("probe", "list").json["probes"]] == ["moles", "pictures"]


@pytest.mark.parametrize("name", ["moles", "pictures"])
def test_suggestions_are_unlabelled_and_one_of_each_patient(trained: Home, name: str) -> None:
    found = trained.run("probe", "suggest", name, "-n", "4").json
    assert (found["name"], len(found["suggestions"])) == (name, 4)
    assert Counter(one["reason"] for one in found["suggestions"]) == {
        "uncertain": 2,
        "diverse": 1,
        "random": 1,
    }
    patients = [one["patient_key"] for one in found["suggestions"]]
    assert len(set(patients)) == 4
    labelled = {
        one["patient_key"]
        for one in trained.run("study", "list").json["studies"]
        if {"melanoma", "nevus"} & one["labels"].keys()
    }
    assert not labelled.intersection(patients)
    assert found["considered"] == len(studies(trained))
    predicted = trained.run(
        "probe", "predict", name, "--study", found["suggestions"][0]["study_instance_uid"]
    )
    assert found["suggestions"][0]["probability"] == pytest.approx(predicted.json["probability"]["melanoma"])
    [needed] = found["labels_needed"]
    shown = trained.run("probe", "show", name).json
    assert (needed["patients"], needed["more_patients"]) == (shown["groups"], 3 * shown["groups"])
    low, high = shown["labels"][0]["auroc_ci"]
    assert needed["interval_width"] == pytest.approx(high - low)
    few = trained.run("probe", "suggest", name, "--where", "modality=CT", "-n", "100").json
    assert {one["study_instance_uid"] for one in few["suggestions"]} <= studies(trained, "modality=CT")
    assert any("patients without a label were found" in one for one in few["warnings"])
    shown_to_a_person = trained.show("probe", "suggest", name, "-n", "4").out
    assert "would halve that" in shown_to_a_person
    assert "probability" not in shown_to_a_person
