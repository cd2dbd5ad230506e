"""Calibration error against closed forms; its interval against populations whose error is known.

`make calibration-test` writes the coverage of all settings to `benchmarks/results/calibration-coverage.csv`.
"""

from __future__ import annotations

import csv
import zlib
from dataclasses import asdict, dataclass, fields

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr
from scipy.stats import binom

from medsiglip.errors import ModelError
from medsiglip.figures.calibration_error import calibration_error, equal_mass_bins
from tests.repository import ROOT

pytestmark = pytest.mark.long

RESULTS = ROOT / "benchmarks" / "results" / "calibration-coverage.csv"
GOAL = 0.93
REPLICATES = 200
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Setting:
    """Patients, the images of each, how their probabilities are spread (`wide`, `middle`, `rare`), and how
    they err: `none`, `shift` by an amount, `slope` of the logits, or `one` bin of ten by an amount.
    """

    patients: int
    images: int
    spread: str
    error: str
    size: float

    def probabilities(self, rng: np.random.Generator, patients: int, images: int) -> Floats:
        """Predictions of so many patients' images, half of whose variance is between patients."""
        normal = np.sqrt(0.5) * np.repeat(rng.standard_normal(patients), images)
        normal += np.sqrt(0.5) * rng.standard_normal(patients * images)
        scale, centre = {"wide": (2.0, 0.0), "middle": (0.7, 0.0), "rare": (1.2, -3.5)}[self.spread]
        return np.asarray(expit(scale * normal + centre))

    def rates(self, predicted: Floats, highest: float) -> Floats:
        """The true probability at each prediction; `highest` is the 90th percentile of all."""
        if self.error == "shift":
            return np.clip(predicted + self.size, 0, 1)
        if self.error == "slope":
            return np.asarray(expit(logit(predicted) * self.size))
        if self.error == "one":
            return np.where(predicted > highest, np.clip(predicted - self.size, 0, 1), predicted)
        return predicted


@dataclass(frozen=True, slots=True)
class Coverage:
    """The error of the population in its bins, the mean estimate, how often the interval holds the former,
    and its mean width.
    """

    target: float
    value: float
    uncorrected: float
    covered: float
    width: float


