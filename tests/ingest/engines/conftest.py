"""A Ray cluster of two nodes on loopback, ingests into new homes, and processes of the cluster to kill."""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.ingest.mixed_corpus import write_everything
from tests.repository import ROOT

FOLDER = Path(__file__).parent
# By the titles that Ray gives its processes.
TITLES = {
    "renderer": "ray::MapBatches(render_block)",
    "encoder": "ray::MapWorker(MapBatches(EncodeBlock))",
    "crew": "ray::Crew",
}
START_S, RUN_S = 300, 600


class RayNodes:
    """The cluster, which has its token from a file; `address` is for clients."""

    def __init__(self, token: Path) -> None:
        self.environment = {
            **os.environ,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "PYTHONPATH": f"{FOLDER / 'without'}{os.pathsep}{ROOT}",
        }
        cluster = dict(self.environment)
        token.write_text(cluster.pop("RAY_AUTH_TOKEN") + "\n")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(FOLDER / "cluster_process.py"), "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**cluster, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)},
        )
        self.address: str = self._answer()["address"]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        assert self._answer() == {"done": command}

    def processes(self, kind: str) -> list[psutil.Process]:
        """Those of a kind of `TITLES`, with `decoder` the worker processes below the renderers."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if (kind == "decoder" and "medsiglip.ingest.workers.worker" in title) or (
                    kind in TITLES and title.startswith(TITLES[kind])
                ):
                    found.append(process)
        return found

    def kill(self, kind: str) -> bool:
        """Kill one process of a kind; whether there was one."""
        found = self.processes(kind)
        if found:
            with suppress(psutil.Error):
                random.choice(found).kill()
        return bool(found)

    def start_ingest(
        self,
        home: Path,
        engine: str,
        path: Path,
        encoder: str = "make_grid_encoder",
        current: Path | None = None,
        **variables: str,
    ) -> subprocess.Popen[str]:
        words = [str(FOLDER / "ingest_process.py"), str(home), engine, str(path), encoder]
        return subprocess.Popen(
            [sys.executable, "-P", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=current,
            env={**self.environment, **variables},
        )

    def ingest(self, home: Path, engine: str, path: Path, **options: Any) -> Any:
        process = self.start_ingest(home, engine, path, **options)
        out, err = process.communicate(timeout=RUN_S)
        assert process.returncode == 0, err[-3000:]
        return json.loads(out.splitlines()[-1])

    def close(self) -> None:
        """End every process of the cluster."""
        tree = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGKILL)
        for process in tree:
            with suppress(psutil.Error):
                process.kill()
        self._process.communicate()


@pytest.fixture(scope="session")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    pytest.importorskip("ray")
    nodes = RayNodes(tmp_path_factory.mktemp("cluster") / "token")
    yield nodes
    nodes.close()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_dicom: Any, write_series: Any) -> Path:
    folder: Path = write_everything(tmp_path_factory.mktemp("corpus") / "in", write_dicom, write_series)
    return folder


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Homes that share one key, so that their pseudonyms can be compared."""

    def new_home() -> Path:
        home = tmp_path_factory.mktemp("home")
        (home / "secret.key").write_bytes(bytes(range(32)))
        (home / "secret.key").chmod(0o600)
        return home

    return new_home
