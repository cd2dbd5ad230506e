"""Writers that are killed while readers search: `python -m tests.index.storage.killed_writers HOME KILLS SEED
[URL]`.

Writers add, replace, forget, merge and rebuild, one after the other, each killed at a random moment; what
they say before and after each step is the ledger. Two readers search all the while. After each kill another
process checks everything against the ledger. Prints JSON: failures, kills, searches, what readers were told,
and the steps that were done.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.index.records import Level
from medsiglip.index.vectors import mean_directions
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

IMPORTED_BEFORE_THE_FORKS = (faiss, pyarrow.parquet)
RETRY = {"catalog-busy", "changed-meanwhile", *OUTAGES}
"""What a reader may be told."""
KEPT = range(5)
"""Studies that are never forgotten."""
IMAGES = 3
_LEVELS: tuple[Level, ...] = ("image", "study")
MOST_STUDIES = 30
Contents = dict[int, str]


def vectors_of(study: int, version: str) -> NDArray[np.float32]:
    return unit_vectors(IMAGES, 1000 * study + ord(version))


class Child:
    """A forked process that writes lines to a pipe until it ends or is killed."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            code = 0
            try:
                work(lambda line: _write(writing, line))
            except BaseException:
                _write(writing, "failed " + json.dumps(traceback.format_exc()))
                code = 1
            os._exit(code)
        os.close(writing)
        self._stream = os.fdopen(reading)

    def line(self) -> str:
        """The next line; empty at the end."""
        return self._stream.readline().rstrip("\n")

    def rest(self) -> list[str]:
        """All other lines; waits for the end of the process."""
        lines = self._stream.read().splitlines()
        self._stream.close()
        os.waitpid(self.pid, 0)
        return lines

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


def _write(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())


def write(home: Path, url: str | None, held: Contents, seed: int, say: Callable[[str], None]) -> None:
    """Change the home at random until the process is killed."""
    draw, held = random.Random(seed), dict(held)
    number = seed * 1000
    with CaseIndex.open(home, database_url=url) as index:
        while True:
            free = [study for study in held if study not in KEPT]
            kind = draw.choices(("add", "forget", "replace", "compact", "rebuild"), (5, 4, 3, 2, 1))[0]
            if kind == "forget" and not free:
                kind = "add"
            if kind == "add" and len(held) >= MOST_STUDIES:
                kind = "forget"
            study = draw.choice(free) if kind in ("forget", "replace") and free else -1
            if kind == "add":
                number += 1
                study = number
            if kind == "replace" and study < 0:
                continue
            version = "b" if held.get(study) == "a" else "a"
            say(f"begin {kind} {study} {version}")
            if kind in ("add", "replace"):
                bundle = make_bundle(study, IMAGES, pixels=version, replace_series=kind == "replace")
                index.add([bundle], vectors_of(study, version))
                held[study] = version
            elif kind == "forget":
                index.remove_study(f"2.25.{study}")
                del held[study]
            elif kind == "compact":
                index.compact()
            else:
                index.rebuild(unit_vectors(4, seed) if draw.random() < 0.5 else None)
            say(f"done {kind} {study} {version}")


def read(home: Path, url: str | None, seed: int, stop: Path, say: Callable[[str], None]) -> None:
    """Search for studies that are never forgotten until the file `stop` is there."""
    draw = random.Random(seed)
    told: Counter[str] = Counter()
    searches = 0
    index = CaseIndex.open(home, database_url=url)
    while not stop.exists():
        study = draw.choice(KEPT)
        vectors = vectors_of(study, "a")
        level: Level = draw.choice(_LEVELS)
        query = vectors[:1] if level == "image" else mean_directions([vectors])
        try:
            if draw.random() < 0.05:
                index.close()
                index = CaseIndex.open(home, database_url=url)
            where = draw.choice(((), ("modality=CT",)))
            [hits] = index.search(query, k=4, level=level, where=where)
        except CatalogError as error:
            told[error.code] += 1
            continue
        searches += 1
        if hits[0].study_instance_uid != f"2.25.{study}" or len({hit.image_id for hit in hits}) != len(hits):
            say("failed " + json.dumps(f"{level} {study}: {hits}"))
    index.close()
    say("told " + json.dumps([searches, told]))