def simulated(setting: Setting, replicates: int) -> Coverage:
    rng = np.random.default_rng(zlib.crc32(repr(setting).encode()))
    many = setting.probabilities(rng, 100_000, 1)
    highest = float(np.quantile(many, 0.9))
    bins = int(np.clip(setting.patients // 20, 1, 10))
    errors = (setting.rates(many, highest) - many)[np.argsort(many)]
    target = sum(abs(float(part.sum())) for part in np.array_split(errors, bins)) / many.size
    codes = np.repeat(np.arange(setting.patients), setting.images)
    found = []
    for _ in range(replicates):
        predicted = setting.probabilities(rng, setting.patients, setting.images)
        shared = rng.standard_normal(setting.patients)[codes]
        chance = ndtr(np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal(codes.size))
        truth = (chance < setting.rates(predicted, highest)).astype(float)
        one = calibration_error(truth, predicted, codes)
        low, high = one.interval
        covers = low - 1e-9 <= target <= high + 1e-9
        found.append((one.value, one.uncorrected, float(covers), high - low))
    return Coverage(target, *np.mean(found, axis=0).tolist())


@pytest.mark.parametrize(
    "setting",
    [
        Setting(40, 1, "middle", "shift", 0.1),
        Setting(100, 1, "wide", "none", 0.0),
        Setting(100, 1, "wide", "one", 0.3),
        Setting(60, 4, "rare", "none", 0.0),
        Setting(300, 4, "wide", "slope", 0.6),
    ],
    ids=str,
)
def test_intervals_of_calibration_errors_cover(setting: Setting) -> None:
    one = simulated(setting, 60)
    assert one.covered >= float(binom.ppf(1e-4, 60, GOAL)) / 60, one
    assert abs(one.value - one.target) < abs(one.uncorrected - one.target), one


def test_the_correction_takes_away_bias_where_nothing_errs() -> None:
    one = simulated(Setting(400, 1, "wide", "none", 0.0), 40)
    assert one.value < 0.65 * one.uncorrected


def test_a_known_error_is_found() -> None:
    rng = np.random.default_rng(3)
    predicted = rng.uniform(0.2, 0.8, 20_000)
    truth = (rng.uniform(size=20_000) < predicted + 0.1).astype(float)
    found = calibration_error(truth, predicted, np.arange(20_000))
    assert found.value == pytest.approx(0.1, abs=0.012)
    assert found.interval[0] < 0.1 < found.interval[1] < 0.13
    by_hand = sum(
        abs(truth[part].sum() - predicted[part].sum()) for part in np.array_split(np.argsort(predicted), 10)
    )
    assert found.uncorrected == pytest.approx(by_hand / 20_000, abs=1e-12)
    assert [one.n for one in found.bins] == [2_000] * 10
    for one in found.bins:
        assert one.low <= one.predicted <= one.high
        assert one.interval[0] < one.observed < one.interval[1]


def test_images_of_one_patient_are_not_counted_as_patients() -> None:
    rng = np.random.default_rng(4)
    predicted, truth = rng.uniform(size=100), rng.integers(0, 2, 100).astype(float)
    alone = calibration_error(truth, predicted, np.arange(100))
    repeated = calibration_error(np.repeat(truth, 5), np.repeat(predicted, 5), np.repeat(np.arange(100), 5))
    assert repeated.uncorrected == pytest.approx(alone.uncorrected)
    width = alone.interval[1] - alone.interval[0]
    assert repeated.interval[1] - repeated.interval[0] == pytest.approx(width, rel=0.2)
    assert repeated.groups == 100
    assert repeated.n == 500


def test_cases_without_any_error_have_an_interval() -> None:
    truth = np.tile([0.0, 1.0], 100)
    found = calibration_error(truth, np.where(truth == 1, 0.9999, 0.0001), np.arange(200))
    assert found.value < 0.001
    assert found.interval[1] > 0.01


def test_equal_probabilities_stay_in_one_bin() -> None:
    predicted = np.repeat([0.1, 0.4, 0.9], [70, 20, 10])
    places = equal_mass_bins(predicted, 5)
    assert [np.unique(places[predicted == one]).size for one in (0.1, 0.4, 0.9)] == [1, 1, 1]
    spread = equal_mass_bins(np.random.default_rng(0).permutation(100) / 100, 5)
    assert np.bincount(spread).tolist() == [20] * 5


def test_unknown_labels_are_left_out_and_few_patients_have_no_figure() -> None:
    rng = np.random.default_rng(5)
    predicted, truth = rng.uniform(size=60), rng.integers(0, 2, 60).astype(float)
    truth[40:] = np.nan
    whole = calibration_error(truth, predicted, np.arange(60))
    assert whole == calibration_error(truth[:40], predicted[:40], np.arange(40))
    few = calibration_error(truth[:19], predicted[:19], np.arange(19))
    assert np.isnan(few.value)
    assert few.reason == "19 patients are too few for a calibration error; it takes 20"
    assert len(few.bins) == 1
    none = calibration_error([np.nan], [0.5], ["a"])
    assert none.reason == "no row has a label"


@pytest.mark.parametrize(
    ("truth", "predicted", "code"),
    [
        ([1.0, 0.0], [0.5], "shape-mismatch"),
        ([2.0], [0.5], "label-not-binary"),
        ([1.0], [float("nan")], "score-not-a-number"),
        ([1.0], [1.5], "score-not-a-number"),
    ],
)
def test_wrong_rows_are_refused(truth: list[float], predicted: list[float], code: str) -> None:
    with pytest.raises(ModelError) as refused:
        calibration_error(truth, predicted, range(len(truth)))
    assert refused.value.code == code


def test_each_row_has_a_patient() -> None:
    for groups in ([], ["a"], ["a", "b", "c"]):
        with pytest.raises(ModelError) as refused:
            calibration_error([1.0, 0.0], [0.5, 0.5], groups)
        assert refused.value.code == "shape-mismatch"


@pytest.mark.campaign
def test_coverage_of_all_settings() -> None:
    """Adds to the table what it lacks, setting by setting, and judges all of its rows."""
    errors = [("none", 0.0), ("shift", 0.03), ("shift", 0.1), ("slope", 0.6), ("one", 0.3)]
    settings = [
        Setting(patients, images, spread, *error)
        for patients, images in ((40, 1), (40, 4), (100, 1), (100, 4), (400, 1), (400, 4), (1500, 1))
        for spread in ("wide", "middle", "rare")
        for error in errors
    ]
    settings.sort(key=lambda one: zlib.crc32(repr(one).encode()))  # what is done first is of all kinds
    names = [one.name for kind in (Setting, Coverage) for one in fields(kind)]
    if not RESULTS.exists() or not RESULTS.stat().st_size:
        RESULTS.write_text(",".join(names) + "\n")
    done = {tuple(row[:5]) for row in csv.reader(RESULTS.read_text().splitlines())}
    for setting in settings:
        own = asdict(setting)
        if tuple(map(str, own.values())) not in done:
            found = {name: round(value, 4) for name, value in asdict(simulated(setting, REPLICATES)).items()}
            with RESULTS.open("a", newline="") as file:
                csv.DictWriter(file, names, lineterminator="\n").writerow(own | found)
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    least = float(binom.ppf(1e-4, REPLICATES, GOAL)) / REPLICATES
    assert not [row for row in rows if float(row["covered"]) < least]
