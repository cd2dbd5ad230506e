"""Routes over an ingest: exactly the studies that the rules mean, once each, though workers are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from medsiglip.api.archive.archive import Archive
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.phantoms.writing import WrittenStudy, write_phantoms
from tests.api.conftest import Home, Phantoms

ROUTES: dict[str, dict[str, Any]] = {
    "breasts": {"modality": ["MG"], "priority": 3},
    "effusions": {
        "modality": ["CR", "DX"],
        "scores": [{"source": "prompts:phantoms", "label": "pleural-effusion", "at_least": 0.8}],
    },
    "some-skin": {"modality": ["XC"], "total": 1},
    "off": {"enabled": False},
}


def expected_studies(archive: Archive, phantoms: tuple[WrittenStudy, ...]) -> dict[str, set[str]]:
    """The studies that each rule should send: by anatomy, and by the scores of `classify`."""
    breasts = {study.study_instance_uid for study in phantoms if study.anatomy == "mammogram"}
    effusions = set()
    for uid in [study.study_instance_uid for study in phantoms if study.anatomy == "chest-xray"]:
        scores = archive.classify(study=uid, prompts="phantoms")["scores"]
        if next(one["probability"] for one in scores if one["label"] == "pleural-effusion") >= 0.8:
            effusions.add(uid)
    return {"breasts": breasts, "effusions": effusions}


def run_killed_thrice(home: Path, folder: Path, phantoms: tuple[WrittenStudy, ...]) -> None:
    """An ingest job and what its routes send, by workers that are killed as soon as something of each stage
    is there.
    """
    with Archive(home, model="tiny") as archive:
        archive.make()
        archive.index.activate(archive.space)
        for name, rule in ROUTES.items():
            archive.put_route(name, rule)
        archive.index.jobs.submit("ingest", {"paths": [str(folder / "dicom")], "metadata": None})
        stages: list[Callable[[CaseIndex], bool]] = [
            lambda index: index.info().images > 0,
            lambda index: any(outcome == "sent" for _, outcome in index.routing_rules.counts()),
            lambda index: bool(index.drafts.counts()),
        ]
        for reached in stages:
            with worker(home) as process:
                while not reached(archive.index) and process.poll() is None:
                    time.sleep(0.02)
                os.kill(process.pid, signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL, "the worker had ended before it was killed"
            let_leases_run_out(archive.index)
        with worker(home) as process:
            assert process.wait() == 0
        check(archive, phantoms)


@contextmanager
def worker(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "medsiglip.api.cli",
        "--home",
        str(home),
        "worker",
        "--once",
        "--poll",
        "0.05",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def let_leases_run_out(index: CaseIndex) -> None:
    with index._database.write_service_tables() as connection:
        for row in connection.execute(jobs.select().where(jobs.c.status == "running")).all():
            earlier = row.created_at - timedelta(hours=1)
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(lease_until=earlier))


def check(archive: Archive, phantoms: tuple[WrittenStudy, ...]) -> None:
    routes, drafts = archive.index.routing_rules, archive.index.drafts.listed(limit=1000)
    sent = {name: {one.study_instance_uid for one in routes.decisions(name, "sent")} for name in ROUTES}
    expected = expected_studies(archive, phantoms)
    assert all(expected.values()), "the phantoms try every route"
    assert {name: sent[name] for name in expected} == expected
    assert sent["off"] == set()
    skin = {study.study_instance_uid for study in phantoms if study.anatomy == "skin"}
    held = {one.study_instance_uid for one in routes.decisions("some-skin", "held")}
    assert (len(sent["some-skin"]), held | sent["some-skin"]) == (1, skin)
    ordered = Counter((one.route, one.study_instance_uid) for one in drafts)
    assert ordered == Counter((name, uid) for name, uids in sent.items() for uid in uids)
    assert {job.status for job in archive.index.jobs.listed(limit=1000)} == {"done"}
    assert archive.verify()["ok"]
    assert archive.run_routes()["sent"] == 0


@pytest.mark.long
@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.campaign)])
def test_exactly_the_expected_studies_are_sent_once_each(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", str(tmp_path))
    phantoms = write_phantoms(tmp_path / "phantoms", count, 99)
    run_killed_thrice(tmp_path / "home", tmp_path / "phantoms", phantoms)


def test_a_dry_run_tells_what_would_be_sent_and_why_and_sends_nothing(own_home: Home, tmp_path: Path) -> None:
    with Archive(own_home.path) as archive:
        archive.put_route("effusions", {**ROUTES["effusions"], "studies": "all"})
        tried = archive.test_route("effusions")
        assert archive.index.jobs.listed() == []
        assert tried["studies"] == len(archive.studies()["studies"])
        assert tried["would_not_send"] + len(tried["would_send"]) == tried["studies"]
        for one in tried["would_send"]:
            modality, score = one["conditions"]
            assert (modality["met"], score["met"]) == (True, True)
            assert set(modality["value"]) <= {"CR", "DX"}
            assert score["value"] >= 0.8
        for one in tried["examples_not_sent"]:
            modality, score = one["conditions"]
            assert not modality["met"] or not score["met"]
            assert (score["value"] is None) == (not modality["met"])
        routed = archive.run_routes()
        assert {one["study_instance_uid"] for one in routed["decisions"]} == {
            one["study_instance_uid"] for one in tried["would_send"]
        }
        assert archive.test_route("effusions")["already_sent"] == routed["sent"]
        archive.export_routes(tmp_path / "routes.toml")
        assert (
            archive.add_routes(tmp_path / "routes.toml")["routes"][0]["rule"]
            == archive.route("effusions")["rule"]
        )


def test_a_route_that_cannot_be_evaluated_stops_neither_an_ingest_nor_the_others(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    with Archive(tmp_path / "home", model="tiny") as archive:
        archive.make()
        archive.index.activate(archive.space)
        lost = {"scores": [{"source": "probe:gone", "label": "x", "at_least": 0.5}], "priority": 9}
        archive.index.routing_rules.put("lost", lost, enabled=True, priority=9, whole_archive=False)
        archive.put_route("radiographs", {"modality": ["CR", "DX"]})
        report = archive.ingest([phantoms.dicom])
        assert [one for one in report["warnings"] if one.startswith("Route lost: ")] != []
        radiographs = len(archive.studies(["modality=CR|DX"])["studies"])
        assert report["routed"] == archive.route("radiographs")["sent"] == radiographs > 0
        assert archive.run_routes()["problems"][0]["code"] == "unknown-source"
