"""Cases added to the index, rows of metadata per second, against `sqlite3.executemany` of the same rows.

The peer has the rows ready as SQLite stores them, and the same tables, constraints, indexes and pragmas; ours
builds them from records, looks for those that are there already, and writes a shard of small vectors.
"""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.measure import Outcome
from benchmarks.search.search_over_http import IMAGES_EACH, bundle
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Space

TITLE = "sqlite3.executemany ÷ ours, seconds for the same rows of metadata, 1,000 studies of ten images"
GOAL = 0.6
GUARD = "the same rows in every table, no foreign key broken"
STUDIES, EACH, DIMENSION = 1000, 500, 8
TABLES = ("patients", "studies", "series", "instances", "shards", "images", "files")
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
Rows = dict[str, list[tuple[object, ...]]]


def measure(folder: Path, rounds: int) -> Outcome:
    empty = folder / "empty"
    with CaseIndex.open(empty) as index:
        index.activate(Space("c1u57e2ed000", "none", DIMENSION, "random"))
    bundles = [bundle(study) for study in range(STUDIES)]
    draw = np.random.default_rng(1)
    vectors = draw.standard_normal((STUDIES * IMAGES_EACH, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ours, peer = [], []
    for number in range(rounds + 1):
        home = shutil.copytree(empty, folder / f"home{number}")
        with CaseIndex.open(home) as index:
            index.space  # noqa: B018 - the connection is open before the clock starts
            begun = time.perf_counter()
            for low in range(0, STUDIES, EACH):
                few = slice(low * IMAGES_EACH, (low + EACH) * IMAGES_EACH)
                index.add(bundles[low : low + EACH], vectors[few])
            ours.append(time.perf_counter() - begun)
        expected = _rows(home / "catalog.db")
        copy = shutil.copytree(empty, folder / f"peer{number}") / "catalog.db"
        peer.append(_insert(copy, expected))
        if _rows(copy) != expected or len(expected["images"]) != len(vectors):
            return Outcome(TITLE, GOAL, GUARD, len(vectors), failure="other rows")
    count = sum(map(len, expected.values()))
    return Outcome(TITLE, GOAL, GUARD, count, ours[1:], peer[1:])


def _insert(file: Path, rows: Rows) -> float:
    """Insert the rows in as many transactions as ours; returns the seconds."""
    steps = STUDIES // EACH
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        begun = time.perf_counter()
        for step in range(steps):
            connection.execute("BEGIN IMMEDIATE")
            for table, content in rows.items():
                size = len(content) // steps
                marks = ", ".join("?" * len(content[0]))
                few = content[step * size : (step + 1) * size]
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", few)
            connection.execute("COMMIT")
        ended = time.perf_counter()
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise ValueError("foreign keys are broken")
    return ended - begun


def _rows(file: Path) -> Rows:
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in TABLES
        }
