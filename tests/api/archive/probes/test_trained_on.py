"""What a probe says of a patient that it was trained on is marked, and no study is routed on it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pydicom
import pytest
from pydicom.uid import UID

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.probes.predicting import predict_probe
from medsiglip.api.http.routes.questions import _classified
from tests.api.conftest import Home, Phantoms


@dataclass(frozen=True)
class Trained:
    """An archive with the probe `moles` of its early skin studies; patients it has `seen`, and studies."""

    home: Home
    seen: frozenset[str]
    studies: tuple[dict[str, Any], ...]

    def study(self, *, seen: bool) -> str:
        """One of the studies of a patient that the probe was trained on, or of another."""
        chosen = (one for one in self.studies if (one["patient_key"] in self.seen) is seen)
        return str(next(chosen)["study_instance_uid"])


@pytest.fixture(scope="module")
def trained(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("trained-on") / "home"
    shutil.copytree(home.path, path)
    copy = Home(path, home.report)
    studies = copy.run("study", "list", "--where", "modality=XC").json["studies"]
    early = [one for one in studies if one["study_date"] < "2020"]
    rows = [f"{one['study_instance_uid']},{one['labels']['melanoma']:.0f}" for one in early]
    csv = path.parent / "early.csv"
    csv.write_text("\n".join(["study_instance_uid,label:melanoma", *rows]))
    assert copy.run("probe", "train", "moles", "--labels", csv).code == 0
    seen = frozenset(one["patient_key"] for one in early)
    return Trained(copy, seen, tuple(studies))


def test_rows_of_all_predictions_are_marked(trained: Trained, tmp_path: Path) -> None:
    answer = trained.home.run("probe", "predict", "moles", "--all").json
    rows = answer["predictions"]
    assert all(one["trained_on"] is (one["patient_key"] in trained.seen) for one in rows)
    marked = sum(one["trained_on"] for one in rows)
    assert 0 < marked < len(rows)
    assert answer["warnings"][0].startswith(f"{marked} of {len(rows)} are of patients")
    written = trained.home.run("probe", "predict", "moles", "--all", "--out", tmp_path / "all.parquet").json
    assert written["warnings"] == answer["warnings"]
    table = pq.read_table(tmp_path / "all.parquet")
    assert table["trained_on"].to_pylist() == [one["trained_on"] for one in rows]
    others = trained.home.run("probe", "predict", "moles", "--all", "--where", "modality=CT").json
    assert others["warnings"] == []


def test_a_study_and_files_are_marked(trained: Trained, phantoms: Phantoms, tmp_path: Path) -> None:
    of_seen, of_other = trained.study(seen=True), trained.study(seen=False)
    answer = trained.home.run("probe", "predict", "moles", "--study", of_seen).json
    assert answer["trained_on"] is True
    assert "was trained on this patient's pictures" in answer["warnings"][0]
    assert (
        "warning: The probe moles" in trained.home.show("probe", "predict", "moles", "--study", of_seen).out
    )
    answer = trained.home.run("probe", "predict", "moles", "--study", of_other).json
    assert (answer["trained_on"], answer["warnings"]) == (False, [])
    files = {str(pydicom.dcmread(path).StudyInstanceUID): path for path in phantoms.dicom.rglob("*.dcm")}
    twin = pydicom.dcmread(files[of_seen])
    twin.PatientID, twin.StudyInstanceUID = "someone-else", UID("2.25.1")
    twin.SeriesInstanceUID, twin.SOPInstanceUID = UID("2.25.2"), UID("2.25.3")
    twin.file_meta.MediaStorageSOPInstanceUID = UID("2.25.3")
    twin.save_as(tmp_path / "twin.dcm")
    with Archive(trained.home.path) as archive:
        several = predict_probe(archive, "moles", images=[tmp_path / "twin.dcm", files[of_other]])
        assert several.results is not None
        assert [one.trained_on for one in several.results] == [True, False]
        assert several.warnings[0].startswith("1 of 2")
        classified = _classified(several)
        assert classified.warnings == several.warnings
        assert [one.trained_on for one in classified.results or ()] == [True, False]


def test_a_route_leaves_out_scores_of_what_the_probe_was_trained_on(trained: Trained) -> None:
    scores = [{"source": "probe:moles", "label": "melanoma", "at_least": 0.0}]
    rule = {"studies": "all", "modality": ["XC"], "scores": scores}
    unseen = {one["study_instance_uid"] for one in trained.studies if one["patient_key"] not in trained.seen}
    left_out = len(trained.studies) - len(unseen)
    with Archive(trained.home.path) as archive:
        tried = archive.test_route("moles", rule=rule)
        assert {one.study_instance_uid for one in tried.would_send} == unseen
        reasons = [one.conditions[-1] for one in tried.examples_not_sent if one.conditions[0].met]
        assert len(reasons) == left_out
        for condition in reasons:
            assert (condition.value, condition.met) == (None, False)
            assert condition.reason is not None
            assert condition.reason.startswith("the probe was trained on this patient")
        archive.put_route("moles", rule)
        routed = archive.run_routes()
        assert {one.study_instance_uid for one in routed.decisions} == unseen
        (warning,) = routed.warnings
        assert warning.startswith(f"The route moles leaves out {left_out} of the studies: probe:moles was")
        archive.remove_route("moles")
