"""What is forgotten is nowhere any more: not in rows, vectors, snapshots, previews, nor in free pages."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, event

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import FileRecord, ProbeRecord, Removal
from medsiglip.index.service.drafts import RevisionRecord
from medsiglip.index.service.routing_rules import RoutedJob
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, sqlite_only, unit_vectors


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    """Three patients in one shard; the first has two studies."""
    bundles = [make_bundle(study, 2, patient=f"patient-{study // 2}") for study in (0, 1, 2, 4)]
    index.add(bundles, unit_vectors(8, 1))
    index.labels.put([LabelRecord("secret-finding", 1, "study_instance_uid", "2.25.0")])
    index.labels.put([LabelRecord("x", 1, "path", f"/data/{study}/0/0.dcm") for study in (0, 1, 2, 4)])
    return index


def files_holding(home: Path, secret: bytes) -> list[str]:
    return [path.name for path in home.rglob("*") if path.is_file() and secret in path.read_bytes()]


@sqlite_only
def test_no_byte_of_a_patient_is_left(filled: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    filled.rebuild()
    images = [one for study in (0, 1) for one in filled.images_of(f"2.25.{study}")]
    (home / "previews").mkdir()
    for image_id in [*(one.image_id for one in images), 10**6]:
        (home / "previews" / f"{image_id}.png").write_bytes(b"picture")
    vectors = filled.vectors([one.image_id for one in images])
    secrets = [
        *(vector.tobytes() for vector in vectors),
        *(vector.tobytes() for vector in unit_vectors(8, 1)[:4].astype(np.float32)),
        b"patient-0",
        b"/data/1/",
        b"secret-finding",
        b"a-1-0-0",
    ]
    assert all(files_holding(home, secret) for secret in secrets)
    assert filled.remove_patient("patient-0") == Removal(2, 2, 4, 4, 4, 3)
    assert {secret: files_holding(home, secret) for secret in secrets} == {secret: [] for secret in secrets}
    assert [path.name for path in (home / "previews").iterdir()] == ["1000000.png"]
    filled.close()
    assert {secret: files_holding(home, secret) for secret in secrets} == {secret: [] for secret in secrets}
    with catalogue.open(home) as again:
        assert again.verify().problems == ()
        assert [study.study_instance_uid for study in again.studies()] == ["2.25.2", "2.25.4"]
        assert again.info().patients == 2


def test_removing_one_study_leaves_the_patient_s_other(filled: CaseIndex) -> None:
    kept = {one.image_id: filled.vectors([one.image_id]).tobytes() for one in filled.images_of("2.25.1")}
    assert filled.remove_study("2.25.0").studies == 1
    assert {study.study_instance_uid: study.patient_key for study in filled.studies()} == {
        "2.25.1": "patient-0",
        "2.25.2": "patient-1",
        "2.25.4": "patient-2",
    }
    assert kept == {
        one.image_id: filled.vectors([one.image_id]).tobytes() for one in filled.images_of("2.25.1")
    }
    assert "/data/0/0/0.dcm" not in filled.files.by_path()
    [hits] = filled.search(unit_vectors(8, 1)[:1], k=100)
    assert len(hits) == 6


def test_ids_are_never_given_again(filled: CaseIndex) -> None:
    before = max(one.image_id for one in filled.images_of("2.25.4"))
    for patient in ("patient-0", "patient-1", "patient-2"):
        filled.remove_patient(patient)
    assert filled.info().images == filled.info().shards == 0
    assert filled.verify().ok
    again = filled.add([make_bundle(4, 2)], unit_vectors(2, 1))
    assert min(again) > before


def test_another_process_with_old_vectors_in_memory_does_not_bring_them_back(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    with catalogue.open(home) as other:
        assert len(other.search(unit_vectors(1), k=100)[0]) == 8
        secret = other.vectors([other.images_of("2.25.0")[0].image_id]).tobytes()
        filled.remove_patient("patient-0")
    assert files_holding(home, secret) == []
    with catalogue.open(home) as again:
        assert again.verify().ok
        assert again.info().faiss.ntotal == 4


def test_a_study_whose_shard_is_lost_can_be_forgotten_and_ingested_again(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    filled.add([make_bundle(9, 1)], unit_vectors(1, 9))
    lost = [
        one
        for one in (home / "vectors" / SPACE.name).iterdir()
        if unit_vectors(8, 1)[0].astype("f4").tobytes() in one.read_bytes()
    ]
    assert len(lost) == 1
    filled.close()
    lost[0].unlink()
    with catalogue.open(home) as index:
        assert not index.verify().ok
        for study in (0, 1, 2, 4):
            index.remove_study(f"2.25.{study}")
        assert index.verify().ok
        index.add([make_bundle(0, 2)], unit_vectors(2, 1))
        assert index.verify().ok
        assert index.info().images == 3


def test_refused_files_go_as_far_as_they_are_known_to_be_the_patient_s(filled: CaseIndex) -> None:
    named = FileRecord("/other/1.dcm", 1, 1, None, "quarantined", "truncated", sop_instance_uid="2.25.0.0.0")
    foreign = FileRecord("/other/2.dcm", 1, 1, None, "quarantined", sop_instance_uid="2.25.4.0.0")
    read = FileRecord("/sr/1.dcm", 1, 1, None, "skipped", "structured-report", patient_key="patient-0")
    of_study = FileRecord("/sr/2.dcm", 1, 1, None, "quarantined", study_instance_uid="2.25.1")
    nameless = FileRecord("/elsewhere/3.dcm", 1, 1, None, "quarantined", "truncated")
    filled.files.put([named, foreign, read, of_study, nameless])
    assert filled.remove_study("2.25.1").files == 3
    assert filled.remove_patient("patient-0").files == 4
    assert filled.files.by_path().keys() == {
        "/other/2.dcm",
        "/elsewhere/3.dcm",
        *(f"/data/{study}/0/{n}.dcm" for study in (2, 4) for n in (0, 1)),
    }


def test_refused_files_of_nobody_go_with_those_beside_them(filled: CaseIndex) -> None:
    beside = ["/data/0/0/letter.pdf", "/data/0/0/DICOMDIR"]
    elsewhere = ["/data/letter.pdf", "/data/0/letter.pdf", "/data/2/0/letter.pdf", "/data/0/0x/letter.pdf"]
    filled.files.put([FileRecord(path, 1, 1, None, "skipped", "x") for path in (*beside, *elsewhere)])
    assert filled.remove_study("2.25.0").files == 4
    known = filled.files.by_path().keys()
    assert known.isdisjoint(beside)
    assert known >= set(elsewhere)


def test_the_row_of_an_archive_goes_with_what_was_in_it(filled: CaseIndex) -> None:
    bundle = make_bundle(7, 2, patient="patient-7")
    inside = [replace(f, path=f"/exports/doe.zip!/{n}.dcm") for n, f in enumerate(bundle.files)]
    filled.add([replace(bundle, files=tuple(inside))], unit_vectors(2, 7))
    own, locked, other = "/exports/doe.zip", "/exports/doe.zip!/deep/locked.dcm", "/exports/other.zip"
    filled.files.put([FileRecord(path, 1, 1, None, "skipped", "x") for path in (own, locked, other)])
    assert filled.remove_patient("patient-7").files == 4
    assert [path for path in filled.files.by_path() if path.startswith("/exports")] == [other]


def test_a_patient_of_whom_only_refused_files_are_known_can_be_forgotten(filled: CaseIndex) -> None:
    for n in range(2):
        owner = {"patient_key": "patient-9", "study_instance_uid": "2.25.99"}
        filled.files.put([FileRecord(f"/sr/{n}.dcm", 1, 1, None, "skipped", "x", **owner)])
    assert filled.remove_patient("patient-9") == Removal(0, 0, 0, 0, 2, 0)
    with pytest.raises(CatalogError) as caught:
        filled.remove_patient("patient-9")
    assert caught.value.code == "unknown-patient"
    with pytest.raises(CatalogError) as caught:
        filled.remove_study("2.25.99")
    assert caught.value.code == "unknown-study"


def test_no_byte_of_a_study_is_left_in_drafts_reports_and_routes(filled: CaseIndex, home: Path) -> None:
    """Drafts of the forgotten study go, and drafts of others that nobody took up; what a person accepted
    stays without the part that stood on it.
    """
    filled.report_texts.put({"2.25.0": "a rare lesion of the lingula", "2.25.2": "kept words"}, "import")
    similar = [
        {"study_instance_uid": "2.25.0", "score": 0.5, "text": "a rare lesion of the lingula"},
        {"study_instance_uid": "2.25.4", "score": 0.4, "text": "another text"},
    ]
    payload = {
        "evidence": {"similar": similar, "prior": None},
        "text_without_context": "paraphrase of it",
        "decisions": [{"sentence": 0, "choice": "edit", "quote": "a paraphrase", "text": "A nodule."}],
        "checks": [{"sentence": "Similar to 2.25.0.", "sources": ["2.25.0"]}],
    }
    text = "A nodule. Quoted: a rare lesion of the lingula. Similar to 2.25.0. Not to 2.25.01."
    for draft_id, study in (("own", "2.25.0"), ("open", "2.25.2"), ("kept", "2.25.2")):
        draft = filled.drafts.add(
            draft_id,
            study,
            route=None,
            generator="g",
            text=text,
            payload=payload,
            cited=["2.25.0", "2.25.4"],
            by="worker",
        )
    filled.drafts.advance(draft, RevisionRecord("accepted", "ann", text=text), report=text)
    route = filled.routing_rules.put("all", {}, enabled=True, priority=0, whole_archive=True)
    candidates = filled.routing_rules.candidates("all")
    filled.routing_rules.decide(route, candidates, candidates.study_instance_uids, RoutedJob("report"))
    assert filled.remove_study("2.25.0").drafts == 2

    assert [one.id for one in filled.drafts.listed()] == ["kept"]
    kept = filled.drafts.get("kept")
    clean = "A nodule. Quoted: [forgotten]. Similar to [forgotten]. Not to 2.25.01."
    assert kept.text == filled.report_texts.of(["2.25.2"])["2.25.2"].text == kept.history[-1].text == clean
    assert kept.payload == {"evidence": {"similar": [similar[1]], "prior": None}, "checks": []}
    assert [one.study_instance_uid for one in filled.routing_rules.decisions("all")] == [
        "2.25.1",
        "2.25.2",
        "2.25.4",
    ]
    assert {job.parameters["study_instance_uid"] for job in filled.jobs.listed()} == {
        "2.25.1",
        "2.25.2",
        "2.25.4",
    }
    for secret in (b"lingula", b"paraphrase of it", b'"2.25.0"'):
        assert files_holding(home, secret) == [], secret


def test_full_text_search_is_merged_as_often_for_many_reports_as_for_one(filled: CaseIndex) -> None:
    """It costs a second for a million texts, while nobody else can write."""
    text = "A nodule, as in 2.25.0."
    for study in ("2.25.1", "2.25.2", "2.25.4"):
        draft = filled.drafts.add(
            f"of {study}",
            study,
            route=None,
            generator="g",
            text=text,
            payload={},
            cited=["2.25.0"],
            by="worker",
        )
        filled.drafts.advance(draft, RevisionRecord("accepted", "ann", text=text), report=text)
    sent: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        filled.remove_study("2.25.0")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert sum("optimize" in one for one in sent) <= 2
    assert {one.text for one in filled.report_texts.of(["2.25.1", "2.25.2", "2.25.4"]).values()} == {
        "A nodule, as in [forgotten]."
    }
    assert len(filled.report_texts.find("forgotten")) == 3
    assert filled.report_texts.find("2.25.0") == []


def test_uploaded_files_go_with_their_patient_and_no_others_do(index: CaseIndex, home: Path) -> None:
    places = {
        0: ("one/a[1].dcm", "one/b.dcm"),
        2: ("one/c.dcm", "two.zip!/2/x.dcm"),
        4: ("three/d.dcm", "three/0:/d.dcm"),
    }
    for study, names in places.items():
        bundle = make_bundle(study, 2, patient=f"patient-{study}")
        kept = []
        for file, name in zip(bundle.files, names, strict=True):
            path = home / "received" / name
            real = Path(str(path).partition("!/")[0])
            real.parent.mkdir(parents=True, exist_ok=True)
            real.write_bytes(b"x")
            kept.append(replace(file, path=str(path)))
        index.add([replace(bundle, files=tuple(kept))], unit_vectors(2, study))
    (home / "received" / "one" / "a1.dcm").write_bytes(b"another's")

    def left() -> list[str]:
        folder = home / "received"
        return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())

    index.remove_patient("patient-0")
    assert left() == ["one/a1.dcm", "one/c.dcm", "three/0:/d.dcm", "three/d.dcm", "two.zip"]
    index.remove_study("2.25.2")
    assert left() == ["one/a1.dcm", "three/0:/d.dcm", "three/d.dcm"]
    index.remove_patient("patient-4")
    assert left() == ["one/a1.dcm"]
    assert not (home / "received" / "three" / "0:").exists()


def test_files_that_were_not_uploaded_stay(index: CaseIndex, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "data" / "0.dcm"
    source.parent.mkdir()
    source.write_bytes(b"x")
    bundle = make_bundle(0, 1)
    index.add([replace(bundle, files=(replace(bundle.files[0], path=str(source)),))], unit_vectors(1, 1))
    index.remove_study("2.25.0")
    assert source.exists()


def test_reports_of_jobs_name_no_file_of_theirs(index: CaseIndex) -> None:
    bundles = [make_bundle(study, 1, patient=f"patient-{study}") for study in (0, 2)]
    index.add(bundles, unit_vectors(2, 1))
    index.files.put([FileRecord("/data/0/0/DOE.txt", 1, 1, None, "skipped", "not-dicom")])
    index.jobs.submit("ingest", {"paths": ["/data"]})
    job = index.jobs.claim("worker", ["ingest"])
    assert job is not None
    entries = [{"path": f"/data/{name}", "code": "not-dicom"} for name in ("0/0/DOE.txt", "2/0/x.txt")]
    warnings = ["/data/0/0/0.dcm: odd", "/data/2/0/0.dcm: odd"]
    index.jobs.finish(job, {"skipped": entries, "quarantined": [], "warnings": warnings, "files": 4})
    index.remove_patient("patient-0")
    result = index.jobs.get(job.id).result
    assert result == {"skipped": entries[1:], "quarantined": [], "warnings": warnings[1:], "files": 4}


def test_an_evaluation_that_ends_after_a_deletion_names_no_case_of_theirs(index: CaseIndex) -> None:
    index.add([make_bundle(study, 1, patient=f"patient-{study}") for study in (1, 12)], unit_vectors(2, 1))
    index.jobs.submit("evaluation", {"kind": "drift"})
    job = index.jobs.claim("worker", ["evaluation"])
    assert job is not None
    index.remove_study("2.25.1")
    cases = [{"study_instance_uid": f"2.25.{study}", "apart": 0.1} for study in (1, 12)]
    assert index.jobs.finish(job, {"groups": {"current": cases}, "warnings": ["2.25.1 and 2.25.12"]})
    left = {"groups": {"current": cases[1:]}, "warnings": ["[forgotten] and 2.25.12"]}
    assert index.jobs.get(job.id).result == left


def test_jobs_and_probes_name_no_case_of_theirs(index: CaseIndex) -> None:
    index.activate(SPACE)
    index.add([make_bundle(study, 1, patient=f"patient-{study}") for study in (1, 12)], unit_vectors(2, 1))
    where = ["study_instance_uid=2.25.1|2.25.12", "patient_key=patient-1"]
    cases = [{"study_instance_uid": f"2.25.{study}", "apart": 0.1} for study in (1, 12)]
    ended = []
    for kind in ("evaluation", "probe", "predictions", "calibration"):
        index.jobs.submit(kind, {"where": where})
        job = index.jobs.claim("worker", [kind])
        assert job is not None
        index.jobs.finish(job, {"cases": cases, "warnings": ["Look at 2.25.1."], "auroc": 0.5})
        ended.append(job.id)
    index.jobs.submit("probe", {"name": "p"})
    failed = index.jobs.claim("worker", ["probe"])
    assert failed is not None
    index.jobs.fail(failed, {"code": "patient-in-two-splits", "message": "patient patient-1 has cases"})
    summary = {"where": where, "warnings": ["See 2.25.1"], "suspects": cases, "patients": ["patient-1"]}
    index.probes.put(ProbeRecord("p", SPACE.name, "probes/p.npz", summary))
    index.remove_patient("patient-1")
    error = index.jobs.get(failed.id).error
    forgotten = ["study_instance_uid=[forgotten]|2.25.12", "patient_key=[forgotten]"]
    for job in map(index.jobs.get, ended):
        assert job.parameters == {"where": forgotten}
        assert job.result == {"cases": cases[1:], "warnings": ["Look at [forgotten]."], "auroc": 0.5}
    assert error is not None
    assert error["message"] == "patient [forgotten] has cases"
    probe = index.probes.find("p")
    assert probe is not None
    assert dict(probe.summary) == {
        "where": forgotten,
        "warnings": ["See [forgotten]"],
        "suspects": cases[1:],
        "patients": [],
    }


def test_what_was_forgotten_does_not_come_back_with_what_was_made_meanwhile(index: CaseIndex) -> None:
    index.activate(SPACE)
    index.add([make_bundle(study, 1, patient=f"patient-{study}") for study in (1, 12)], unit_vectors(2, 1))
    keys = ["patient-1", "patient-12"]
    suspects = [{"study_instance_uid": f"2.25.{study}", "label": "x"} for study in (1, 12)]
    index.remove_study("2.25.1")
    summary = {"patients": keys, "suspects": suspects}
    index.probes.put(ProbeRecord("p", SPACE.name, "probes/p.npz", summary))
    probe = index.probes.find("p")
    assert probe is not None
    assert dict(probe.summary) == {"patients": keys[1:], "suspects": suspects[1:]}
    index.calibrations.put(SPACE.name, "labels", "study", {"x": ("platt", {})}, keys)
    assert index.calibrations.patients(SPACE.name, "labels", "study") == {"patient-12"}


@pytest.mark.long
@sqlite_only
def test_a_log_that_a_reader_needs_is_emptied_by_the_next_clean_up(
    filled: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    reader = sqlite3.connect(home / "catalog.db", isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM studies").fetchone()[0]
    uid = filled.studies()[0].study_instance_uid
    filled.remove_study(uid)
    log = home / "catalog.db-wal"
    assert log.stat().st_size
    reader.execute("COMMIT")
    reader.close()
    filled.clean_up()
    assert log.stat().st_size == 0
    assert uid.encode() not in (home / "catalog.db").read_bytes()
