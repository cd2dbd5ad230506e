"""`medsiglip receive` as a process: what it says, whom it refuses, and how it ends and goes on."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import psutil
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.receiving.state import Counts, StateFile, receiver_state
from tests.api.conftest import run
from tests.api.jobs.conftest import write_files
from tests.api.receiving.conftest import data_set_of
from tests.api.receiving.running import dcmsend, receiving
from tests.api.service_processes import Started
from tests.waiting import eventually

pytestmark = pytest.mark.skipif(shutil.which("dcmsend") is None, reason="dcmtk is not installed")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def received(home: Path) -> Counter[bytes]:
    """The data sets that lie in a home, in the spool and as uploads."""
    folders = (home / "incoming", home / "received")
    return Counter(data_set_of(path) for folder in folders for path in folder.glob("*/*.dcm"))


def waiting(home: Path) -> int:
    state = receiver_state(home)
    assert state is not None
    return state.waiting_studies


def counted(home: Path) -> int:
    state = receiver_state(home)
    return 0 if state is None else state.received


def test_a_receiver_takes_hands_over_is_seen_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    files = write_files(tmp_path / "files", 1, "skin") + write_files(tmp_path / "files", 1, "chest-xray")
    home = tmp_path / "home"
    assert receiver_state(home) is None
    with receiving(home, "--quiet", "0.5", "--allow", "CT1", "--allow", "PACS@127.0.0.0/8") as receiver:
        stranger = dcmsend(receiver.port, files, "STRANGER")
        assert stranger.returncode != 0
        assert received(home) == Counter()
        receiver.send(*files[:2])
        receiver.handed_over()
        [killed, *others] = [one for one in receiver.started.children() if "--inherit" in one.cmdline()]
        for child in (killed, *others):
            child.kill()
        eventually(lambda: dcmsend(receiver.port, files[2:], "CT1").returncode == 0)
        receiver.handed_over()
        ran = run("--home", home, "--json", "receive", "--check")
        assert ran.code == 0
        eventually(lambda: counted(home) >= len(files) - 2)  # a killed process has not written its last ones
        eventually(lambda: waiting(home) == 0)  # it says so a moment after the last was handed over
        state = receiver_state(home)
        assert state is not None
        assert (state.running, state.ae_title, state.port) == (True, "MEDSIGLIP", receiver.port)
        assert (state.failed, state.associations, state.waiting_studies) == (0, 0, 0)
        assert state.last_received_at is not None
        assert "MEDSIGLIP receives" in run("--home", home, "receive", "--check").out
    assert run("--home", home, "--json", "receive", "--check").code == 1
    assert received(home) == Counter(map(data_set_of, files))
    with Archive(home) as archive:
        actors = {one.event.actor for one in archive.index.audit.events()}
        assert actors == {"aet:PACS", "aet:CT1"}


@pytest.mark.long
def test_the_server_runs_a_receiver_beside_it(tmp_path: Path) -> None:
    files, home, port = write_files(tmp_path / "files", 1, "skin")[:1], tmp_path / "home", free_port()
    settings = {"MEDSIGLIP_RECEIVE_PORT": str(port), "MEDSIGLIP_RECEIVE_QUIET_SECONDS": "0.2"}
    settings |= {"MEDSIGLIP_MIN_FREE_BYTES": "0", "MEDSIGLIP_RECEIVE_AET": "ARCHIVE"}
    server = Started(home, ("serve", "--receive", "--port", "0"), environment=settings)
    try:
        server.answer()

        def send() -> bool:
            words = ["dcmsend", "-aec", "ARCHIVE", "127.0.0.1", str(port), str(files[0])]
            return subprocess.run(words, capture_output=True, timeout=60).returncode == 0

        eventually(send)

        def is_ingested() -> bool:
            ran = run("--home", home, "--json", "index", "info")
            return ran.code == 0 and ran.json["images"] == 1

        eventually(is_ingested)
        below = server.children()
        server.process.terminate()
        assert server.process.wait(40) == 0
        assert not [one for one in below if psutil.pid_exists(one.pid) and one.status() != "zombie"]
    finally:
        server.end()


def test_whoever_may_send_from_a_network_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ran = run("--home", home, "receive", "--host", "0.0.0.0", "--port", "0")
    assert (ran.code, "--allow" in ran.err) == (1, True)
    text = tmp_path / "text.pem"
    text.write_text("text")
    for words in (
        ("--allow", "A" * 17),
        ("--peer", "CT1"),
        ("--tls-certificate", tmp_path / "none.pem"),
        ("--tls-certificate", text, "--tls-key", text),
    ):
        assert run("--home", home, "receive", "--port", "0", *words).code == 1
    assert not home.exists()


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = run("--home", tmp_path / "home", "receive", "--port", port)
    assert (ran.code, str(port) in ran.err) == (1, True)


@pytest.mark.long
def test_while_the_database_is_away_instances_are_taken_and_handed_over_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, home = write_files(tmp_path / "files", 2, "skin"), tmp_path / "home"
    with Archive(home) as archive:
        archive.make()
    catalogue = home / "catalog.db"
    with receiving(home, "--quiet", "0.3", "--processes", "1") as receiver:
        locked = subprocess.Popen(
            ["python3", "-c", _LOCKS, str(catalogue)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert locked.stdout is not None
        assert locked.stdout.readline() == "locked\n"
        receiver.send(*files)
        eventually(lambda: received(home) == Counter(map(data_set_of, files)))
        assert receiver.waiting()
        locked.communicate("")
        receiver.handed_over()
    with Archive(home) as archive:
        assert len(archive.index.jobs.listed()) == len(files)


_LOCKS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_an_instance_that_is_being_received_is_not_lost_when_the_receiver_is_stopped(tmp_path: Path) -> None:
    files, home = write_files(tmp_path / "files", 1, "chest-ct"), tmp_path / "home"
    with receiving(home, "--quiet", "600", "--processes", "2") as receiver:
        words = [
            "storescu",
            "-v",
            "-R",
            "-aec",
            "MEDSIGLIP",
            "127.0.0.1",
            str(receiver.port),
            *map(str, files),
        ]
        sender = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        eventually(lambda: received(home))
        receiver.started.process.send_signal(signal.SIGTERM)
        receiver.started.process.wait(30)
        said, _ = sender.communicate(timeout=60)
        taken = said.count("Received Store Response (Success)")
        assert 0 < taken <= sum(received(home).values()) <= len(files)


def test_counts_are_json(tmp_path: Path) -> None:
    ran = run("--home", tmp_path / "home", "--json", "receive", "--check")
    assert (ran.code, json.loads(ran.out)) == (1, {"receiver": None, "ok": False})
    assert "no receiver" in run("--home", tmp_path / "home", "receive", "--check").out


def is_running(home: Path) -> bool:
    state = receiver_state(home)
    assert state is not None
    return state.running


def test_a_receiver_whose_processes_do_not_live_is_not_said_to_run(tmp_path: Path) -> None:
    first = StateFile(tmp_path, "0123abcd-0", Counts("MEDSIGLIP", 104))
    first.write()
    assert not is_running(tmp_path)
    StateFile(tmp_path, "0123abcd-1", Counts()).write()
    assert is_running(tmp_path)
