"""A run over files that the index knows: right counts, and memory that does not grow with them.

`make known-files-test` is the run over a million, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.ingest.run.known_files import expected, known, make_home, run_again

FEW, MANY, MILLION = 20_000, 40_000, 1_000_000
# A record of each file took 1.6 KB.
MOST_A_FILE, MOST = 400, 600e6


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("known") / "home"
    make_home(home, MANY)
    return home


def test_memory_does_not_grow_with_the_files_that_are_known(home: Path) -> None:
    few, many = run_again(home, FEW), run_again(home, MANY)
    for count, found in ((FEW, few), (MANY, many)):
        assert {name: found["report"][name] for name in expected(count)} == expected(count)
    assert many["memory"] - few["memory"] < MOST_A_FILE * (MANY - FEW)


@pytest.mark.long
def test_a_report_file_of_known_files_is_as_long_and_takes_no_more_memory(home: Path, tmp_path: Path) -> None:
    few, many = (run_again(home, n, report=str(tmp_path / f"{n}.csv")) for n in (FEW, MANY))
    assert many["memory"] - few["memory"] < MOST_A_FILE * (MANY - FEW)
    with open(tmp_path / f"{MANY}.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["path"] for line in lines] == sorted(path for _, path in islice(known(), MANY))
    assert {(line["outcome"], line["modality"]) for line in lines} == {("unchanged", "CT")}


@pytest.mark.campaign
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_million_known_files(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    url = None
    if database == "postgresql":
        new_database: Callable[[], str] = request.getfixturevalue("new_database")
        url = new_database()
    make_home(tmp_path / "home", MILLION, url)
    found = run_again(tmp_path / "home", MILLION, database_url=url)
    print(f"{database}: {found['memory'] / 1e6:.0f} MB, {found['report']['seconds']:.0f} s")
    assert {name: found["report"][name] for name in expected(MILLION)} == expected(MILLION)
    assert found["memory"] < MOST
