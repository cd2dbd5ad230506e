"""The card of a probe says what a colleague must know, and names nobody."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.probes.card_items import card_items
from medsiglip.client.connection import ApiError
from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home, Phantoms
from tests.api.live_service import LiveService

WRONG = 2


def with_wrong_labels(phantoms: Phantoms, folder: Path) -> tuple[Path, list[str]]:
    """A CSV with melanoma as it is but for two studies, and these."""
    of_skin = {uid: labels["melanoma"] for uid, labels in phantoms.by_study.items() if "melanoma" in labels}
    wrong = list(of_skin)[:WRONG]
    rows = [f"{uid},{1 - value if uid in wrong else value}" for uid, value in of_skin.items()]
    path = folder / "wrong.csv"
    path.write_text("\n".join(["study_instance_uid,label:<b>&melanoma", *rows]) + "\n")
    return path, wrong


@pytest.fixture(scope="module")
def trained(home: Home, phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A copy of the shared archive with a probe of studies."""
    folder = tmp_path_factory.mktemp("cards")
    shutil.copytree(home.path, folder / "home")
    copy = Home(folder / "home", home.report)
    labels, _ = with_wrong_labels(phantoms, folder)
    words = ("moles", "--labels", labels, "--level", "study", "--where", "modality=XC")
    assert copy.run("probe", "train", *words).code == 0
    return copy


@pytest.fixture(scope="module")
def items(trained: Home) -> dict[str, str]:
    return {one["item"]: one["text"] for one in trained.run("probe", "card", "moles").json["items"]}


@pytest.fixture(scope="module")
def page(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "card.html"
    written = trained.run("probe", "card", "moles", "--out", path).json
    assert written["path"] == str(path)
    assert [one for one in path.parent.iterdir() if one != path] == []
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (
            "Population",
            r"^\d+ patients with 24 studies; 24 labelled cases, each one study\. Modalities: XC\.",
        ),
        ("Sex", r"^Patients, F: \d+, M: \d+\.$"),
        ("Age", r"^Patients, .*\d+-\d+: \d+"),
        ("Scanners", r"Phantom Imaging: \d+"),
        ("Sites", r"^Patients, site-[0-9a-f]{8}: \d+"),
        ("Dates", r"^Studies of \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d"),
        ("Eligibility", r"^Cases that fit the filter modality=XC of which at least one label was known"),
        ("Exclusions", r"No case lacked a label|were left out because the label was not known"),
        ("Warnings", r"."),
        ("Number of patients", r"\d+ of 24 cases positive\nThe number was not planned\."),
        ("Labels", r"from a CSV of labels\. How the labels were defined and decided is unknown"),
        ("Readers", r"unknown: nothing stored says so"),
        ("Images", r"mean of the vectors of its pictures"),
        ("Model", r"Binary logistic regression with L2 penalty .*\(model tiny\).*<b>&melanoma \d"),
        ("Split", r"^5 folds by patient, stratified by label; .* Every figure here is out of fold"),
        ("Class balance", r"^Positive: .*\d+%\. Cases were not weighted"),
        ("Version", r"^moles, version 1, trained 20.*hash of the training rows [0-9a-f]{64}"),
        ("Discrimination", r"AUROC [01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\), average precision"),
        ("Operating points", r"Youden.*sensitivity [01]\.\d{3} \(.*\nLimits were chosen on other folds"),
        ("Operating points", r"with the probes of the folds: the one that is kept .* less often than 95"),
        ("Calibration", r"Scores are uncalibrated unless"),
        ("Subgroups", r"^Looked at by .*sex"),
        ("More patients", r"AUROC .* with \d+ patients|^Not measured"),
        ("Labels that may be wrong", r"<b>&melanoma \d+\. They are in the figures as they are"),
        ("External testing", r"^None here"),
        ("Intended use", r"people who look at the images themselves"),
        (
            "Must not be used for",
            r"^Not a medical device: not for diagnosis, .*other pictures than XC, .*ages",
        ),
        ("Unknown", r"ethnicity.*who labelled and how.*other hospitals"),
        ("Ethics, funding, registration", r"^unknown"),
    ],
)
def test_the_card_says(items: dict[str, str], page: str, item: str, says: str) -> None:
    assert re.search(says, items[item], re.DOTALL), items[item]
    assert f"<dt>{item}</dt>" in page or item == "Must not be used for"


def test_every_item_cites_who_asks_for_it(trained: Home, items: dict[str, str]) -> None:
    listed = trained.run("probe", "card", "moles").json["items"]
    assert len(listed) == len(items) == 28
    for one in listed:
        assert re.fullmatch(r"\d+[a-f]?(?:(?:-|, )\d+[a-f]?)*", one["tripod_ai"]), one
        assert one["claim"]