def look(home: Path, url: str | None, say: Callable[[str], None]) -> None:
    """Say what a home holds, study by study, and what a deep check finds."""
    with CaseIndex.open(home, database_url=url) as index:
        checked = index.verify(deep=True)
        table = index.table()
    held: dict[int, list[bytes]] = {}
    for uid, vector in zip(table.study_instance_uids, table.vectors, strict=True):
        held.setdefault(int(uid.removeprefix("2.25.")), []).append(vector.tobytes())
    found = {}
    for study, vectors in held.items():
        whole = [one for one in "ab" if [row.tobytes() for row in vectors_of(study, one)] == vectors]
        found[study] = whole[0] if whole else f"{len(vectors)} vectors of another kind"
    say(json.dumps([list(checked.problems), list(found.items()), checked.without_checksum]))


def expected(held: Contents, ledger: list[str]) -> list[Contents]:
    """What a home may hold after the steps of a ledger: the last may be done or not, but never in part."""
    held = dict(held)
    allowed = [held]
    for line in ledger:
        state, kind, study, version = line.split()
        changed = dict(held)
        if kind in ("add", "replace"):
            changed[int(study)] = version
        elif kind == "forget":
            changed.pop(int(study), None)
        if state == "done":
            held = changed
            allowed = [held]
        else:
            allowed = [held, changed]
    return allowed


def fill(home: Path, url: str | None, _say: Callable[[str], None]) -> None:
    with CaseIndex.open(home, database_url=url) as index:
        index.activate(SPACE)
        for study in KEPT:
            index.add([make_bundle(study, IMAGES)], vectors_of(study, "a"))


def main(home: Path, kills: int, seed: int, url: str | None) -> dict[str, Any]:
    draw = random.Random(seed)
    failures = [line for line in Child(partial(fill, home, url)).rest() if "failed" in line]
    held: Contents = dict.fromkeys(KEPT, "a")
    stop = home.with_name(f"{home.name}.stop")
    readers = [Child(partial(read, home, url, n, stop)) for n in range(2)]
    steps: Counter[str] = Counter()
    for kill in range(1, kills + 1):
        writer = Child(partial(write, home, url, held, kill))
        ledger = [writer.line() for _ in range(draw.randint(1, 12))]
        time.sleep(draw.random() * draw.choice((0.001, 0.01, 0.1)))
        writer.kill()
        ledger += writer.rest()
        failures += [line for line in ledger if line.startswith("failed")]
        ledger = [line for line in ledger if line.startswith(("begin", "done"))]
        steps.update(line.split()[1] for line in ledger if line.startswith("done"))
        if ledger and ledger[-1].startswith("begin"):
            steps["killed in " + ledger[-1].split()[1]] += 1
        answer = Child(partial(look, home, url)).rest()
        if not answer or answer[-1].startswith("failed"):
            failures.append(f"kill {kill} (seed {seed}): {answer}")
            break
        problems, pairs, without = json.loads(answer[-1])
        found = {int(study): version for study, version in pairs}
        if problems or without or found not in expected(held, ledger):
            failures.append(f"kill {kill} (seed {seed}): {problems} {ledger[-1:]} {found}")
        held = found
    stop.touch()
    said = [line for reader in readers for line in reader.rest()]
    failures += [line for line in said if line.startswith("failed")]
    told, searches = Counter[str](), 0
    for line in said:
        if line.startswith("told "):
            count, codes = json.loads(line.removeprefix("told "))
            told.update(codes)
            searches += count
    failures += [f"readers were told {code}" for code in set(told) - RETRY]
    return {"failures": failures, "kills": kills, "searches": searches, "told": told, "steps": steps}


if __name__ == "__main__":
    place, number, first, *server = sys.argv[1:]
    print(json.dumps(main(Path(place), int(number), int(first), server[0] if server else None)))
