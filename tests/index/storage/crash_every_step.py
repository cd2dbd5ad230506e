"""Dies at every step of an operation in turn, opens the home again, and says what is wrong with it.

Run as a program, because it forks, and a process that has used OpenMP must not. A step is a statement or
commit of the database, an fsync, a rename or an unlink. Arguments: the operation, an empty folder, 1 for
every step or n for every n-th, and the URL of a PostgreSQL server if the catalogues are to lie there.
Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace as replace_fields
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import faiss
import numpy as np
import pyarrow.parquet
from sqlalchemy import Engine, create_engine, event

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import SeriesBundle
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

IMPORTED_BEFORE_THE_FORKS = (alembic.command, faiss, pyarrow.parquet)
STUDIES = 4
FORGOTTEN = "2.25.1"


def bundles(studies: range) -> list[SeriesBundle]:
    return [make_bundle(study, 3) for study in studies]


def first_add(opened: CaseIndex) -> None:
    opened.add(bundles(range(2)), unit_vectors(6, seed=1))
    opened.add(bundles(range(2, STUDIES)), unit_vectors(6, seed=2))


def add(opened: CaseIndex) -> None:
    opened.add(bundles(range(10, 12)), unit_vectors(6, seed=3))


def replace(opened: CaseIndex) -> None:
    opened.add([make_bundle(1, 2, pixels="b", replace_series=True)], unit_vectors(2, seed=4))


def redeliver(opened: CaseIndex) -> None:
    """The same series again, with an image drawn anew, one more, and one that is gone."""
    bundle = make_bundle(1, 4, replace_series=True)
    vectors = np.concatenate([unit_vectors(6, seed=1)[3:], unit_vectors(1, seed=5)])
    drawn = replace_fields(bundle.images[1], rendering_params={"limits": [0, 1]})
    images = (bundle.images[0], drawn, bundle.images[3])
    opened.add([replace_fields(bundle, images=images)], vectors[[0, 1, 3]])


def remove(opened: CaseIndex) -> None:
    if any(study.study_instance_uid == FORGOTTEN for study in opened.studies()):
        opened.remove_study(FORGOTTEN)


def compact(opened: CaseIndex) -> None:
    opened.compact()


def snapshot(opened: CaseIndex) -> None:
    opened.rebuild()


def create(opened: CaseIndex) -> None:
    """Opening is all; what a killed process could not delete goes as it does with any that writes."""
    opened.clean_up()


OPERATIONS: dict[str, Callable[[CaseIndex], None]] = {
    f.__name__: f for f in (add, replace, redeliver, remove, compact, snapshot, create)
}


def die_at(step: int) -> list[int]:
    """Count steps; die before the step of that number."""
    count = [0]

    def tick(*_: object, **__: object) -> None:
        count[0] += 1
        if count[0] == step:
            os._exit(9)

    for name in ("fsync", "replace", "unlink"):
        original = getattr(os, name)

        def stepping(*args: object, original: Callable[..., object] = original, **kwargs: object) -> object:
            tick()
            return original(*args, **kwargs)

        setattr(os, name, stepping)
    event.listen(Engine, "before_cursor_execute", tick)
    event.listen(Engine, "commit", tick)
    return count


def contents(opened: CaseIndex) -> dict[str, str]:
    """Every image by what it is, with its vector; and every file."""
    images = [one for study in opened.studies() for one in opened.images_of(study.study_instance_uid)]
    keys = [f"{one.sop_instance_uid} {one.pixel_hash} {one.frame} {one.rendering}" for one in images]
    assert len(set(keys)) == len(keys), "an image twice"
    vectors = list(opened.vectors([one.image_id for one in images])) if images else []
    found = {key: vector.tobytes().hex() for key, vector in zip(keys, vectors, strict=True)}
    for path, record in opened.files.by_path().items():
        found[path] = f"{record.outcome} {record.pixel_hash}"
    return found


def in_child(work: Callable[[], object]) -> tuple[int, Any]:
    """Run in a forked process; its exit code and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            answer = work()
            with os.fdopen(writing, "w") as stream:
                json.dump(answer, stream)
            code = 0
        except BaseException as error:
            traceback.print_exception(error)
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, json.loads(text) if text else None


