"""Connecting to Ray, without one: what it may change of this process, its folder, and a head that is away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medsiglip.api.errors import retry_after
from medsiglip.index.errors import OUTAGES
from medsiglip.ingest.engines import ray_cluster, ray_engine, ray_folder
from medsiglip.ingest.engines.engine import EngineOptions
from medsiglip.ingest.engines.ray_cluster import RayCluster
from medsiglip.ingest.engines.ray_engine import RayEngine
from medsiglip.ingest.engines.ray_folder import RayFolder
from medsiglip.ingest.errors import IngestError
from tests.ingest.engines.grid_encoder import make_grid_encoder


class FakeRay:
    """Takes SIGTERM as Ray does, and notes what it was given and what its processes would inherit."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.given: dict[str, Any] = {}
        self.imports: list[str] = []
        self._error = error

    def is_initialized(self) -> bool:
        return False

    def init(self, address: str, **given: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        self.given = {"address": address, **given}
        self.imports = [os.environ["PYTHONSAFEPATH"], *os.environ["PYTHONPATH"].split(os.pathsep)]
        if self._error is not None:
            raise self._error

    def shutdown(self) -> None:
        pass


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., FakeRay]:
    """What Ray was given by a connection of an engine."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray_folder, "_SHORT_PARENT", tmp_path)
    monkeypatch.setattr(ray_cluster, "_without_current_folder", lambda: "no current folder")
    monkeypatch.setattr(ray_cluster, "_require_port", lambda address: None)

    def connected(engine: str, error: BaseException | None = None) -> FakeRay:
        ray = FakeRay(error)
        monkeypatch.setattr(ray_cluster, "import_ray", lambda: ray)
        cluster = RayCluster(engine, None)
        try:
            cluster.connect()
        finally:
            cluster.close()
        return ray

    return connected


@pytest.mark.parametrize(
    ("engine", "address", "job"),
    [
        ("ray", None, "no current folder"),
        ("ray", "127.0.0.1:6379", "no current folder"),
        ("ray://10.1.0.7:10001", None, None),
    ],
)
def test_what_ray_starts_imports_nothing_of_the_current_folder(
    connected: Callable[..., FakeRay],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    address: str | None,
    job: str | None,
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", "here", "/opt/code"]))
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    ray = connected(engine)
    assert ray.given.get("job_config") == job
    safe, source, *entries = ray.imports
    assert (safe, entries) == ("1", ["/opt/code"])
    assert os.path.isabs(source)
    assert "PYTHONSAFEPATH" not in os.environ
    assert os.environ["PYTHONPATH"] == os.pathsep.join(["", "here", "/opt/code"])


@pytest.mark.parametrize("error", [None, OSError("no port"), KeyboardInterrupt()])
@pytest.mark.parametrize("engine", ["ray", "ray://10.1.0.7:10001"])
def test_sigterm_stays_the_programs_and_no_folder_is_left(
    connected: Callable[..., FakeRay],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    engine: str,
    error: BaseException | None,
) -> None:
    def mine(number: int, frame: Any) -> None:
        pass

    before = signal.signal(signal.SIGTERM, mine)
    try:
        if error is None:
            connected(engine)
        else:
            with pytest.raises(IngestError if isinstance(error, OSError) else KeyboardInterrupt):
                connected(engine, error)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not list(tmp_path.iterdir())


def test_folders_of_killed_runs_are_removed_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray_folder, "_SHORT_PARENT", tmp_path)
    code = (
        "import sys; from pathlib import Path; from medsiglip.ingest.engines import ray_folder;"
        "ray_folder._SHORT_PARENT = Path(sys.argv[1]); folder = ray_folder.RayFolder();"
        "(folder.path / 'spill').write_bytes(b'picture'); print(folder.path, flush=True); input()"
    )
    killed = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert killed.stdout is not None
    left = Path(killed.stdout.readline().strip())
    (tmp_path / "medsiglip-ray-other").mkdir()  # of another program: it has no lock
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "in-use.lock").touch()
    (tmp_path / "medsiglip-ray-link").symlink_to(elsewhere)
    in_use = RayFolder()
    assert (left / "spill").exists()  # it still runs
    killed.kill()
    killed.communicate()
    another = RayFolder()
    assert not left.exists()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {
        "medsiglip-ray-other",
        "medsiglip-ray-link",
        "elsewhere",
        in_use.path.name,
        another.path.name,
    }
    assert (elsewhere / "in-use.lock").exists()
    assert in_use.path.stat().st_mode & 0o077 == 0
    for folder in (in_use, another, another):
        folder.close()
    assert not in_use.path.exists()


class AwayCluster:
    """A cluster that is away for `tries` connections."""

    def __init__(self, tries: int) -> None:
        self.tries = tries
        self.ray = SimpleNamespace()

    def connect(self) -> Any:
        self.tries -= 1
        if self.tries >= 0:
            raise IngestError("ray-unreachable", "away")
        return self.ray

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("tries", "wait_s"), [(0, 60.0), (3, 60.0), (1, 0.0)])
def test_a_head_that_starts_again_is_waited_for(
    model: Any, monkeypatch: pytest.MonkeyPatch, tries: int, wait_s: float
) -> None:
    monkeypatch.setattr(ray_engine, "RECONNECT_S", wait_s)
    monkeypatch.setattr(ray_engine, "_RECONNECT_EVERY_S", 0.01)
    engine = RayEngine("ray://10.1.0.7:10001", EngineOptions(model, "medsiglip-eval"), make_grid_encoder)
    cluster = AwayCluster(tries)
    monkeypatch.setattr(engine, "_cluster", cluster)
    lost = ray_engine._LostError("gone", is_disconnected=True)
    checks: list[int] = []
    if wait_s:
        engine._recover(lost, 1, lambda: checks.append(1))
        assert engine._ray is cluster.ray
        assert len(checks) >= tries
    else:
        with pytest.raises(IngestError) as caught:
            engine._recover(lost, 1, lambda: checks.append(1))
        assert caught.value.code == "ray-unreachable"


def test_a_wait_for_a_head_can_be_stopped(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = RayEngine("ray://10.1.0.7:10001", EngineOptions(model, "medsiglip-eval"), make_grid_encoder)
    monkeypatch.setattr(engine, "_cluster", AwayCluster(1000))

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine._recover(ray_engine._LostError("gone", is_disconnected=True), 1, stop)


@pytest.mark.parametrize("code", ["ray-unreachable", "ray-stalled", "ray-failed", "node-encoder-failed"])
def test_jobs_wait_for_a_cluster(code: str) -> None:
    """One that is away costs no attempt; one that answers and fails does, or it would be tried for ever."""
    assert retry_after(IngestError(code, "."), code, 1)
    assert (code in OUTAGES) == (code == "ray-unreachable")
