"""How well neighbours in vector space share a label: precision, recall and mean average precision.

Every item is a query against all others. Items of the query's own group (patient) are left out, because a
hospital that looks for similar cases does not mean the same patient, and neighbours from one patient flatter
any encoder. Two items are relevant to each other when they share at least one label. Queries to which nothing
is relevant have no recall and no average precision; they are left out and counted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import (
    Ranking,
    average_precision,
    group_codes,
    group_resamples,
    percentile_interval,
    precision_at,
    rank,
    recall_at,
)
from medsiglip.numerics import Floats, Integers

_RESAMPLES = 1000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Means over queries, and their 95 % group bootstrap intervals in `ci`.

    `ci` has the keys "precision_at_1", "recall_at_10", "map" and so on.

    `excluded` counts the queries to which nothing is relevant. `chance` is the precision of a random ranking.
    """

    queries: int
    excluded: int
    precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    map: float
    chance: float
    ci: Mapping[str, tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values, ranks as text keys."""
        return {
            "queries": self.queries,
            "excluded": self.excluded,
            "precision_at": {str(k): value for k, value in self.precision_at.items()},
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "map": self.map,
            "chance": self.chance,
            "ci": {name: list(interval) for name, interval in self.ci.items()},
        }


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Figures over all queries, and for each label over the queries that carry it.

    For a label, the items that carry it are the relevant ones.
    """

    overall: RetrievalFigures
    by_label: Mapping[str, RetrievalFigures]

    def to_json(self) -> dict[str, Any]:
        """The overall figures, and those by label under "by_label"."""
        by_label = {label: figures.to_json() for label, figures in self.by_label.items()}
        return {**self.overall.to_json(), "by_label": by_label}


@dataclass(slots=True)
class _PerQuery:
    """Values of each query with something relevant, block by block."""

    ks: Sequence[int]
    rows: list[Integers] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    excluded: int = 0

    def add(
        self, rows: Integers, ranking: Ranking, relevant: npt.NDArray[np.bool_], candidates: Integers
    ) -> None:
        total = relevant.sum(axis=1)
        found = total > 0
        self.excluded += int((~found).sum())
        columns = [precision_at(ranking, relevant, k) for k in self.ks]
        columns += [recall_at(ranking, relevant, k) for k in self.ks]
        columns += [average_precision(ranking, relevant), total / np.maximum(candidates, 1)]
        self.rows.append(rows[found])
        self.values.append(np.stack(columns, axis=1)[found])

    def figures(self, codes: Integers, seed: int) -> RetrievalFigures:
        rows = np.concatenate(self.rows)
        values = np.concatenate(self.values)
        means = np.array([column.mean() if len(rows) else np.nan for column in values.T.copy()])
        names = [f"precision_at_{k}" for k in self.ks] + [f"recall_at_{k}" for k in self.ks] + ["map"]
        intervals = _intervals(values[:, : len(names)], codes[rows], seed)
        figures = dict(zip(names, means.tolist(), strict=False))
        return RetrievalFigures(
            queries=len(rows),
            excluded=self.excluded,
            precision_at={k: figures[f"precision_at_{k}"] for k in self.ks},
            recall_at={k: figures[f"recall_at_{k}"] for k in self.ks},
            map=figures["map"],
            chance=float(means[-1]),
            ci=dict(zip(names, intervals, strict=True)),
        )


def evaluate_retrieval(
    vectors: npt.NDArray[np.floating[Any]],
    groups: Sequence[object],
    labels: Sequence[Collection[str]],
    *,
    ks: Sequence[int] = (1, 5, 10),
    seed: int = 0,
    block: int = 2**22,
) -> RetrievalReport:
    """Evaluate retrieval among unit-length vectors [n, d] with a group and a set of labels for each.

    Holds about `block` scores at a time, so memory grows with n, not with n squared. Ties count by their
    expectation, so the order of rows does not matter. Raises ModelError "shape-mismatch", or "no-labels" when
    no item carries a label.
    """
    items = np.asarray(vectors, dtype=np.float32)
    if items.ndim != 2 or not len(items) == len(groups) == len(labels):
        message = (
            f"{len(items)} vectors, {len(groups)} groups and {len(labels)} label sets do not go together."
        )
        raise ModelError("shape-mismatch", f"{message} Give one of each for every item.")
    names = sorted({label for entry in labels for label in entry})
    if not names:
        raise ModelError("no-labels", "No item carries a label; import labels before evaluating retrieval.")
    column = {name: position for position, name in enumerate(names)}
    carries = np.zeros((len(items), len(names)), dtype=np.float32)
    for row, entry in enumerate(labels):
        carries[row, [column[label] for label in entry]] = 1.0
    codes = group_codes(groups)
    overall, by_label = _PerQuery(ks), [_PerQuery(ks) for _ in names]
    step = max(1, block // len(items))
    for start in range(0, len(items), step):
        rows = np.arange(start, min(start + step, len(items)))
        _score_block(items, codes, carries, rows, overall, by_label)
    return RetrievalReport(
        overall.figures(codes, seed),
        {name: queries.figures(codes, seed) for name, queries in zip(names, by_label, strict=True)},
    )


def _score_block(
    items: npt.NDArray[np.float32],
    codes: Integers,
    carries: npt.NDArray[np.float32],
    rows: Integers,
    overall: _PerQuery,
    by_label: Sequence[_PerQuery],
) -> None:
    own = codes[rows, None] == codes[None, :]
    scores = items[rows] @ items.T
    scores[own] = -np.inf
    ranking = rank(scores)
    candidates = (~own).sum(axis=1)
    overall.add(rows, ranking, (carries[rows] @ carries.T > 0) & ~own, candidates)
    for position, queries in enumerate(by_label):
        carriers = np.flatnonzero(carries[rows, position])
        relevant = (carries[:, position] > 0) & ~own[carriers]
        queries.add(rows[carriers], _take(ranking, carriers), relevant, candidates[carriers])


def _take(ranking: Ranking, queries: Integers) -> Ranking:
    first = None if ranking.first is None else ranking.first[queries]
    last = None if ranking.last is None else ranking.last[queries]
    return Ranking(ranking.order[queries], first, last)


def _intervals(values: Floats, codes: Integers, seed: int) -> list[tuple[float, float]]:
    """Bootstrap intervals of the column means of values [q, m], resampling groups of queries."""
    known, codes = np.unique(codes, return_inverse=True)
    if len(known) < 2:
        return [(float("nan"), float("nan"))] * values.shape[1]
    sums = np.zeros((len(known), values.shape[1]))
    np.add.at(sums, codes, values)
    counts = np.bincount(codes, minlength=len(known))
    resampled = group_resamples(len(known), _RESAMPLES, seed).astype(np.float64)
    means = (resampled @ sums) / (resampled @ counts)[:, None]
    return [percentile_interval(column, _CONFIDENCE) for column in means.T]
