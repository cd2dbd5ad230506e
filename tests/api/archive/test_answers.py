"""The JSON of every command, as the contract names it: more fields may be there, none of these may be
missing.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pydicom
import pytest

from tests.api.conftest import Home, Phantoms, run

INGEST = {
    *("files", "files_embedded", "files_unchanged", "studies", "series", "instances", "images"),
    *("embedded", "unchanged", "skipped", "quarantined", "warnings", "space", "seconds"),
}
HIT = {
    *("rank", "score", "image_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid"),
    *("frame", "modality", "patient_key", "path", "labels"),
}


def test_ingest_accounts_for_every_file(home: Home, phantoms: Phantoms) -> None:
    report = home.report
    assert set(report) >= INGEST
    files = [path for path in phantoms.dicom.rglob("*") if path.is_file()]
    accounted = report["files_embedded"] + report["files_unchanged"]
    accounted += len(report["skipped"]) + len(report["quarantined"])
    assert report["files"] == accounted == len(files)
    assert report["files_embedded"] == report["embedded"] == report["images"] == len(files)
    assert report["studies"] == len(phantoms.by_study)


def test_a_second_ingest_embeds_nothing_and_says_so(home: Home, phantoms: Phantoms) -> None:
    again = home.run("ingest", phantoms.dicom).json
    assert again["embedded"] == again["files_embedded"] == 0
    assert again["files_unchanged"] == again["files"] == home.report["files"]
    assert again["unchanged"] == again["images"] == home.report["images"]
    assert again["space"] == home.report["space"]


def test_a_refused_file_is_a_line_with_path_code_and_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text.dcm").write_text("this is no DICOM")
    (tmp_path / "in" / "notes.txt").write_text("nor is this")
    report = run("--home", tmp_path / "home", "--json", "ingest", tmp_path / "in").json
    assert [set(entry) for entry in report["skipped"]] == [{"path", "code", "reason"}]
    assert [(entry["path"], entry["code"]) for entry in report["quarantined"]] == [
        (str(tmp_path / "in" / "text.dcm"), "not-dicom")
    ]


def test_search(home: Home) -> None:
    found = home.run("search", "--text", "melanoma", "-k", 4).json
    assert set(found) >= {"space", "level", "hits"}
    assert found["space"] == home.report["space"]
    assert found["level"] == "image"
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3, 4]
    for hit in found["hits"]:
        assert set(hit) >= HIT
        assert Path(hit["path"]).is_absolute()
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_classify_a_file_several_files_and_a_study(home: Home, phantoms: Phantoms) -> None:
    files = sorted(str(path) for path in phantoms.dicom.rglob("*.dcm"))[:2]
    words = ("--labels", "melanoma,benign Naevus", "--exclusive")
    one = home.run("classify", "--image", files[0], *words).json
    assert set(one) >= {"space", "image", "scores"}
    assert one["image"]["path"] == files[0]
    assert {score["label"] for score in one["scores"]} == {"melanoma", "benign Naevus"}
    assert all(set(score) >= {"label", "probability", "cosine"} for score in one["scores"])
    assert one["scores"][0]["probability"] >= one["scores"][1]["probability"]
    assert sum(score["probability"] for score in one["scores"]) == pytest.approx(1)
    both = home.run("classify", "--image", files[0], "--image", files[1], "--labels", "melanoma,naevus").json
    assert [result["image"]["path"] for result in both["results"]] == files
    study = next(iter(phantoms.by_study))
    scored = home.run("classify", "--study", study, "--prompts", "phantoms").json
    assert scored["study_instance_uid"] == study
    assert set(scored["image"]) >= {"image_id", "sop_instance_uid", "frame", "path"}


def test_study_list_and_show(home: Home, phantoms: Phantoms) -> None:
    listed = home.run("study", "list").json["studies"]
    names = {"study_instance_uid", "patient_key", "study_date", "modalities", "series", "images", "labels"}
    assert all(set(study) >= names for study in listed)
    assert {study["study_instance_uid"]: study["labels"] for study in listed} == phantoms.by_study
    assert sum(study["images"] for study in listed) == home.report["images"]
    scans = home.run("study", "list", "--where", "modality=CT").json["studies"]
    assert [study["modalities"] for study in scans] == [["CT"], ["CT"]]
    shown = home.run("study", "show", scans[0]["study_instance_uid"]).json
    assert len(shown["images"]) == scans[0]["images"]
    assert len(shown["series"]) == scans[0]["series"]


def test_index_info_verify_rebuild_and_compact(own_home: Home) -> None:
    info = own_home.run("index", "info").json
    assert set(info) >= {"space", "studies", "series", "instances", "images", "vectors", "faiss"}
    assert set(info["faiss"]) >= {"spec", "ntotal", "device"}
    assert info["images"] == info["vectors"] == info["faiss"]["ntotal"] == own_home.report["images"]
    counted = dict.fromkeys(("images", "vectors", "faiss"), info["images"])
    plain = dict.fromkeys(("checksums", "without_checksum", "snapshot"))
    expected = {"ok": True, "problems": [], **counted, **plain}
    assert own_home.run("index", "verify").json == expected
    assert own_home.run("index", "rebuild").json["faiss"]["ntotal"] == info["images"]
    assert own_home.run("index", "compact").json["vectors"] == info["images"]
    assert own_home.run("index", "verify").json == expected
    shards = len(list((own_home.path / "vectors").rglob("*.parquet")))
    deep = {"checksums": shards, "without_checksum": 0, "snapshot": info["images"]}
    assert own_home.run("index", "verify", "--deep").json == expected | deep
    assert f"checksums: {shards} agree" in own_home.show("index", "verify", "--deep").out


def test_a_damaged_archive_fails_verification_with_exit_code_1(own_home: Home) -> None:
    for shard in (own_home.path / "vectors").rglob("*.parquet"):
        shard.unlink()
    verified = own_home.run("index", "verify")
    assert verified.code == 1
    assert '"ok": false' in verified.out


def test_export(home: Home, tmp_path: Path) -> None:
    answer = home.run("index", "export", "--out", tmp_path / "out").json
    table = pq.read_table(tmp_path / "out" / "images.parquet")
    assert answer == {"path": str(tmp_path / "out" / "images.parquet"), "images": table.num_rows}
    assert table.num_rows == home.report["images"]
    columns = {"image_id", "study_instance_uid", "series_instance_uid", "sop_instance_uid", "frame"}
    assert set(table.column_names) >= columns | {"patient_key", "path", "labels", "embedding"}


def test_label_list(home: Home, phantoms: Phantoms) -> None:
    listed = {label["label"]: label for label in home.run("label", "list").json["labels"]}
    assert listed["melanoma"]["n"] == 24
    assert listed["melanoma"]["positive"] == len(phantoms.with_label("melanoma"))


def test_evaluate_retrieval(home: Home, phantoms: Phantoms) -> None:
    figures = home.run("evaluate", "retrieval", "--label", "melanoma", "--level", "study").json
    assert set(figures) >= {"level", "queries", "precision_at", "recall_at", "map", "ci"}
    assert set(figures["precision_at"]) == {"1", "5", "10"}
    assert (figures["level"], figures["compare"]) == ("study", "sets")
    assert figures["queries"] == len(phantoms.with_label("melanoma"))


def test_evaluate_retrieval_compares_studies_by_means_where_asked(home: Home) -> None:
    ask = ("evaluate", "retrieval", "--label", "nodule", "--level")
    found = {way: home.run(*ask, "study", "--compare", way).json for way in ("sets", "means")}
    assert {way: figures["compare"] for way, figures in found.items()} == {"sets": "sets", "means": "means"}
    assert home.run(*ask, "study").json == found["sets"]
    assert found["sets"]["queries"] == found["means"]["queries"]
    assert home.run(*ask, "image").json["compare"] == "means"
    refused = home.run(*ask, "image", "--compare", "sets")
    assert refused.code == 1
    assert "studies by sets" in refused.err


def test_evaluate_zero_shot_counts_only_what_the_prompts_fit(home: Home, phantoms: Phantoms) -> None:
    figures = home.run("evaluate", "zero-shot", "--prompts", "phantoms").json
    assert set(figures) >= {"labels", "macro_auroc"}
    by_label = {label["label"]: label for label in figures["labels"]}
    assert all(set(label) >= {"label", "n", "positive", "auroc", "auroc_ci"} for label in figures["labels"])
    assert by_label["melanoma"]["n"] == 24
    assert by_label["nodule"]["n"] == 8
    assert by_label["pneumothorax"]["n"] == 6
    assert by_label["pneumothorax"]["positive"] == len(phantoms.with_label("pneumothorax"))


def test_evaluate_zero_shot_by_image(home: Home, phantoms: Phantoms) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in phantoms.dicom.rglob("*.dcm")]
    chest_ct = {uid for uid, labels in phantoms.by_study.items() if "nodule" in labels}
    slices = [header for header in headers if header.StudyInstanceUID in chest_ct]
    figures = home.run("evaluate", "zero-shot", "--prompts", "phantoms", "--level", "image").json
    [nodule] = [label for label in figures["labels"] if label["label"] == "nodule"]
    assert (figures["level"], nodule["n"]) == ("image", len(slices))


def test_forget_needs_no_terminal_and_takes_everything_along(own_home: Home) -> None:
    study = own_home.run("study", "list", "--where", "modality=CT").json["studies"][0]
    removed = own_home.run("forget", "--study", study["study_instance_uid"]).json
    assert removed["images"] == study["images"]
    verified = own_home.run("index", "verify").json
    assert verified["ok"]
    assert verified["images"] == own_home.report["images"] - study["images"]
    assert own_home.run("study", "show", study["study_instance_uid"]).error["code"] == "unknown-study"
    patient = own_home.run("study", "list").json["studies"][0]["patient_key"]
    assert own_home.run("forget", "--patient", patient, "--yes").json["studies"] >= 1
    left = own_home.run("study", "list").json["studies"]
    assert patient not in {study["patient_key"] for study in left}


HUMAN = [
    ("ingest", "{dicom}"),
    ("search", "--text", "melanoma"),
    ("search", "--study", "{study}", "--include-same-patient"),
    ("classify", "--study", "{study}", "--labels", "naevus,melanoma"),
    ("study", "list"),
    ("study", "show", "{study}"),
    ("label", "list"),
    ("index", "info"),
    ("index", "verify"),
    ("evaluate", "retrieval", "--level", "study"),
    ("evaluate", "zero-shot", "--prompts", "phantoms"),
]


@pytest.mark.parametrize("words", HUMAN, ids=" ".join)
def test_a_person_gets_text_with_the_same_facts(
    home: Home, phantoms: Phantoms, words: tuple[str, ...]
) -> None:
    study = phantoms.with_label("melanoma")[0]
    filled = [word.format(dicom=phantoms.dicom, study=study) for word in words]
    shown = home.show(*filled)
    assert shown.code == 0, shown.err
    assert shown.out.strip()
    assert not shown.out.lstrip().startswith("{")
    if "{study}" in words and words[0] != "search":
        assert study in shown.out


def test_the_demonstration_model_says_what_it_is(home: Home) -> None:
    asked = home.show("search", "--text", "melanoma")
    assert asked.err.count("demonstration model") == 1
    assert "demonstration" not in home.run("search", "--text", "melanoma").out
    assert home.show("index", "verify").err == ""
