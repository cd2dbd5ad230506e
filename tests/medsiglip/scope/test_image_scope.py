"""The scope of images against scikit-learn's neighbours, and its false alarms over new archives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom
from sklearn.neighbors import NearestNeighbors

from medsiglip.scope.image_scope import ImageScope, median_p_value
from medsiglip.scope.outlier_p_values import FALSE_ALARM

Vectors = npt.NDArray[np.float32]
DIMENSION = 12


def unit(vectors: npt.NDArray[np.floating]) -> Vectors:
    shorter: Vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return shorter


class Archive:
    """Patients of two kinds, one tight and one loose, each with one to six images around its own middle."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.middles = unit(np.random.default_rng(7).normal(size=(2, DIMENSION)))

    def patient(self) -> Vectors:
        kind = int(self.draw.integers(2))
        spread = (0.05, 0.25)[kind]
        middle = self.middles[kind] + spread * self.draw.normal(size=DIMENSION)
        return unit(middle + 0.5 * spread * self.draw.normal(size=(self.draw.integers(1, 7), DIMENSION)))

    def scope(self, patients: int) -> ImageScope | None:
        images = [self.patient() for _ in range(patients)]
        keys = [f"patient-{i}" for i, theirs in enumerate(images) for _ in theirs]
        return ImageScope.of(np.concatenate(images), keys)


def test_distances_are_those_of_scikit_learn() -> None:
    scope = Archive(3).scope(40)
    assert scope is not None
    for number in range(40):
        theirs = scope.patients == number
        others = NearestNeighbors(n_neighbors=1, metric="cosine").fit(scope.vectors[~theirs])
        expected = others.kneighbors(scope.vectors[theirs])[0][:, 0]
        np.testing.assert_allclose(scope.nearest[theirs], expected, atol=1e-6)
    assert len(scope.usual) == 40


@pytest.mark.parametrize("patients", [19, 60, 120])
def test_false_alarms_are_as_rare_as_stated(patients: int) -> None:
    """One image of a new patient of each of many new archives. The nearest image's own distance may be to the
    patient who is left out, which a new patient's cannot: that is not seen within the sampling error.
    """
    archives = 250
    alarms = 0
    for seed in range(archives):
        archive = Archive(1000 * patients + seed)
        scope = archive.scope(patients)
        assert scope is not None
        alarms += int(scope.p_values(archive.patient()[:1])[0] <= FALSE_ALARM)
    assert alarms <= binom.ppf(1 - 1e-4, archives, FALSE_ALARM)


def test_what_is_elsewhere_is_told_also_beside_a_loose_kind() -> None:
    archive = Archive(5)
    scope = archive.scope(80)
    assert scope is not None
    elsewhere = unit(np.random.default_rng(9).normal(size=(200, DIMENSION)))
    assert (scope.p_values(elsewhere) <= FALSE_ALARM).mean() > 0.85
    steps = 0.6 * unit(np.random.default_rng(4).normal(size=(100, DIMENSION)))
    beside_tight, beside_loose = (scope.p_values(unit(middle + steps)) for middle in archive.middles)
    assert np.median(beside_tight) < 0.5 * np.median(beside_loose)


def test_a_patient_s_own_images_do_not_count() -> None:
    draw = np.random.default_rng(6)
    alone = unit(draw.normal(size=(2, DIMENSION)))
    usual = unit(np.eye(DIMENSION)[0] + 0.1 * draw.normal(size=(40, DIMENSION)))
    scope = ImageScope.of(np.concatenate([usual, alone[:1], alone[:1]]), [*map(str, range(40)), "own", "own"])
    assert scope is not None
    assert scope.p_values(alone[:1])[0] > FALSE_ALARM
    assert scope.p_values(alone[:1], "own")[0] <= FALSE_ALARM
    assert scope.p_values(alone[:1], "nobody")[0] > FALSE_ALARM


def test_of_few_patients_nothing_is_said() -> None:
    assert Archive(8).scope(18) is None
    assert ImageScope.of(np.empty((0, DIMENSION), np.float32), []) is None


def test_copies_are_usual() -> None:
    copies = np.repeat(unit(np.ones((1, DIMENSION))), 50, axis=0)
    scope = ImageScope.of(copies, [str(i) for i in range(50)])
    assert scope is not None
    assert scope.p_values(copies[:1])[0] == 1.0


def test_several_images_have_the_p_value_of_the_middle_one() -> None:
    assert [median_p_value(v) for v in ([0.3], [0.9, 0.01], [0.5, 0.01, 0.02])] == [0.3, 0.01, 0.02]
