"""Two nodes of Ray make the same index as one machine, whatever of them is killed."""

from __future__ import annotations

import json
import random
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ingest.engines.conftest import RUN_S, RayNodes
from tests.ingest.run.test_same_index import assert_same

pytestmark = pytest.mark.long
KINDS = ("renderer", "decoder", "encoder", "crew", "node", "driver")
LONGEST_WAIT_S = 60.0


def told(report: Any) -> Any:
    """A report but for its time, and the counts of what was new to the last of several runs."""
    changing = ("seconds", "embedded", "unchanged", "files_embedded", "files_unchanged", "withheld", "warned")
    return {name: value for name, value in report.items() if name not in (*changing, "warnings")}


@pytest.fixture(scope="module")
def whole(nodes: RayNodes, corpus: Path, new_home: Callable[[], Path]) -> tuple[Path, Any]:
    """The home and the report of the local engine."""
    home = new_home()
    return home, nodes.ingest(home, "local", corpus)


def test_two_nodes_make_the_same_index(
    nodes: RayNodes, corpus: Path, new_home: Callable[[], Path], whole: tuple[Path, Any]
) -> None:
    home = new_home()
    report = nodes.ingest(home, nodes.address, corpus)
    assert {**report, "seconds": 0} == {**whole[1], "seconds": 0}
    assert report["embedded"] > 0
    assert report["quarantined"]
    assert_same(home, whole[0])
    again = nodes.ingest(home, nodes.address, corpus)
    assert (again["embedded"], again["images"]) == (0, report["images"])


def test_public_files_make_the_same_index(
    nodes: RayNodes, new_home: Callable[[], Path], test_data: Path
) -> None:
    local, other = new_home(), new_home()
    mine, theirs = (
        nodes.ingest(home, engine, test_data / "dicom")
        for home, engine in ((local, "local"), (other, nodes.address))
    )
    assert {**theirs, "seconds": 0} == {**mine, "seconds": 0}
    assert_same(other, local)


def test_a_wrong_token_is_refused(nodes: RayNodes, corpus: Path, new_home: Callable[[], Path]) -> None:
    told = nodes.ingest(new_home(), nodes.address, corpus, RAY_AUTH_TOKEN=secrets.token_hex(32))
    assert told["code"] == "ray-unreachable"
    assert "(ConnectionError)" in told["message"]  # refused, and not for want of memory or time
    assert nodes.environment["RAY_AUTH_TOKEN"] not in told["message"]
    assert "RAY_AUTH_TOKEN" in told["message"]


def test_an_encoder_that_always_exits_ends_the_run(
    nodes: RayNodes, new_home: Callable[[], Path], write_series: Any, tmp_path: Path
) -> None:
    write_series(tmp_path / "ct", 5)
    told = nodes.ingest(new_home(), nodes.address, tmp_path, encoder="make_exiting_encoder")
    assert told["code"] == "ray-failed"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mr", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def test_a_ray_of_its_own_makes_the_same_index_and_imports_nothing_of_the_current_folder(
    nodes: RayNodes,
    new_home: Callable[[], Path],
    write_series: Any,
    write_dicom: Any,
    tmp_path: Path,
    short_folder: Path,
) -> None:
    files, current = tmp_path / "in", tmp_path / "current"
    write_series(files / "ct", 5)
    write_dicom(files / "one.dcm", np.arange(400, dtype=np.uint16).reshape(20, 20))
    current.mkdir()
    trap = "import pathlib; pathlib.Path(__file__).with_name('was-run').touch(); raise SystemExit(1)"
    for name in ("pydicom", "numpy", "sitecustomize"):
        (current / f"{name}.py").write_text(trap)
    local, own = new_home(), new_home()
    expected = nodes.ingest(local, "local", files)
    report = nodes.ingest(own, "ray", files, current=current, TMPDIR=str(short_folder))
    assert {**report, "seconds": 0} == {**expected, "seconds": 0}
    assert report["embedded"] > 1
    assert_same(own, local)
    assert sorted(path.name for path in current.iterdir()) == ["numpy.py", "pydicom.py", "sitecustomize.py"]
    assert not list(short_folder.glob("medsiglip-ray-*"))


def run_with_kill(nodes: RayNodes, home: Path, corpus: Path, kind: str, after_s: float) -> tuple[Any, bool]:
    """Ingest, kill something once it runs, or rendering does, and `after_s` more have passed, and ingest
    again if that was the driver; whether there was something to kill.
    """
    process = nodes.start_ingest(home, nodes.address, corpus)
    until = time.monotonic() + LONGEST_WAIT_S
    sign = "renderer" if kind in ("node", "driver") else kind
    while process.poll() is None and time.monotonic() < until and not nodes.processes(sign):
        time.sleep(0.05)
    time.sleep(after_s)
    running = process.poll() is None
    if kind == "driver":
        process.kill()
        process.communicate()
        return nodes.ingest(home, nodes.address, corpus), running
    if kind == "node":
        nodes.ask("kill-node")
        nodes.ask("add-node")
    else:
        running = nodes.kill(kind) and running
    out, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1]), running


def check_kill(
    nodes: RayNodes, home: Path, corpus: Path, whole: tuple[Path, Any], kind: str, after_s: float
) -> bool:
    report, killed = run_with_kill(nodes, home, corpus, kind, after_s)
    assert "code" not in report, report
    assert told(report) == told(whole[1])
    assert_same(home, whole[0])
    return killed


@pytest.mark.parametrize("kind", ["encoder", "crew", "driver"])
def test_a_kill_loses_and_doubles_nothing(
    nodes: RayNodes, corpus: Path, new_home: Callable[[], Path], whole: tuple[Path, Any], kind: str
) -> None:
    # A run may end before it is hit: then that is another run.
    assert any(check_kill(nodes, new_home(), corpus, whole, kind, 0.3) for _ in range(4))


@pytest.mark.campaign
def test_forty_kills_lose_and_double_nothing(
    nodes: RayNodes, corpus: Path, new_home: Callable[[], Path], whole: tuple[Path, Any]
) -> None:
    draw = random.Random(40)
    killed = dict.fromkeys(KINDS, 0)
    for number in range(40):
        kind = KINDS[number % len(KINDS)]
        after = draw.uniform(0.0, 4.0)
        begun = time.monotonic()
        killed[kind] += check_kill(nodes, new_home(), corpus, whole, kind, after)
        print(f"{number} {kind} after {after:.1f} s: {time.monotonic() - begun:.0f} s", flush=True)
    print(killed)
    assert all(killed.values())
