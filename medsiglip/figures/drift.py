"""Whether two groups of patients look alike to the model: two tests of which chance is known exactly.

* A classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017): if nothing tells the groups apart, a
  classifier judged on patients that it has not seen has an AUROC of about a half. The classifier is ridge
  regression on the patients' vectors, out of fold; its predictions are linear in what is learned, so that all
  permutations cost one product of matrices.
* The energy distance (Székely and Rizzo, Journal of Statistical Planning and Inference 143, 2013): twice the
  mean distance between patients of the two groups, less the mean distances within each. It also sees what
  no plane separates, such as a wider spread.

Each patient is one point, the mean direction of as many vectors, drawn at random, as every patient has: a
mean of more is nearer to the middle, so that groups with more and fewer cases of a patient would be told
apart by that alone. P-values come from permutations of whole patients, (1 + as extreme) / (1 + permutations),
so that under no difference one of at most p is as rare as p says, whatever the distribution (Phipson and
Smyth 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.intervals import Interval
from medsiglip.figures.metrics import estimate_scores, group_codes
from medsiglip.numerics import Floats, Integers, unit_vectors

FEWEST_PATIENTS = 5
"""Of each group; with five on either side, the least possible p-value of 252 splits is .004."""
MOST_PATIENTS = 1500
"""Of each group; of more, so many are drawn at random."""
_FOLDS = 5
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class GroupDifference:
    """How far two groups of patients are apart.

    `auroc` is that of the classifier, from its `scores` [g] of the patients that it looked at, of whom some
    are `current` [g], and `energy` the energy distance as a share of what it could be (the coefficient of
    inhomogeneity, 0 to 1); each with its p-value. `apart` [n] says of each row how much farther it is, on
    average, from the patients of the other group than from the others of its own. `patients` counts those of
    the reference and of the current group, `both` those who were in both and so in neither, and `drawn` how
    many of each the tests looked at.
    """

    auroc: float
    auroc_p: float
    energy: float
    energy_p: float
    apart: Floats
    scores: Floats
    current: Bools
    patients: tuple[int, int]
    both: int
    drawn: tuple[int, int]
    permutations: int

    def auroc_interval(self) -> Interval:
        """The 95 % interval of the AUROC, patients being the units."""
        patients = range(len(self.scores))
        return estimate_scores(self.current, self.scores, patients).auroc.interval


def group_difference(
    vectors: npt.NDArray[np.floating[Any]],
    current: npt.ArrayLike,
    groups: Sequence[object],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> GroupDifference:
    """Compare the rows [n] that are `current` with the others, the reference, by their unit-length vectors
    [n, d] and the patients `groups` [n]; `apart` is NaN for the rows of patients in both.

    Raises ModelError "shape-mismatch", and "too-few-patients" below `FEWEST_PATIENTS` in one group.
    """
    rows, now = np.asarray(vectors, np.float64), np.asarray(current, bool)
    if rows.ndim != 2 or not len(rows) == len(now) == len(groups):
        raise ModelError("shape-mismatch", "Give a vector, a group and a patient for each row.")
    codes = group_codes(groups)
    count = int(codes.max(initial=-1)) + 1
    times = np.bincount(codes, minlength=count)
    shares = np.bincount(codes, weights=now, minlength=count) / np.maximum(times, 1)
    both = (shares > 0) & (shares < 1)
    sides = [np.flatnonzero(~both & (shares == side)) for side in (0, 1)]
    if min(map(len, sides)) < FEWEST_PATIENTS:
        raise ModelError(
            "too-few-patients",
            f"{len(sides[0])} patients are in the reference alone and {len(sides[1])} in the current group "
            f"alone: a comparison needs at least {FEWEST_PATIENTS} of each; {int(both.sum())} are in both.",
        )
    rng = np.random.default_rng(seed)
    drawn = [
        side if len(side) <= MOST_PATIENTS else np.sort(rng.choice(side, MOST_PATIENTS, replace=False))
        for side in sides
    ]
    fewest = int(times[~both].min())
    alone = np.flatnonzero(~both[codes])
    equal = alone[_drawn_rows(codes[alone], fewest, np.random.default_rng([seed, 1]))]
    points = _patient_points(rows[equal], codes[equal], count)
    order = np.concatenate(drawn)
    labels = np.repeat([0.0, 1.0], [len(side) for side in drawn])
    permuted = np.stack([labels, *(rng.permutation(labels) for _ in range(permutations))])
    found = points[order]
    auroc, scores = _separations(found, permuted, rng)
    distances = _distances(found, found)
    energy = _energies(distances, permuted)
    return GroupDifference(
        float(auroc[0]),
        _p_value(auroc),
        float(energy[0]),
        _p_value(energy),
        _apart(rows, codes, both, now, _patient_points(rows, codes, count)[order], labels, order),
        scores,
        labels > 0,
        (len(sides[0]), len(sides[1])),
        int(both.sum()),
        (len(drawn[0]), len(drawn[1])),
        permutations,
    )


def _p_value(statistics: Floats) -> float:
    """Of the first of them, which is as extreme as itself."""
    return float((statistics >= statistics[0] - 1e-12).mean())


def _drawn_rows(codes: Integers, most: int, rng: np.random.Generator) -> Integers:
    """At most so many rows of each patient, drawn at random, in their order."""
    mixed = rng.permutation(len(codes))
    mixed = mixed[np.argsort(codes[mixed], kind="stable")]
    starts = np.searchsorted(codes[mixed], codes[mixed])
    return np.sort(mixed[np.arange(len(codes)) - starts < most])


def _patient_points(rows: Floats, codes: Integers, count: int) -> Floats:
    """The mean direction [g, d] of each patient's vectors."""
    sums = np.zeros((count, rows.shape[1]))
    np.add.at(sums, codes, rows)
    return unit_vectors(sums)


