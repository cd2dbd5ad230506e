"""SIGHUP: the log is opened anew, settings are taken over, nothing ends; and every line of the log has its
format.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medsiglip.api.archive.received import arriving
from medsiglip.api.http import app as app_module
from medsiglip.api.http.app import create_app
from medsiglip.api.http.reloading import RELOADED, reload
from medsiglip.api.http.request_log import configure_logging, unhandled_errors_logged
from medsiglip.api.settings import Settings, read_settings
from medsiglip.index.case_index import CaseIndex
from tests.api.service_processes import Start, Started
from tests.repository import ROOT
from tests.waiting import eventually


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which must be one JSON object with a time and a level."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"time", "level", "logger"} <= set(one) for one in found)
    return found


def messages(text: str) -> str:
    return "\n".join(str(one.get("message")) for one in lines_of(text))


@pytest.mark.long
def test_a_hangup_reloads_server_and_worker_and_ends_neither(tmp_path: Path, start: Start) -> None:
    home, log = tmp_path / "home", tmp_path / "log" / "medsiglip.log"
    home.mkdir()
    log.parent.mkdir()
    (home / "medsiglip.toml").write_text(f'log_file = "{log}"\nmin_free_bytes = 0\n')
    server = start("serve", "--port", "0")
    url = str(server.answer()["url"])
    eventually(lambda: list((home / "workers").glob("*.json")))

    def refused_by_disk() -> bool:
        sent = httpx.post(f"{url}/v1/ingest", files={"file": ("a.dcm", b"x")}, timeout=60)
        return sent.status_code == 507

    assert not refused_by_disk()
    log.rename(log.with_suffix(".1"))
    (home / "medsiglip.toml").write_text(
        f'log_file = "{log}"\nmin_free_bytes = {1 << 60}\nrate_burst = 7\nbatch_size = 3\n'
    )
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: log.exists() and messages(log.read_text()).count("reloaded; changed:") == 2)
    assert "rate_burst, min_free_bytes" in messages(log.read_text())
    assert "when the service is restarted: batch_size" in messages(log.read_text())
    assert refused_by_disk()
    eventually(lambda: '"status": 507' in log.read_text())
    for broken in ("min_free_bytes = -1\n", "no toml", f'log_file = "{tmp_path}/no/folder/x.log"\n'):
        (home / "medsiglip.toml").write_text(broken)
        before = messages(log.read_text()).count("the settings stay as they are")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda n=before: messages(log.read_text()).count("stay as they are") == n + 2)  # type: ignore[misc]
    assert refused_by_disk()
    for child in server.children():
        child.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert httpx.get(f"{url}/healthz").status_code == 200
    assert all(child.is_running() for child in server.children())
    server.process.terminate()
    server.process.send_signal(signal.SIGHUP)
    assert server.process.wait(60) == 0
    assert "Traceback" not in log.read_text() + server.log.read_text()
    assert server.log.read_text() == ""


def test_a_hangup_while_a_service_starts_does_not_end_it(start: Start) -> None:
    """Hangups from the first moment on at which the process is no longer Python that starts."""
    server, worker = start("serve", "--port", "0", "--no-worker"), start("worker", "--poll", "0.1")
    for one in (server, worker):
        eventually(lambda one=one: caught(one))  # type: ignore[misc]
        for _ in range(5):
            one.process.send_signal(signal.SIGHUP)
            time.sleep(0.1)
    assert server.answer()["url"]
    assert worker.process.poll() is None


def caught(one: Started) -> bool:
    """Whether a process has said what a hangup means to it; until then it is Python that starts."""
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigIgn", "SigCgt"))]
    return any(int(mask, 16) & 1 for mask in masks)


@pytest.mark.long
def test_every_line_of_a_service_is_json(tmp_path: Path, start: Start) -> None:
    nowhere = {"MEDSIGLIP_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/x"}
    with CaseIndex.open(tmp_path / "home") as index:
        job = index.jobs.submit("ingest", {"paths": [str(ROOT / "tests" / "homes" / "query.dcm")]})
        server = start("serve", "--port", "0", MEDSIGLIP_INGEST_ROOTS="/")
        failed, worker = start("serve", "--port", "0", **nowhere), start("worker", **nowhere)
        url = server.answer()["url"]
        httpx.get(f"{url}/readyz", timeout=60)
        eventually(lambda: index.jobs.get(job.id).is_final, 300)
        assert index.jobs.get(job.id).status == "done"
    assert "demonstration model" in messages(server.log.read_text())  # a note
    server.process.terminate()
    assert server.process.wait(60) == 0
    assert f"job {job.id}" in messages(server.log.read_text())
    assert failed.process.wait(60) == 1
    assert lines_of(failed.log.read_text())[-1]["level"] == "error"
    eventually(lambda: "trying again" in worker.log.read_text())
    for one in (failed, worker):
        assert "(database-unreachable)" in messages(one.log.read_text())


def test_errors_that_nobody_catches_are_lines_without_their_texts(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("Doe^Jane")

    class Failing:
        def __del__(self) -> None:
            fail()

    held, hooks = [Failing()], (threading.excepthook, sys.unraisablehook)
    root = logging.getLogger()
    before = list(root.handlers), root.level, logging.raiseExceptions
    file = tmp_path / "log"
    try:
        with unhandled_errors_logged():
            configure_logging("json", file=file)
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
            del held[:]
            assert (threading.excepthook, sys.unraisablehook) != hooks
        assert (threading.excepthook, sys.unraisablehook) == hooks
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, level, logging.raiseExceptions = before
        root.setLevel(level)
        logging.captureWarnings(False)
    lines = lines_of(file.read_text())
    assert [line["message"] for line in lines] == ["a thread ended", "an error was passed over"]
    assert all("ValueError" in line["error"] for line in lines)
    assert "Doe" not in file.read_text()


def reload_with(app: FastAPI, **changed: int) -> None:
    """Have an application take over settings from the file in its home."""
    home: Path = app.state.server.settings.home
    (home / "medsiglip.toml").write_text("".join(f"{name} = {value}\n" for name, value in changed.items()))
    root = logging.getLogger()
    before = list(root.handlers)
    try:
        reload(app, lambda: read_settings(home=home))
    finally:
        root.handlers = before
        logging.captureWarnings(False)


def test_a_setting_that_a_server_reloads_is_the_one_that_it_uses(tmp_path: Path) -> None:
    assert set(RELOADED) <= set(Settings.model_fields)
    app = create_app(Settings(home=tmp_path / "home"))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        reload_with(app, max_upload_files=1, rate_limit=60)
        assert app.state.server.archive.settings.max_upload_files == 1
        assert app.state.gate._requests._per_second == 1
        files = [("file", (name, b"x")) for name in ("a", "b")]
        sent = client.post("/v1/ingest", files=files)
        assert (sent.status_code, sent.json()["code"]) == (413, "too-many-files")
        reload_with(app, min_free_bytes=10**15)
        large = client.post("/v1/labels", json={"rows": [], "padding": "x" * 100_000})
        assert (large.status_code, large.json()["code"]) == (507, "disk-full")


def test_what_a_killed_server_left_of_an_upload_goes_while_another_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "_SWEEP_SECONDS", 0.05)
    folder = tmp_path / "home" / "received" / "lost"
    app = create_app(Settings(home=tmp_path / "home", upload_seconds=60))
    with TestClient(app, base_url="http://127.0.0.1"):
        for name, age in (("lost", 3600), ("arriving", 30)):
            one = folder.with_name(name)
            one.mkdir(parents=True)
            (one / "000000.dcm").write_bytes(b"x")
            arriving(one).touch()
            os.utime(arriving(one), (time.time() - age,) * 2)
        eventually(lambda: not folder.exists() and not arriving(folder).exists())
        assert folder.with_name("arriving").exists()
    assert list((tmp_path / "home" / "trash").rglob("000000.dcm"))
