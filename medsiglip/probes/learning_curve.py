"""How AUROC grows with the number of patients that a probe is trained on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from medsiglip.figures.metrics import auroc
from medsiglip.numerics import Floats, Integers
from medsiglip.probes.fitting import Fitting, Part
from medsiglip.probes.out_of_fold import OutOfFold
from medsiglip.probes.probe import Probe, class_odds, unit_rows
from medsiglip.probes.report import LearningPoint, ProbeReport
from medsiglip.probes.targets import Targets

SHARES = (0.1, 0.2, 0.4, 0.7)
"""Of the groups that a fold is trained on; all of them are known already."""

MOST_VECTORS = 20_000
"""With more there is no curve: it would take longer than the training."""

_FEWEST = 6
_DRAWS, _DRAWS_OF_MANY, _MANY_VECTORS = 5, 2, 2_000


def with_learning_curve(
    report: ProbeReport,
    found: OutOfFold,
    probe: Probe,
    vectors: npt.NDArray[np.floating],
    *,
    bags: Integers | None = None,
    balanced: bool = False,
    seed: int = 0,
    on_progress: Callable[[str, int, int | None], None] = lambda _stage, _done, _total: None,
) -> ProbeReport:
    """The report with the AUROC that a part of the groups would have given. `vectors` [m, d], `bags` and
    `balanced` are what the training was given.

    Each draw takes, for each fold, a random part of the groups outside it, trains on it, and judges the rows
    of the fold; a figure is over the rows of all folds. There are five draws, and two with more than 2,000
    vectors. C is that of the probe that is kept. There is no curve with one fold, or more than 20,000
    vectors.
    """
    if np.unique(found.fold).size < 2 or len(vectors) > MOST_VECTORS:
        return report
    fitting = _fitting(
        found, unit_rows(vectors), bags, balanced, lambda *_: on_progress("learning curve", 0, None)
    )
    trained = _trained_on(found)
    draws = _DRAWS if len(vectors) <= _MANY_VECTORS else _DRAWS_OF_MANY
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[LearningPoint]] = {label: [] for label in found.labels}
    for share in SHARES:
        if share * trained.max() < _FEWEST:
            continue
        areas = np.array([_areas(found, fitting, probe.c, share, rng) for _ in range(draws)])
        for label, row, groups in zip(found.labels, areas.T, share * trained, strict=True):
            known = row[~np.isnan(row)]
            if known.size and groups >= _FEWEST:
                ends = float(known.min()), float(known.max())
                drawn[label].append(LearningPoint(round(groups), known.size, float(known.mean()), *ends))
    whole = dict(zip(found.labels, trained, strict=True))
    labels = []
    for entry in report.labels:
        last = LearningPoint(round(whole[entry.label]), 1, entry.auroc, entry.auroc, entry.auroc)
        labels.append(replace(entry, learning_curve=(*drawn[entry.label], last)))
    return replace(report, labels=tuple(labels))


def _trained_on(found: OutOfFold) -> Floats:
    """How many groups [L] with a known label the probe of a fold was trained on, on average."""
    counts = [
        [
            np.unique(found.groups[(found.fold != number) & ~np.isnan(found.truth[:, column])]).size
            for column in range(len(found.labels))
        ]
        for number in np.unique(found.fold)
    ]
    trained: Floats = np.mean(counts, axis=0)
    return trained


def _fitting(
    found: OutOfFold,
    vectors: Floats,
    bags: Integers | None,
    balanced: bool,
    on_progress: Callable[[str, int, int | None], None],
) -> Fitting:
    """The problems of the rows of `found`, and of the vectors that belong to them."""
    targets = Targets(found.labels, found.truth, found.exclusive)
    if bags is None:
        return Fitting(vectors[found.rows], targets, balanced, None, on_progress)
    mine = np.isin(bags, found.rows)
    bag = np.searchsorted(found.rows, bags[mine])
    return Fitting(vectors[mine], targets, balanced, bag, on_progress)


def _areas(found: OutOfFold, fitting: Fitting, c: Floats, share: float, rng: np.random.Generator) -> Floats:
    """AUROC [L] out of fold after training on this share of the groups; NaN where a draw has one class."""
    folds = np.unique(found.fold)
    never = np.full(found.fold.size, -1)
    parts = []
    for number in folds:
        drawn = _drawn(found.groups[found.fold != number], share, rng)
        parts.append(Part((found.fold != number) & np.isin(found.groups, drawn), never, 0))
    fitted = fitting.fit(parts, np.broadcast_to(c, (len(parts), c.size)))
    scores = np.full(found.truth.shape, np.nan)
    for number, part, solution in zip(folds, parts, fitted, strict=True):
        truth, judged = found.truth[part.inside], found.fold == number
        both = (truth == 1.0).any(axis=0) & (truth == 0.0).any(axis=0)
        logits = fitting.logits(solution, judged)
        odds = class_odds(logits) if found.exclusive else logits
        scores[judged] = np.where(both, odds - solution.base, np.nan)
    areas = np.full(len(found.labels), np.nan)
    for column in range(len(found.labels)):
        known = ~np.isnan(found.truth[:, column])
        if not np.isnan(scores[known, column]).any():
            areas[column] = auroc(found.truth[known, column], scores[known, column])
    return areas


def _drawn(groups: Integers, share: float, rng: np.random.Generator) -> Integers:
    """Some of the groups."""
    different = np.unique(groups)
    count = max(round(share * different.size), 1)
    chosen: Integers = rng.choice(different, count, replace=False)
    return chosen