def test_the_page_stands_alone_and_names_nobody(trained: Home, page: str, phantoms: Phantoms) -> None:
    assert page.startswith("<!doctype html>")
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)|url\((?!#)|@import|<script""", page)
    assert "<b>" not in page
    assert "&lt;b&gt;&amp;melanoma" in page
    shown = trained.run("study", "list").json["studies"]
    assert not any(one["study_instance_uid"] in page or one["patient_key"] in page for one in shown)
    for plot in ("ROC of", "Precision over recall of", "Reliability of"):
        assert f"{plot} &lt;b&gt;&amp;melanoma" in page
    assert page.count("<svg") >= 4
    assert "probability" not in page.lower()


def test_a_person_reads_the_card_on_a_terminal(trained: Home, tmp_path: Path) -> None:
    shown = trained.show("probe", "card", "moles@1").out
    assert "Must not be used for: Not a medical device" in shown
    assert (
        str(tmp_path / "a.html") in trained.show("probe", "card", "moles", "--out", tmp_path / "a.html").out
    )
    listed = trained.show("probe", "suspects", "moles").out
    assert "Look at the images before you change a label" in listed
    details = trained.show("probe", "show", "moles").out
    assert "operating points" in details
    assert "youden" in details


def test_the_figures_are_in_the_answer(trained: Home) -> None:
    shown = trained.run("probe", "show", "moles").json
    [label] = shown["labels"]
    assert [one["rule"] for one in label["operating_points"]] == ["youden", "sensitivity", "specificity"]
    assert len(label["fold_figures"]) == 5
    assert {one["attribute"] for one in label["subgroups"]} >= {"patient_sex"}
    assert {"calibration_error", "calibration_error_ci", "suspects", "learning_curve"} <= set(label)
    assert "curves" not in label
    assert shown["population"]["studies"] == 24
    assert sum(shown["population"]["patient_sex"].values()) == shown["population"]["patients"]
    assert "suspects" not in shown  # they name studies
    with Archive(trained.path) as archive:
        [curves] = archive.probe_curves("moles").labels
        assert (curves.label, len(curves.roc) > 2) == (label["label"], True)
        assert curves.counts is not None
        assert sum(curves.counts.positive) == label["positive"]
        assert sum(curves.counts.negative) == label["n"] - label["positive"]
        groups = {(one["attribute"], one["value"]): one for one in label["subgroups"]}
        assert groups.keys() == {(one.attribute, one.value) for one in curves.subgroups}
        for one in curves.subgroups:
            assert sum(one.counts.positive) == groups[one.attribute, one.value]["positive"]


def test_labels_that_may_be_wrong_are_listed(trained: Home, phantoms: Phantoms, tmp_path: Path) -> None:
    _, wrong = with_wrong_labels(phantoms, tmp_path)
    found = trained.run("probe", "suspects", "moles").json
    assert found["found"] == len(found["suspects"])
    named = [one["study_instance_uid"] for one in found["suspects"]]
    assert set(wrong) <= set(named)
    first = trained.run("probe", "suspects", "moles", "-n", "1").json
    assert (first["suspects"], first["found"]) == (found["suspects"][:1], found["found"])
    assert "unusual cases" in first["warnings"][0]
    assert trained.run("probe", "suspects", "moles", "-n", "501").code == 2
    events = trained.run("audit", "list").json["events"]
    assert any(wrong[0] in json.dumps(event) and event["action"] == "list" for event in events)
    for words in (("suspects", "other"), ("card", "other")):
        assert trained.run("probe", *words).error["code"] == "unknown-probe"


def test_a_forgotten_study_is_suspected_no_more(trained: Home, tmp_path: Path) -> None:
    shutil.copytree(trained.path, tmp_path / "home")
    home = Home(tmp_path / "home", trained.report)
    before = [one["study_instance_uid"] for one in home.run("probe", "suspects", "moles").json["suspects"]]
    assert home.run("forget", "--study", before[0], "--yes").code == 0
    after = [one["study_instance_uid"] for one in home.run("probe", "suspects", "moles").json["suspects"]]
    assert after == before[1:]
    with CaseIndex.open(home.path) as index:
        [record] = index.probes.listed()
    assert before[0] not in json.dumps(dict(record.summary))


def test_a_probe_of_an_earlier_version_has_a_card(trained: Home, tmp_path: Path) -> None:
    shutil.copytree(trained.path, tmp_path / "home")
    lacking = {"population", "suspects", "trained_at", "label_source", "training_rows", "parts"}
    figures = {"operating_points", "fold_figures", "subgroups", "learning_curve", "suspects"}
    figures |= {"calibration_error", "calibration_error_ci"}
    with closing(sqlite3.connect(tmp_path / "home" / "catalog.db")) as database, database:
        [summary] = database.execute("SELECT summary FROM probes").fetchone()
        older = {key: value for key, value in json.loads(summary).items() if key not in lacking}
        older["labels"] = [
            {key: value for key, value in one.items() if key not in figures} for one in older["labels"]
        ]
        database.execute("UPDATE probes SET summary = ?", [json.dumps(older)])
    with Archive(tmp_path / "home") as archive:
        card = archive.probe_card("moles", out=tmp_path / "card.html")
        said = {one.item: one.text for one in card.items}
        assert "more was not stored" in said["Population"]
        assert said["Sites"].startswith("unknown")
        calibrated = card_items(archive.probe("moles"), None, ["melanoma"])
        assert any("A calibration is stored for melanoma (`calibrate show" in one.text for one in calibrated)
        assert "sex, age, manufacturer, site, dates of the patients" in said["Unknown"]
        assert said["Operating points"].startswith("None was measured")
        assert "no labels were looked at" in archive.probe_suspects("moles").warnings[0]
        assert (tmp_path / "card.html").stat().st_size > 5_000


def test_a_card_of_a_split_says_which_cases_its_figures_are_of(trained: Home) -> None:
    with Archive(trained.path) as archive:
        probe = archive.probe("moles")
    parts = {"training": 10, "validation": 4, "test": 6}
    split = probe.model_copy(update={"split": "fold", "parts": parts})
    said = {one.item: one.text for one in card_items(split, None)}
    assert "of 24 cases of the test part positive" in said["Number of patients"]
    assert said["Class balance"].startswith("Positive of the test part: ")
    assert "log-loss on the validation part" in said["Model"]
    assert "chosen on other test patients than they were tried on" in said["Operating points"]
    assert "the one that is kept" not in said["Operating points"]
    alone = split.model_copy(update={"parts": {**parts, "validation": 0}})
    assert any("log-loss on inner folds by patient" in one.text for one in card_items(alone, None))


def test_a_card_says_of_which_pictures_each_label_is(trained: Home) -> None:
    with Archive(trained.path) as archive:
        probe = archive.probe("moles")
    modalities = {"melanoma": ("XC",), "nodule": ("CT", "DX"), "other": ("",)}
    mixed = probe.model_copy(update={"modalities": modalities})
    said = {one.item: one.text for one in card_items(mixed, None)}["Must not be used for"]
    assert "than CT, DX, XC (melanoma XC; nodule CT, DX; other unknown" in said


def test_a_card_knows_the_calibrations_of_its_version_alone(trained: Home, tmp_path: Path) -> None:
    shutil.copytree(trained.path, tmp_path / "home")
    home = Home(tmp_path / "home", trained.report)

    def calibration(name: str) -> str:
        listed = home.run("probe", "card", name).json["items"]
        return next(str(one["text"]) for one in listed if one["item"] == "Calibration")

    with CaseIndex.open(home.path) as index:
        [record] = index.probes.listed()
        label = record.summary["labels"][0]["label"]
        for row, version, shown in ((label, 2, False), ("*", 2, False), (label, 1, True), ("*", 1, True)):
            subject = f"probe:{record.name}"
            made = {row: ("platt", {"fingerprint": f"version {version}"})}
            index.calibrations.put(record.space, subject, "study", made, ["patient"])
            assert (f"A calibration is stored for {label} (" in calibration("moles")) is shown
            index.calibrations.remove(subject)
    assert "limits of uncalibrated scores" in home.show("probe", "card", "moles").out


def test_a_card_that_cannot_be_written_says_so(trained: Home, tmp_path: Path) -> None:
    assert trained.run("probe", "card", "moles", "--out", tmp_path).error["code"] == "not-a-file"
    (tmp_path / "file").write_text("x")
    refused = trained.run("probe", "card", "moles", "--out", tmp_path / "file" / "card.html")
    assert refused.error["code"] == "cannot-create"


def test_the_service_serves_cards_and_suspects(
    service: LiveService, phantoms: Phantoms, tmp_path: Path
) -> None:
    labels, wrong = with_wrong_labels(phantoms, tmp_path)
    with service.client() as client, service.http("read") as http:
        client.wait(client.train_probe("carded", labels_csv=labels, level="study"))
        page = client.probe_card("carded")
        assert page == client.probe_card("carded@1")
        assert "Probe card: carded" in page
        answered = http.get("/v1/probes/carded/card")
        assert answered.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answered.headers["content-security-policy"]
        found = client.suspects("carded")
        assert set(wrong) <= {one.study_instance_uid for one in found.suspects}
        assert client.suspects("carded", n=1).suspects == found.suspects[:1]
        for path, status, code in (
            ("/v1/probes/none-such/card", 404, "unknown-probe"),
            ("/v1/probes/none-such/suspects", 404, "unknown-probe"),
            ("/v1/probes/carded/suspects?n=0", 422, "bad-request"),
            ("/v1/probes/carded/suspects?n=501", 422, "bad-request"),
        ):
            refused = http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (status, code), path
        with pytest.raises(ApiError):
            client.probe_card("none-such")
