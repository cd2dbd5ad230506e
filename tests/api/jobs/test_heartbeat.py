"""Heartbeats: what a health check, `/metrics` and `doctor` see of workers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.metrics import ArchiveCollector
from medsiglip.api.jobs import heartbeat
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.heartbeat import FOLDER, Heartbeat, heartbeats
from medsiglip.api.jobs.worker import Worker
from tests.api.conftest import run
from tests.api.jobs.conftest import working
from tests.waiting import eventually


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    with Archive(path) as archive:
        archive.make()
    return path


def figures(home: Path) -> dict[tuple[str, tuple[str, ...]], float]:
    with Archive(home) as archive:
        registry = CollectorRegistry()
        registry.register(ArchiveCollector(archive))
        text = generate_latest(registry).decode()
    families = text_string_to_metric_families(text)
    return {(one.name, tuple(one.labels.values())): one.value for f in families for one in f.samples}


def check(home: Path) -> tuple[int, Any]:
    ran = run("--home", home, "--json", "worker", "--check")
    return ran.code, json.loads(ran.out)


def test_a_worker_is_seen_while_it_lives_and_no_longer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(home) == (1, {"workers": [], "ok": False})
    assert "no worker" in run("--home", home, "worker", "--check").out
    with Archive(home) as archive, working(archive) as works:
        eventually(lambda: [one.state for one in heartbeats(home)] == ["idle"])
        code, answer = check(home)
        [one] = answer["workers"]
        assert (code, answer["ok"], one["ok"], one["host"]) == (0, True, True, socket.gethostname())
        assert one["worker"] == works.name
        assert works.name in run("--home", home, "worker", "--check").out
        for slow in ("_model", "_faiss", "_device"):
            monkeypatch.setattr(f"medsiglip.api.cli.doctor.{slow}", lambda *_: {"ok": True})
        monkeypatch.setattr("medsiglip.api.cli.doctor.SAMPLES", ())
        seen = run("--home", home, "--json", "doctor").json["workers"]
        assert [(found["worker"], found["ok"]) for found in seen] == [(works.name, True)]
        found = figures(home)
        assert (found[("medsiglip_workers", ("idle",))], found[("medsiglip_workers", ("late",))]) == (1, 0)
        assert ("medsiglip_worker_heartbeat_seconds", (works.name,)) in found
    assert check(home)[0] == 1
    assert not list((home / FOLDER).iterdir())


BEATING = """
import sys, time
from pathlib import Path
from medsiglip.api.jobs.heartbeat import Heartbeat

Heartbeat(Path(sys.argv[1]), "host:1:0123abcd").start()
print("it beats", flush=True)
time.sleep(600)
"""


def test_a_killed_worker_is_late_until_another_takes_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", BEATING, home], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline()
        worker.kill()
    monkeypatch.setattr(heartbeat, "LATE_SECONDS", 0.0)
    assert check(home)[0] == 1
    assert figures(home)[("medsiglip_workers", ("late",))] == 1
    monkeypatch.undo()
    second = Heartbeat(home, "host:2:1123abcd")
    second.start()
    assert [one.worker for one in heartbeats(home)] == ["host:2:1123abcd"]
    second.stop()


def test_a_worker_says_what_it_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    def work(archive: Archive, _run: Any) -> dict[str, Any]:
        seen.extend((one.state, one.job) for one in heartbeats(archive.home))
        return {}

    monkeypatch.setitem(HANDLERS, "look", work)
    with Archive(home) as archive:
        job = archive.index.jobs.submit("look", {})
        Worker(archive).run(once=True)
    assert seen == [("working", job.id)]


@pytest.mark.parametrize("state", ["idle", "working"])
def test_a_worker_that_hangs_without_a_job_is_not_ok(
    home: Path, monkeypatch: pytest.MonkeyPatch, state: Any
) -> None:
    beats = Heartbeat(home, "host:1:0123abcd")
    beats.note(state)
    monkeypatch.setattr(heartbeat, "STUCK_SECONDS", -1.0)
    assert [one.ok for one in heartbeats(home)] == [state == "working"]
    beats.stop()


def test_the_age_of_a_beat_does_not_depend_on_the_time_of_day(home: Path) -> None:
    Heartbeat(home, "host:1:0123abcd").note("idle")
    [file] = (home / FOLDER).iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "at": "2020-01-01T00:00:00+00:00"}))
    assert [one.ok for one in heartbeats(home)] == [True]
    earlier = datetime.now(UTC) - timedelta(hours=1)
    elsewhere = {**content, "boot": "another machine", "at": earlier.isoformat()}
    file.write_text(json.dumps(elsewhere))
    assert [one.ok for one in heartbeats(home)] == [False]


@pytest.mark.parametrize(("hours", "listed"), [(23, 1), (25, 0)])
def test_a_worker_that_has_not_beaten_for_a_day_is_no_worker(home: Path, hours: int, listed: int) -> None:
    """Nothing removes what a worker of another machine left until one starts there."""
    Heartbeat(home, "host:1:0123abcd").note("working", "7")
    [file] = (home / FOLDER).iterdir()
    then = datetime.now(UTC) - timedelta(hours=hours)
    content = {**json.loads(file.read_text()), "boot": "another machine", "at": then.isoformat()}
    file.write_text(json.dumps(content))
    assert len(heartbeats(home)) == listed
    assert len(check(home)[1]["workers"]) == listed


def test_a_worker_that_runs_again_beats_again(home: Path) -> None:
    beats = Heartbeat(home, "host:1:0123abcd")
    for _ in range(2):
        beats.start()
        assert [one.worker for one in heartbeats(home)] == ["host:1:0123abcd"]
        beats.stop()
        assert heartbeats(home) == []


def test_files_of_others_are_left_alone(home: Path) -> None:
    folder = home / FOLDER
    folder.mkdir()
    (folder / "notes.json").write_text("{}")
    (folder / "0123abcd.json").write_text("[1]")
    (folder / "1123abcd.json").write_text('{"worker": 1}')
    beats = Heartbeat(home, "host:1:2123abcd")
    beats.start()
    assert len(heartbeats(home)) == 1
    beats.stop()
    assert sorted(path.name for path in folder.iterdir()) == ["0123abcd.json", "1123abcd.json", "notes.json"]


def test_figures_of_the_machine_and_the_database(home: Path) -> None:
    with Archive(home) as archive:
        archive.index.jobs.submit("ingest", {})
    found = figures(home)
    assert found[("medsiglip_disk_free_bytes", ())] > 0
    assert found[("medsiglip_database_connections_limit", ())] >= 5
    assert (
        0
        <= found[("medsiglip_database_connections", ())]
        <= found[("medsiglip_database_connections_limit", ())]
    )
    assert found[("medsiglip_database_seconds", ())] > 0
    assert found[("medsiglip_jobs_oldest_seconds", ("queued",))] > 0
    assert found[("medsiglip_jobs_oldest_seconds", ("running",))] == 0
    [build] = [labels for name, labels in found if name == "medsiglip_build_info"]
    from importlib.metadata import version

    assert version("medsiglip") in build
