"""How often 95 % intervals hold the value over new archives of the same size, and how wide they are.

`make coverage-test` goes through all settings, adds each to `benchmarks/results/interval-coverage.csv` as it
is done, and begins where it was stopped; remove the file to begin anew.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from medsiglip.figures.metrics import estimate_scores
from medsiglip.figures.retrieval import evaluate_retrieval
from tests.medsiglip.figures.coverage_simulation import (
    Coverage,
    Setting,
    retrieval_coverage,
    scores_coverage,
    settings,
)
from tests.repository import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "interval-coverage.csv"
GOAL = 0.93
Run = Callable[[Setting, int], list[Coverage]]


def allowed(replicates: int) -> float:
    """The share of covering intervals that a coverage of .93 falls below once in 10,000 times."""
    return float(binom.ppf(1e-4, replicates, GOAL)) / replicates


@pytest.mark.parametrize(
    "setting",
    [
        Setting(30, 3, 0.7, 0),
        Setting(30, 3, 0.99, 1),
        Setting(30, 15, 0.95, 4),
        Setting(60, 10, 0.9, 0, correlation=0.2),
        Setting(200, 5, 0.95, 1),
    ],
    ids=str,
)
def test_intervals_of_scores_cover(setting: Setting) -> None:
    for one in scores_coverage(setting, 300):
        assert one.covered >= allowed(300), one
        assert one.narrowest > 0, one


@pytest.mark.parametrize(
    "setting", [Setting(30, 5, 0.8, 0), Setting(30, 15, 0.95, 1), Setting(40, 10, 0.9, 0)], ids=str
)
def test_intervals_of_retrieval_cover(setting: Setting) -> None:
    for one in retrieval_coverage(setting, 150):
        assert one.covered >= allowed(150), one
        assert one.narrowest > 0, one


def test_intervals_are_no_wider_than_they_need_be() -> None:
    for setting in (Setting(60, 30, 0.8, 0), Setting(60, 15, 0.9, 4)):
        for one in scores_coverage(setting, 300):
            assert one.ratio <= 1.3, one


def test_the_simulation_asks_as_users_do() -> None:
    """Of archives that are simulated, `estimate_scores` gives the same intervals."""
    from medsiglip.figures.intervals import inverted, score_model, within_group_correlation

    setting = Setting(30, 8, 0.9, 0)
    codes = setting.codes()
    positive = codes < 8
    scores = np.random.default_rng(0).normal(size=codes.size) + positive
    estimates = estimate_scores(positive.astype(float), scores, codes.tolist())
    correlation = within_group_correlation(positive, scores, codes)
    areas = (estimates.auroc.value, estimates.auprc.value)
    found = inverted(score_model(positive, codes, correlation, 0.95, 0), areas)
    # Groups are numbered in the order of their names, 0, 1, 10, 11: other random numbers, the same model.
    assert estimates.auroc.interval == pytest.approx(found.auroc, abs=0.02)
    assert estimates.auprc.interval == pytest.approx(found.auprc, abs=0.03)


def test_a_perfect_figure_has_an_interval() -> None:
    labels, scores = np.repeat([1.0, 0.0], 10), np.repeat([1.0, 0.0], 10)
    estimates = estimate_scores(labels, scores, np.arange(20))
    assert estimates.auroc.interval[1] == 1.0
    assert 0.7 < estimates.auroc.interval[0] < 0.95
    assert 0.6 < estimates.auprc.interval[0] < 0.95
    vectors = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    report = evaluate_retrieval(vectors, list(range(20)), [{"a"}] * 10 + [{"b"}] * 10)
    assert report.overall.map == 1.0
    for name, (low, high) in report.overall.ci.items():
        # Of nine relevant cases, one in the first is a recall of 1/9: no archive of this size has more.
        assert high - low > (0.01 if name.startswith("recall") else 0.05)
        assert low < report.overall.recall_at[1] == high or name != "recall_at_1"


SIZES = {30: (2000, 1000), 60: (2000, 500), 200: (2000, 100)}
"""Replicates by number of patients, of scores and of retrieval, which takes a thousand times as long."""


def wanted() -> Iterator[tuple[str, Run, Setting, int]]:
    for setting in settings((30, 60, 200), (0.7, 0.8, 0.9, 0.95, 0.99), (1, 0)):
        yield "scores", scores_coverage, setting, SIZES[setting.patients][0]
    for setting in settings((30, 60, 200), (0.7, 0.9, 0.99), (0,)):
        yield "retrieval", retrieval_coverage, setting, SIZES[setting.patients][1]


@pytest.mark.campaign
def test_coverage_of_all_settings() -> None:
    """Writes the table; fails for a coverage below .93 of a figure that varies, beyond chance."""
    columns = ["kind", "replicates", *Setting.__slots__, *(one.name for one in fields(Coverage))]
    done = read_results(RESULTS)
    if not done:
        RESULTS.write_text(",".join(columns) + "\n", encoding="utf-8")
    for kind, run, setting, replicates in wanted():
        key = (kind, *(str(value) for value in asdict(setting).values()))
        if key in done:
            continue
        with RESULTS.open("a", encoding="utf-8", newline="") as file:
            for one in run(setting, replicates):
                rounded = [
                    f"{value:.4f}" if isinstance(value, float) else value for value in asdict(one).values()
                ]
                csv.writer(file).writerow([kind, replicates, *asdict(setting).values(), *rounded])
    missed = [
        row
        for rows in read_results(RESULTS).values()
        for row in rows
        if float(row["covered"]) < allowed(int(row["replicates"])) and math.isfinite(float(row["ratio"]))
    ]
    print(f"{len(missed)} figures are covered less often than {GOAL}, beyond chance")
    for row in missed:
        print(row)
    assert not missed


def read_results(path: Path) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """The rows of each setting."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = (row["kind"], *(row[name] for name in Setting.__slots__))
                found.setdefault(key, []).append(row)
    return found
