"""The model of capacity: known answers, properties, and the page that is made of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.capacity import ingest_workers
from benchmarks.capacity.__main__ import PAGE
from benchmarks.capacity.model import (
    Fleet,
    IngestDemands,
    Rates,
    bottleneck,
    ingest_seconds,
    nodes_for,
    stage_hours,
    storage,
)
from benchmarks.capacity.page import capacity_page
from benchmarks.capacity.rates import measured_rates
from benchmarks.results_file import RESULTS

ROUND = Rates(
    scan_s=0.001,
    render_s=0.009,
    encode_core_s=10.0,
    encode_gpu_s=0.002,
    insert_s=0.0001,
    shard_bytes_per_s=460_800.0,
    catalogue_bytes=1000.0,
    snapshot_bytes=5000.0,
    search_ms_per_million=300.0,
)


def test_bytes_are_those_of_the_table_of_arithmetic() -> None:
    """As worked out by hand for 1,152 values: 4.6 GB, 4.8 GB of HNSW, .15 GB of RaBitQ a million."""
    found = storage(10**6, ROUND)
    assert found.vectors == 4.608e9
    assert found.hnsw_memory == pytest.approx(4.8e9, rel=0.02)
    assert found.rabitq_memory == pytest.approx(0.15e9, rel=0.02)
    assert found.catalogue == 1e9
    assert found.snapshot == 5e9


def test_hours_by_hand() -> None:
    hours = stage_hours(3_600_000, Fleet(2, 5, 1), ROUND)
    assert hours == pytest.approx({"cores": 1.0, "database": 0.1, "disks": 5.0, "GPUs": 1.0})
    name, longest = bottleneck(hours)
    assert name == "disks"
    assert longest == pytest.approx(5.0)
    without = stage_hours(3_600_000, Fleet(2, 5), ROUND)
    assert without["cores"] == pytest.approx(1001.0)
    assert "GPUs" not in without


@given(st.integers(1, 10**10), st.integers(1, 1000), st.integers(1, 128), st.integers(0, 8))
def test_more_machines_never_take_longer_and_the_database_is_one(
    images: int, nodes: int, cores: int, gpus: int
) -> None:
    few = stage_hours(images, Fleet(nodes, cores, gpus), ROUND)
    many = stage_hours(images, Fleet(2 * nodes, cores, gpus), ROUND)
    for name in few:
        assert many[name] == pytest.approx(few[name] if name == "database" else few[name] / 2)


@given(st.integers(1, 10**10), st.floats(0.1, 10_000), st.integers(1, 64), st.integers(0, 4))
def test_so_many_nodes_suffice_and_one_fewer_do_not(
    images: int, within: float, cores: int, gpus: int
) -> None:
    nodes = nodes_for(images, within, Fleet(1, cores, gpus), ROUND)
    if nodes is None:
        assert stage_hours(images, Fleet(10**6, cores, gpus), ROUND)["database"] > within
        return
    assert bottleneck(stage_hours(images, Fleet(nodes, cores, gpus), ROUND))[1] <= within * (1 + 1e-9)
    if nodes > 1:
        fewer = stage_hours(images, Fleet(nodes - 1, cores, gpus), ROUND)
        assert bottleneck(fewer)[1] > within * (1 - 1e-9)


@given(
    st.integers(1, 10_000),
    st.integers(1, 64),
    st.integers(1, 64),
    st.floats(0, 10),
    st.floats(1e-4, 1),
    st.floats(1e-4, 1),
)
def test_an_ingest_is_bounded_by_every_resource(
    images: int, workers: int, cores: int, start: float, worker: float, parent: float
) -> None:
    found = ingest_seconds(images, workers, cores, IngestDemands(start, worker, parent)) - start
    slack = 1 - 1e-9
    assert found >= images * parent * slack
    assert found * workers >= images * worker * slack
    assert found * cores >= images * (worker + parent) * slack
    alone = ingest_seconds(images, 1, 1, IngestDemands(0, worker, parent))
    assert alone == pytest.approx(images * (worker + parent))


def test_rates_are_those_of_the_stored_results() -> None:
    rates, sources = measured_rates(RESULTS)
    stored = json.loads((RESULTS / "amd-epyc-2-cores.json").read_text())["ratios"]
    assert 1 / rates.scan_s == pytest.approx(stored["A4"]["items"] / stored["A4"]["ours_seconds"])
    assert 1 / rates.render_s == pytest.approx(stored["A1"]["items"] / stored["A1"]["ours_seconds"])
    assert rates.shard_bytes_per_s == pytest.approx(65536 * 4608 / stored["A20"]["ours_seconds"])
    assert all(value > 0 for value in dataclasses.astuple(rates))
    assert {one.source for one in sources} >= {"A1", "A4", "A20"}
    assert not next(one for one in sources if "H100" in one.what).is_measured


def test_the_page_is_the_one_that_is_made_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == capacity_page(RESULTS), "run `make capacity`"


@pytest.mark.long
def test_a_comparison_with_runs_has_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_workers, "WORKERS", (1,))
    monkeypatch.setattr(ingest_workers, "FEW", 2)
    monkeypatch.setattr(ingest_workers, "SIZE", 64)
    found = ingest_workers.measure(tmp_path, 6, 1)
    (run,) = found["runs"]
    assert run["workers"] == 1
    assert run["seconds"] > 0
    assert run["predicted_seconds"] >= run["start_seconds"]
    assert found["worker_seconds_per_image"] > 0
    assert found["parent_seconds_per_image"] >= 0
    assert found["catalogue_bytes_per_image"] >= 0
