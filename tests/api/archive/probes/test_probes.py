from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.api.conftest import Home, Phantoms


@pytest.fixture(scope="module")
def trained(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the shared archive with a probe of images and one of studies."""
    import shutil

    path = tmp_path_factory.mktemp("probes") / "home"
    shutil.copytree(home.path, path)
    copy = Home(path, home.report)
    assert copy.run("probe", "train", "moles", "--label", "melanoma").code == 0
    assert copy.run("probe", "train", "cases", "--label", "melanoma", "--level", "study").code == 0
    return copy


def test_training_reports_out_of_fold_figures_by_patient(trained: Home, phantoms: Phantoms) -> None:
    shown = trained.run("probe", "show", "moles").json
    assert set(shown) >= {"name", "space", "groups", "labels", "macro_auroc"}
    assert shown["space"] == trained.report["space"]
    [label] = shown["labels"]
    assert set(label) >= {"label", "n", "positive", "auroc", "auroc_ci", "auprc", "c"}
    assert label["n"] == 24
    assert label["positive"] == len(phantoms.with_label("melanoma"))
    patients = {
        study["patient_key"]
        for study in trained.run("study", "list", "--where", "modality=XC").json["studies"]
    }
    assert shown["groups"] == len(patients)
    assert "patients" not in shown


def test_training_from_a_csv_takes_all_its_labels(own_home: Home, phantoms: Phantoms) -> None:
    trained = own_home.run("probe", "train", "all", "--labels", phantoms.labels, "--level", "study").json
    assert "melanoma" in [label["label"] for label in trained["labels"]]
    assert any("pneumothorax" in warning for warning in trained["warnings"])


def test_training_from_a_csv_knows_nothing_of_labels_stored_before(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    """Half the studies with swapped labels: as a home would train that holds no others."""
    half = list(phantoms.by_study)[:16]
    (tmp_path / "half.csv").write_text(
        "\n".join(
            [
                "study_instance_uid,melanoma",
                *(f"{uid},{1 - phantoms.by_study[uid]['melanoma']}" for uid in half),
            ]
        )
    )
    trained = own_home.run("probe", "train", "half", "--labels", tmp_path / "half.csv").json
    [label] = trained["labels"]
    assert label["n"] == len(half)
    assert label["positive"] == sum(1 - phantoms.by_study[uid]["melanoma"] for uid in half)
    stored = {one["label"]: one for one in own_home.run("label", "list").json["labels"]}
    assert stored["melanoma"]["n"] == 24
    shown = own_home.run("study", "show", half[0]).json["labels"]
    assert shown["melanoma"] == 1 - phantoms.by_study[half[0]]["melanoma"]


def test_a_filter_that_cannot_be_used_stores_no_label(own_home: Home, tmp_path: Path) -> None:
    study = own_home.run("study", "list").json["studies"][0]["study_instance_uid"]
    (tmp_path / "new.csv").write_text(f"study_instance_uid,label:new\n{study},1\n")
    refused = own_home.run("probe", "train", "x", "--labels", tmp_path / "new.csv", "--where", "modality")
    assert refused.error["code"] == "bad-filter"
    assert "new" not in {one["label"] for one in own_home.run("label", "list").json["labels"]}


def test_what_is_refused_is_not_recorded_and_what_is_stored_is(own_home: Home, phantoms: Phantoms) -> None:
    def recorded() -> list[str]:
        return [one["action"] for one in own_home.run("audit", "list").json["events"]]

    before = recorded()
    for words in (("../x", "--labels", phantoms.labels), ("x", "--label", "unheard")):
        assert own_home.run("probe", "train", *words).code == 1
    assert recorded() == before
    assert own_home.run("probe", "train", "x", "--labels", phantoms.labels).code == 0
    assert sorted(recorded()) == sorted([*before, "label", "train"])


def test_a_class_is_trained_against_every_other_labelled_row(
    own_home: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    studies = list(phantoms.by_study)[:24]
    classes = ["melanoma" if phantoms.by_study[uid]["melanoma"] else "naevus" for uid in studies]
    rows = [f"{uid},{name}-class" for uid, name in zip(studies, classes, strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join(["study_instance_uid,label", *rows]))
    own_home.run("label", "import", tmp_path / "classes.csv")
    trained = own_home.run(
        "probe", "train", "naevus", "--label", "naevus-class", "--where", "modality=XC"
    ).json
    [label] = trained["labels"]
    assert label["n"] == 24
    assert label["positive"] == classes.count("naevus")


def test_list(trained: Home) -> None:
    listed = trained.run("probe", "list").json["probes"]
    assert [probe["name"] for probe in listed] == ["cases", "moles"]
    assert listed[0]["level"] == "study"


def test_predictions_of_a_file_a_study_and_everything_agree(
    trained: Home, phantoms: Phantoms, tmp_path: Path
) -> None:
    out = tmp_path / "all.parquet"
    answer = trained.run("probe", "predict", "moles", "--all", "--out", out).json
    rows = pq.read_table(out).to_pylist()
    assert answer["rows"] == len(rows) == trained.report["images"]
    file = sorted(str(path) for path in phantoms.dicom.rglob("*.dcm"))[0]
    one = trained.run("probe", "predict", "moles", "--image", file).json
    [row] = [row for row in rows if row["path"] == file]
    assert one["probability"]["melanoma"] == pytest.approx(dict(row["probability"])["melanoma"], abs=1e-6)
    scan = trained.run("study", "list", "--where", "modality=CT").json["studies"][0]["study_instance_uid"]
    pooled = trained.run("probe", "predict", "moles", "--study", scan).json["probability"]["melanoma"]
    slices = [dict(row["probability"])["melanoma"] for row in rows if row["study_instance_uid"] == scan]
    assert pooled == pytest.approx(max(slices), abs=1e-6)
    listed = trained.run("probe", "predict", "cases", "--all").json["predictions"]
    assert len(listed) == trained.report["studies"]
    mean = trained.run("probe", "predict", "cases", "--study", scan).json["probability"]["melanoma"]
    [row] = [row for row in listed if row["study_instance_uid"] == scan]
    assert mean == pytest.approx(row["probability"]["melanoma"], abs=1e-5)


def test_a_probe_is_evaluated_on_patients_it_has_not_seen(own_home: Home, phantoms: Phantoms) -> None:
    studies = own_home.run("study", "list", "--where", "modality=XC").json["studies"]
    early = ("--where", "modality=XC", "--where", "study_date<2020")
    trained = own_home.run("probe", "train", "early", "--label", "melanoma", *early).json
    seen = {s["patient_key"] for s in studies if s["study_date"] < "2020"}
    unseen = [s for s in studies if s["patient_key"] not in seen]
    assert trained["groups"] == len(seen)
    figures = own_home.run("evaluate", "probe", "early", "--where", "modality=XC").json
    assert figures["labels"][0]["n"] == len(unseen)
    assert own_home.run("probe", "train", "whole", "--label", "melanoma").code == 0
    assert own_home.run("evaluate", "probe", "whole").error["code"] == "no-unseen-cases"


def test_a_forgotten_patient_leaves_the_list_of_whom_a_probe_was_trained_on(own_home: Home) -> None:
    from medsiglip.api.archive.archive import Archive

    own_home.run("probe", "train", "moles", "--label", "melanoma")
    patient = own_home.run("study", "list", "--where", "modality=XC").json["studies"][0]["patient_key"]
    with Archive(own_home.path) as archive:
        assert patient in archive.index.probes.listed()[0].summary["patients"]
    own_home.run("forget", "--patient", patient)
    with Archive(own_home.path) as archive:
        assert patient not in archive.index.probes.listed()[0].summary["patients"]


def test_forgetting_the_only_study_of_a_patient_takes_it_out_of_probes(own_home: Home) -> None:
    from medsiglip.api.archive.archive import Archive

    own_home.run("probe", "train", "moles", "--label", "melanoma")
    study = own_home.run("study", "list", "--where", "modality=XC").json["studies"][0]
    own_home.run("forget", "--study", study["study_instance_uid"])
    with Archive(own_home.path) as archive:
        [probe] = archive.index.probes.listed()
        held = {one.patient_key for one in archive.index.studies(["modality=XC"])}
        assert study["patient_key"] not in held
        assert set(probe.summary["patients"]) == held


def test_a_kill_while_training_again_leaves_the_earlier_probe_whole(
    own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medsiglip.index.storage.probes import ProbeStore

    own_home.run("probe", "train", "moles", "--label", "melanoma")
    before = own_home.run("probe", "predict", "moles", "--all").json

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ProbeStore, "put", killed)
        own_home.run("probe", "train", "moles", "--label", "melanoma", "--level", "study")
    assert own_home.run("probe", "predict", "moles", "--all").json == before
    kept = list((own_home.path / "probes").iterdir())
    assert own_home.run("probe", "train", "moles", "--label", "melanoma", "--level", "study").code == 0
    assert len(list((own_home.path / "probes").iterdir())) == len(kept) + 1  # versions stay


def test_labels_that_name_nothing_train_nothing(own_home: Home, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("study_instance_uid,melanoma\n1.2.3.4,1\n")
    refused = own_home.run("probe", "train", "moles", "--labels", tmp_path / "other.csv")
    assert refused.code == 1
    assert refused.error["code"] == "labels-unmatched"
    assert "other.csv" in refused.error["message"]


def test_evaluating_without_labelled_cases_says_so(own_home: Home) -> None:
    own_home.run("probe", "train", "moles", "--label", "melanoma")
    error = own_home.run("evaluate", "probe", "moles", "--where", "modality=CT").error
    assert error["code"] == "no-labels"
    assert "import labels" in error["message"]


def test_what_cannot_be_trained_or_used(own_home: Home, phantoms: Phantoms) -> None:
    assert own_home.run("probe", "train", "../x", "--label", "melanoma").error["code"] == "bad-probe-name"
    assert own_home.run("probe", "train", "x", "--label", "unheard").error["code"] == "unknown-label"
    assert own_home.run("probe", "train", "x", "--label", "nodule").error["code"] == "too-few-groups"
    assert own_home.run("probe", "show", "x").error["code"] == "unknown-probe"
    assert own_home.run("probe", "list").json["probes"] == []


def test_a_probe_of_another_space_is_refused(own_home: Home, phantoms: Phantoms) -> None:
    from medsiglip.probes.probe import Probe

    own_home.run("probe", "train", "moles", "--label", "melanoma")
    [path] = (own_home.path / "probes").iterdir()
    replace(Probe.load(path), space="0123456789ab-medsiglip-eval-128").save(path)
    file = sorted(phantoms.dicom.rglob("*.dcm"))[0]
    for words in (["predict", "moles", "--image", file], ["predict", "moles", "--all"]):
        refused = own_home.run("probe", *words)
        assert refused.code == 1
        assert refused.error["code"] == "space-mismatch"
        assert "train it again" in refused.error["message"]
    assert own_home.run("evaluate", "probe", "moles").error["code"] == "space-mismatch"
