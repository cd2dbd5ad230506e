"""The first ingest of a folder against the second of the unchanged folder, as whole processes."""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Outcome, medsiglip, timed
from benchmarks.radiographs import NAME, write_radiographs

TITLE = "first ingest ÷ second ingest of the unchanged folder, time"
GOAL = 20.0
GUARD = "the second run adds no row and accounts for every file as unchanged"
FILES, SIZE = 3000, 128


def measure(folder: Path, rounds: int) -> Outcome:
    data = folder / NAME
    paths = write_radiographs(data, FILES, SIZE)
    _run(folder / "warm-up", "ingest", str(paths[0].parent))
    ours, peer = [], []
    for number in range(rounds):
        home = folder / f"home-{number}"
        ingest = partial(_run, home, "ingest", str(data))
        first, _ = timed(ingest)
        before = _run(home, "index", "info")
        second, again = timed(ingest)
        after = _run(home, "index", "info")
        shutil.rmtree(home)
        if before != after or before["images"] != FILES:
            failure = f"{before['images']} images, then {after['images']}"
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=failure)
        if again["files_unchanged"] != FILES or again["embedded"]:
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=f"{again['embedded']} images embedded again")
        ours.append(second)
        peer.append(first)
    return Outcome(TITLE, GOAL, GUARD, FILES, ours, peer)


def _run(home: Path, *arguments: str) -> dict[str, Any]:
    """One process of the command line with the bundled model; its JSON."""
    done = subprocess.run(
        medsiglip(home, *arguments),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments[:2])} ended with {done.returncode}: {done.stderr[-500:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
