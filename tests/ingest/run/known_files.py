"""A home that knows many files, made row by row, and a second run over them in a process of its own.

`python -m tests.ingest.run.known_files HOME FILES OPTIONS` ingests the first FILES of them, and prints what
the report counted and the most resident memory that the process had, in bytes. OPTIONS is a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Table, select

from medsiglip.checkpoint import Checkpoint
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.rows import insert_columns, reserve_ids
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    files,
    images,
    instances,
    patients,
    series,
    shards,
    studies,
)
from medsiglip.index.records import Space
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.privacy.deidentify import Phi, bound_key
from medsiglip.ingest.run import triage
from medsiglip.ingest.run.pipeline import ingest
from medsiglip.ingest.run.report_file import write_report
from medsiglip.ingest.run.run_details import RunDetails
from tests.repository import ROOT

PER_SERIES, SERIES_PER_STUDY = 25, 2
TOGETHER = 20_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Model:
    """What an ingest asks of a checkpoint."""

    name: str = "test"
    hash: str = "ab" * 32
    dimension: int = 16
    image_size: int = 32


def known() -> Iterator[tuple[int, str]]:
    """The instance and the path of each file, without an end: every fifth instance has a second file."""
    instance = 0
    while True:
        study, number = divmod(instance, SERIES_PER_STUDY * PER_SERIES)
        folder = f"/archive/{study:08d}/1.2.826.0.1.3680043.8.498.{study:012d}/series-{number // PER_SERIES}"
        for copy in range(1 + (instance % 5 == 0)):
            yield instance, f"{folder}/{number:04d}-{copy}.dcm"
        instance += 1


def images_of(instance: int) -> int:
    return 1 + (instance % 3 == 0)


def expected(count: int) -> dict[str, int]:
    """What a run over so many files has to count, by going through them."""
    held = {instance for instance, _ in islice(known(), count)}
    return {
        "files": count,
        "files_embedded": 0,
        "files_unchanged": count,
        "studies": len({instance // (SERIES_PER_STUDY * PER_SERIES) for instance in held}),
        "series": len({instance // PER_SERIES for instance in held}),
        "instances": len(held),
        "images": sum(map(images_of, held)),
        "embedded": 0,
        "unchanged": sum(map(images_of, held)),
    }


def make_home(home: Path, count: int, database_url: str | None = None, phi: Phi = "pseudonymous") -> None:
    """A home with the rows of so many files, and without their vectors, which an ingest does not read."""
    space = Space(Model.hash, "medsiglip-eval", Model.dimension, Model.name)
    with CaseIndex.open(home, database_url=database_url) as index:
        index.activate(space)
        key = bound_key(index, phi)
        with index._database.write() as connection:
            rows = Rows(connection, key.moment)
            [patient] = rows.put(patients, 1, patient_key=["p"])
            spaces = [int(connection.execute(select(ACTIVE_SPACE)).scalar_one())]
            [shard] = rows.put(shards, 1, space_id=spaces, name=["none"], rows=[0], dtype=["float32"])
        found, left, rows.done = known(), count, -1
        while together := list(islice(found, min(TOGETHER, left))):
            left -= len(together)
            with index._database.write() as connection:
                rows.connection = connection
                rows.put_files(
                    together, [index.files._paths.stored(path) for _, path in together], patient, shard
                )


class Rows:
    """Fills the tables of cases; ids of what was put before are known by its number."""

    def __init__(self, connection: Connection, moment: Callable[[int], int]) -> None:
        self.connection = connection
        self._moment = moment
        self.done = -1
        self._ids: dict[str, dict[int, int]] = {"studies": {}, "series": {}, "instances": {}}

    def put(self, table: Table, count: int, **columns: Sequence[Any]) -> range:
        ids = reserve_ids(self.connection, count)
        if count:
            insert_columns(self.connection, table, {"id": ids, **columns})
        return ids

    def put_files(
        self, found: Sequence[tuple[int, str]], stored: Sequence[str], patient: int, shard: int
    ) -> None:
        new = sorted({instance for instance, _ in found if instance > self.done})
        in_study = SERIES_PER_STUDY * PER_SERIES
        every = sorted({one // in_study for one in new} - self._ids["studies"].keys())
        n = len(every)
        text: dict[str, Sequence[Any]] = {
            "study_instance_uid": [f"2.25.{one}" for one in every],
            "added_at": [NOW] * n,
        }
        self._keep("studies", every, self.put(studies, n, patient_id=[patient] * n, **text))
        every = sorted({one // PER_SERIES for one in new} - self._ids["series"].keys())
        owners = [self._ids["studies"][one // SERIES_PER_STUDY] for one in every]
        text = {"series_instance_uid": [f"2.25.1.{one}" for one in every], "modality": ["CT"] * len(every)}
        self._keep("series", every, self.put(series, len(every), study_id=owners, **text))
        owners = [self._ids["series"][one // PER_SERIES] for one in new]
        text = {
            "sop_instance_uid": [f"2.25.2.{one}" for one in new],
            "pixel_hash": [f"blake3:{one:064x}" for one in new],
        }
        self._keep("instances", new, self.put(instances, len(new), series_id=owners, **text))
        drawn = [(one, frame) for one in new for frame in range(1, 1 + images_of(one))]
        n = len(drawn)
        self.put(
            images,
            n,
            space_id=[int(self.connection.execute(select(ACTIVE_SPACE)).scalar_one())] * n,
            instance_id=[self._ids["instances"][one] for one, _ in drawn],
            series_id=[self._ids["series"][one // PER_SERIES] for one, _ in drawn],
            study_id=[self._ids["studies"][one // in_study] for one, _ in drawn],
            shard_id=[shard] * n,
            frame=[frame for _, frame in drawn],
            rendering=["voi"] * n,
            rendering_params=[{}] * n,
            warnings=[[]] * n,
            quality=[{}] * n,
        )
        self.put(
            files,
            len(found),
            path=stored,
            size=[1000 + one for one, _ in found],
            mtime_ns=[self._moment(one) for one, _ in found],
            outcome=["embedded"] * len(found),
            sop_instance_uid=[f"2.25.2.{one}" for one, _ in found],
            pixel_hash=[f"blake3:{one:064x}" for one, _ in found],
            instance_id=[self._ids["instances"][one] for one, _ in found],
        )
        self.done = max(self.done, found[-1][0])
        last = self.done
        for name, size in (("studies", in_study), ("series", PER_SERIES), ("instances", 1)):
            self._ids[name] = {one: row for one, row in self._ids[name].items() if one >= last // size}

    def _keep(self, name: str, numbers: Sequence[int], ids: range) -> None:
        self._ids[name].update(zip(numbers, ids, strict=True))


def run_again(home: Path, count: int, **options: object) -> dict[str, Any]:
    """What the process of this module printed: the `report`, and `memory` in bytes."""
    command = [
        sys.executable,
        "-m",
        "tests.ingest.run.known_files",
        str(home),
        str(count),
        json.dumps(options),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def main(home: Path, count: int, database_url: str | None = None, report: str | None = None) -> None:
    """Ingest the first `count` files, found by a walk without a disk, and write a report file if asked."""

    def walk(*_: object) -> Iterator[FoundFile]:
        for instance, path in islice(known(), count):
            yield FoundFile(path, 1000 + instance, instance)

    def no_encoder() -> Any:
        raise AssertionError("nothing is new")

    vars(triage)["walk_files"] = walk
    details = RunDetails() if report else None
    with CaseIndex.open(home, database_url=database_url) as index:
        done = ingest(["/archive"], index, cast(Checkpoint, Model()), no_encoder, details=details)
    if report is not None and details is not None:
        write_report(Path(report), done, details)
    print(json.dumps({"report": done.to_json(), "memory": most_memory()}))


def most_memory() -> int:
    """The most resident memory of this process, in bytes. The `ru_maxrss` of a process begins with that of
    its parent.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    [peak] = [line for line in status if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), **json.loads(sys.argv[3]))