SERVER = sys.argv[4] if len(sys.argv) > 4 else None


def url_of(home: Path) -> str | None:
    """The database of a home, by the name of its folder."""
    return SERVER and f"{SERVER}/crash_{home.name}"


def copy_home(template: Path, home: Path) -> None:
    """A home with what another holds; an empty one if that is not there."""
    if template.exists():
        shutil.copytree(template, home)
    if SERVER:
        on_server(f"CREATE DATABASE crash_{home.name} TEMPLATE crash_{template.name}")


def remove_home(home: Path) -> None:
    shutil.rmtree(home)
    if SERVER:
        on_server(f"DROP DATABASE crash_{home.name} WITH (FORCE)")


def on_server(statement: str) -> None:
    engine = create_engine(f"{SERVER}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def make_home(home: Path, filled: bool) -> None:
    if filled:
        with CaseIndex.open(home, database_url=url_of(home)) as opened:
            opened.activate(SPACE)
            first_add(opened)
            opened.rebuild()


def run(home: Path, operation: Callable[[CaseIndex], None], step: int) -> int:
    count = die_at(step)
    with CaseIndex.open(home, database_url=url_of(home)) as opened:
        operation(opened)
    return count[0]


def look(home: Path, operation: Callable[[CaseIndex], None]) -> dict[str, Any]:
    """What a home holds after an operation; `left` names files that still hold the forgotten vectors."""
    with CaseIndex.open(home, database_url=url_of(home)) as opened:
        operation(opened)
        checked = opened.verify()
        held = contents(opened)
    secret = unit_vectors(6, seed=1)[3].astype("float32").tobytes()
    files = [path for path in home.rglob("*") if path.is_file()]
    left = [path.name for path in files if secret in path.read_bytes()]
    return {"problems": list(checked.problems), "contents": held, "left": left}


def look_twice(home: Path, operation: Callable[[CaseIndex], None]) -> tuple[dict[str, Any], dict[str, Any]]:
    return look(home, create), look(home, operation)


def main(name: str, work: Path, every: int) -> None:
    operation = OPERATIONS[name]
    template = work / "template"
    if SERVER:
        on_server("CREATE DATABASE crash_template")
    in_child(lambda: make_home(template, name != "create"))
    before, after = work / "before", work / "after"
    for home in (before, after):
        copy_home(template, home)
    _, start = in_child(lambda: look(before, create))
    _, steps = in_child(lambda: run(after, operation, -1))
    _, end = in_child(lambda: look(after, create))
    allowed = [start["contents"], end["contents"]]
    assert start["left"] or name == "create", "the secret must be findable at first"
    failures = []
    for step in range(1, steps + 1, every):
        home = work / f"step{step}"
        copy_home(template, home)
        code, _ = in_child(partial(run, home, operation, step))
        code_open, looks = in_child(partial(look_twice, home, operation))
        if code != 9 or code_open or looks is None:
            failures.append(f"step {step}: exit {code}, opening again {code_open}")
            continue
        found, again = looks
        if found["problems"] or found["contents"] not in allowed:
            failures.append(f"step {step}: {found['problems']}, {len(found['contents'])} entries")
        if name == "remove" and found["contents"] == end["contents"] and found["left"]:
            failures.append(f"step {step}: vectors left in {found['left']}")
        if again["problems"] or again["contents"] != end["contents"]:
            failures.append(f"step {step}: the second attempt gives {again['problems']}")
        remove_home(home)
    if SERVER:
        for home in (template, before, after):
            on_server(f"DROP DATABASE crash_{home.name} WITH (FORCE)")
    print(json.dumps({"steps": steps, "entries": len(end["contents"]), "failures": failures}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
