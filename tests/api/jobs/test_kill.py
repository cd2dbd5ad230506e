"""`kill -9` at random moments of an ingest: a plain re-run always ends with the archive of an undisturbed
run.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.api.conftest import Home, run

# Loads everything once and forks a child for each run, so that a kill falls into the ingest and not into
# imports.
DRIVER = """
import json, os, random, signal, sys, time
import torch, open_clip, faiss, pyarrow.parquet, sqlalchemy, pydicom
torch.set_num_threads(1)
from sqlalchemy import Engine, event
from medsiglip.api.cli.main import main

def start(home, folder, log):
    # The child writes a byte to the pipe before every statement to the catalogue.
    steps, sink = os.pipe()
    child = os.fork()
    if child == 0:
        event.listen(Engine, "before_cursor_execute", lambda *_: os.write(sink, b"."))
        sys.stdout = open(log, "w")
        code = main(["--home", home, "--json", "ingest", folder])
        sys.stdout.flush()
        os._exit(code)
    os.close(sink)
    return child, steps

def follow(steps, most):
    count = 0
    while count < most and os.read(steps, 1):
        count += 1
    return count

def wait(child, steps):
    follow(steps, float("inf"))
    os.close(steps)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

place, folder, *moments = sys.argv[1:]
child, steps = start(f"{place}/whole", folder, f"{place}/whole.json")
total = follow(steps, float("inf"))
codes = [wait(child, steps)]
for number, moment in enumerate(moments):
    home, log = f"{place}/{number}", f"{place}/{number}.json"
    child, steps = start(home, folder, log)
    follow(steps, 1 + int(float(moment) * (total - 1)))
    time.sleep(random.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    codes.append((wait(child, steps), wait(*start(home, folder, log))))
print(json.dumps(codes))
"""


def totals(home: Path) -> dict[str, Any]:
    info = run("--home", home, "--json", "index", "info").json
    names = ("space", "studies", "series", "instances", "images", "vectors", "files")
    return {**{name: info[name] for name in names}, "ntotal": info["faiss"]["ntotal"]}


def embeddings(home: Path) -> dict[tuple[str, int], Any]:
    run("--home", home, "index", "export", "--out", home / "exported")
    rows = pq.read_table(home / "exported" / "images.parquet").to_pylist()
    assert len({(row["sop_instance_uid"], row["frame"]) for row in rows}) == len(rows)
    return {(row["sop_instance_uid"], row["frame"]): row["embedding"] for row in rows}


def kill_and_repair(folder: Path, place: Path, kills: int, seed: int) -> None:
    """Compare `kills` disturbed archives with one that was not."""
    draw = random.Random(seed)
    moments = [draw.random() for _ in range(kills)]
    command = [sys.executable, "-c", DRIVER, str(place), str(folder), *map(str, moments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *others = json.loads(done.stdout)
    assert first == 0
    assert -9 in [killed for killed, _ in others]
    expected, vectors = totals(place / "whole"), embeddings(place / "whole")
    for number, (killed, again) in enumerate(others):
        home = place / str(number)
        where = f"killed at {moments[number]:.3f} of the run (seed {seed})"
        assert killed in (-9, 0), where  # 0: it was done before the signal came
        assert again == 0, where
        verified = Home(home, {}).run("index", "verify").json
        assert verified["ok"], (where, verified)
        assert totals(home) == expected, where
        mine = embeddings(home)
        assert mine.keys() == vectors.keys(), where
        assert all(np.abs(np.subtract(mine[key], vectors[key])).max() <= 1e-6 for key in vectors), where


@pytest.mark.long
def test_three_kills(slices: list[Path], photographs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for number, file in enumerate((*slices[:8], *photographs[:4])):
        (tmp_path / "files" / f"{number}.dcm").symlink_to(file)
    kill_and_repair(tmp_path / "files", tmp_path, kills=3, seed=1)


@pytest.mark.campaign
def test_twenty_kills(tmp_path: Path) -> None:
    from medsiglip.phantoms.writing import write_phantoms

    write_phantoms(tmp_path / "phantoms", 72, 5)
    folder = tmp_path / "phantoms" / "dicom"
    (tmp_path / "homes").mkdir()
    kill_and_repair(folder, tmp_path / "homes", kills=20, seed=random.SystemRandom().randrange(10**6))