def _separations(points: Floats, permuted: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Out-of-fold AUROC [p] for each labelling [p, g], and the scores [g] of the first.

    Folds do not depend on the labels, for else those of a permutation would be of another kind. The strength
    of the ridge is the mean squared length of what is fitted.
    """
    fold = rng.permutation(len(points)) % _FOLDS
    scores = np.empty(permuted.shape)
    for held in range(_FOLDS):
        inside, outside = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        middle = points[inside].mean(axis=0)
        fitted, asked = points[inside] - middle, points[outside] - middle
        products = fitted @ fitted.T
        ridge = max(float(np.trace(products)) / len(inside), 1e-12)
        weights = np.linalg.solve(products + ridge * np.eye(len(inside)), fitted @ asked.T)
        learned = permuted[:, inside] - permuted[:, inside].mean(axis=1, keepdims=True)
        scores[:, outside] = learned @ weights
    return _aurocs(scores, permuted), scores[0]


def _aurocs(scores: Floats, labels: Floats) -> Floats:
    """AUROC [p] of scores for labels of 0 and 1, both [p, g]; a tie counts half.

    Scores are rounded, for those of patients with the same pictures differ in their last digits alone.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.round(scores, 10), axis=1)
    many = labels.sum(axis=1)
    others = labels.shape[1] - many
    found: Floats = ((ranks * labels).sum(axis=1) - many * (many + 1) / 2) / (many * others)
    return found


def _distances(first: Floats, second: Floats) -> Floats:
    """Euclidean distances [n, m] of points of at most unit length."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    found: Floats = np.sqrt(np.maximum(squares, 0.0))
    return found


def _energies(distances: Floats, permuted: Floats) -> Floats:
    """The energy distance [p] for each labelling [p, g], as a share of twice the mean distance between."""
    many = permuted.sum(axis=1)
    others = permuted.shape[1] - many
    near = permuted @ distances
    within = (near * permuted).sum(axis=1)
    between = near.sum(axis=1) - within
    rest = distances.sum() - within - 2 * between
    mean = 2 * between / (many * others)
    found: Floats = (mean - within / many**2 - rest / others**2) / np.maximum(mean, 1e-12)
    return found


def _apart(
    rows: Floats,
    codes: Integers,
    both: Bools,
    now: Bools,
    points: Floats,
    labels: Floats,
    order: Integers,
) -> Floats:
    """See `GroupDifference.apart`; the row's own patient does not count."""
    apart = np.full(len(rows), np.nan)
    for start in range(0, len(rows), 1024):
        some = np.arange(start, min(start + 1024, len(rows)))
        distances = _distances(rows[some], points)
        others = codes[some][:, None] != order[None, :]
        means = []
        for side in (0.0, 1.0):
            counted = others & (labels == side)
            means.append((distances * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1))
        apart[some] = np.where(now[some], means[0] - means[1], means[1] - means[0])
    apart[both[codes]] = np.nan
    return apart
