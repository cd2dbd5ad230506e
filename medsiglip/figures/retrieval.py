"""How well neighbours in vector space share a label: precision, recall and mean average precision.

Every item is a query against all others. Items of the query's own group (patient) are left out, because a
hospital that looks for similar cases does not mean the same patient, and neighbours from one patient flatter
any encoder. Two items are relevant to each other when they share at least one label. A neighbour that shares
none, and of which one of the query's labels is not known, is left out of the ranking (condensed lists: Sakai,
SIGIR 2007). A query has figures if something is relevant to it and something is known not to be: where all
that is known is relevant, any ranking is perfect. Other queries are left out and counted.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.chance import random_ranking
from medsiglip.figures.metrics import (
    Ranking,
    average_precision,
    group_codes,
    precision_at,
    rank,
    recall_at,
)
from medsiglip.figures.neighbour_influence import (
    QueryFigures,
    figure_intervals,
    patient_changes,
    removal_effects,
    strata,
)
from medsiglip.numerics import Floats, Integers

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Means over queries, and their 95 % intervals in `ci` (see `neighbour_influence.py`).

    `ci` has the keys "precision_at_1", "recall_at_10", "map" and so on.

    `excluded` counts the queries to which nothing is relevant, or nothing known not to be. `chance_of` has
    for each figure, by the keys of `ci`, what a random ranking of the same queries would reach on average,
    and `chance` the share of their candidates that are relevant. `reason` says why the figures are NaN, and
    is None where they are numbers.

    To compare rankings (`paired.py`): `changes` [g, 2 K + 1] are what the figures would gain without each
    group, `kinds` [g] number the groups with the same labels, `patients` counts the groups that ask, and
    `most_of` is the most that each figure could be.
    """

    queries: int
    excluded: int
    precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    map: float
    chance: float
    chance_of: Mapping[str, float]
    ci: Mapping[str, tuple[float, float]]
    changes: Floats = field(repr=False, compare=False)
    kinds: Integers = field(repr=False, compare=False)
    patients: int = field(repr=False, compare=False)
    most_of: Mapping[str, float] = field(repr=False, compare=False)
    reason: str | None = None

    def value(self, name: str) -> float:
        """The figure of a key of `ci`."""
        if name == "map":
            return self.map
        figure, k = name.rsplit("_", 1)
        return (self.precision_at if figure == "precision_at" else self.recall_at)[int(k)]

    def to_json(self) -> dict[str, Any]:
        """The figures as plain JSON values, ranks as text keys."""
        return {
            "queries": self.queries,
            "excluded": self.excluded,
            "precision_at": {str(k): value for k, value in self.precision_at.items()},
            "recall_at": {str(k): value for k, value in self.recall_at.items()},
            "map": self.map,
            "chance": self.chance,
            "chance_of": dict(self.chance_of),
            "ci": {name: list(interval) for name, interval in self.ci.items()},
            "reason": self.reason,
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
    """Values of each query that has figures, block by block, and the effects of each of the items. `sharing`
    counts the queries, with figures or without, to which something is relevant.
    """

    ks: Sequence[int]
    effects: Floats
    rows: list[Integers] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    excluded: int = 0
    sharing: int = 0

    def add(
        self, rows: Integers, ranking: Ranking, relevant: npt.NDArray[np.bool_], candidates: Integers
    ) -> None:
        total = relevant.sum(axis=1)
        found = (total > 0) & (total < candidates)
        self.excluded += int((~found).sum())
        self.sharing += int((total > 0).sum())
        if not found.all():
            ranking, relevant = _take(ranking, found), relevant[found]
            rows, total, candidates = rows[found], total[found], candidates[found]
        columns = [precision_at(ranking, relevant, k) for k in self.ks]
        columns += [recall_at(ranking, relevant, k) for k in self.ks]
        columns.append(average_precision(ranking, relevant))
        # The most that a query can reach, whose relevant candidates are fewer than k, or more.
        columns += [np.minimum(total, k) / k for k in self.ks]
        columns += [np.minimum(total, k) / total for k in self.ks]
        columns += [np.ones(len(total)), total / candidates, *random_ranking(total, candidates, self.ks).T]
        self.rows.append(rows)
        self.values.append(np.stack(columns, axis=1))
        self.effects += removal_effects(ranking, relevant, self.ks)

    def figures(self, codes: Integers, kinds: Integers) -> RetrievalFigures:
        many = 2 * len(self.ks) + 1
        width = 3 * many + 1
        rows = np.concatenate([np.empty(0, dtype=np.intp), *self.rows])
        values = np.concatenate([np.empty((0, width)), *self.values])
        means = np.array([column.mean() if len(rows) else np.nan for column in values.T.copy()])
        names = [f"precision_at_{k}" for k in self.ks] + [f"recall_at_{k}" for k in self.ks] + ["map"]
        queries = QueryFigures(values[:, :many], values[:, many : 2 * many], codes[rows])
        changes = patient_changes(queries, self.effects, codes, len(kinds))
        intervals = figure_intervals(queries, changes, kinds, _CONFIDENCE)
        figures = dict(zip(names, means.tolist(), strict=False))
        return RetrievalFigures(
            queries=len(rows),
            excluded=self.excluded,
            precision_at={k: figures[f"precision_at_{k}"] for k in self.ks},
            recall_at={k: figures[f"recall_at_{k}"] for k in self.ks},
            map=figures["map"],
            chance=float(means[2 * many]),
            chance_of=dict(zip(names, means[2 * many + 1 :].tolist(), strict=True)),
            ci=dict(zip(names, intervals, strict=True)),
            changes=changes,
            kinds=kinds,
            patients=np.unique(codes[rows]).size,
            most_of=dict(zip(names, means[many : 2 * many].tolist(), strict=True)),
            reason=self._reason(),
        )

    def _reason(self) -> str | None:
        if any(len(rows) for rows in self.rows):
            return None
        if self.sharing:
            return "no case of another patient is known to carry none of a query's labels"
        return "no case that carries one of the labels shares it with a case of another patient"


def evaluate_retrieval(
    vectors: npt.NDArray[np.floating[Any]],
    groups: Sequence[object],
    labels: Sequence[Collection[str]],
    *,
    unknown: Mapping[str, npt.ArrayLike] = MappingProxyType({}),
    ks: Sequence[int] = (1, 5, 10),
    block: int = 2**19,
    score: Callable[[Integers], npt.NDArray[np.floating[Any]]] | None = None,
) -> RetrievalReport:
    """Evaluate retrieval among unit-length vectors [n, d] with a group and a set of labels for each.

    `score` gives the scores [b, n] of some items [b] as queries against all, in place of the inner products
    of their vectors.

    `unknown` says by label of which items [n] (bool) it is not known whether they carry it; of all others
    without the label it is known that they do not.

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
    known = np.ones((len(items), len(names)), dtype=np.float32)
    for name in column.keys() & unknown.keys():
        known[np.asarray(unknown[name], dtype=bool), column[name]] = 0.0
    known = np.maximum(known, carries)
    codes = group_codes(groups)
    shape = (len(items), 2 * len(ks) + 1)
    overall, *by_label = (_PerQuery(ks, np.zeros(shape)) for _ in range(1 + len(names)))
    step = max(1, block // len(items))
    for start in range(0, len(items), step):
        rows = np.arange(start, min(start + step, len(items)))
        scores = items[rows] @ items.T if score is None else score(rows)
        _score_block(_Items(codes, carries, known), rows, scores, overall, by_label)
    kinds = strata(carries, codes)
    return RetrievalReport(
        overall.figures(codes, kinds),
        {name: queries.figures(codes, kinds) for name, queries in zip(names, by_label, strict=True)},
    )


class _Items(NamedTuple):
    """`codes` [n] of groups, and for each label [n, L] 1 where it is carried, or known."""

    codes: Integers
    carries: npt.NDArray[np.float32]
    known: npt.NDArray[np.float32]


def _score_block(
    items: _Items,
    rows: Integers,
    scores: npt.NDArray[np.floating[Any]],
    overall: _PerQuery,
    by_label: Sequence[_PerQuery],
) -> None:
    codes, carries, known = items.codes, items.carries, items.known
    own = codes[rows, None] == codes[None, :]
    relevant = (carries[rows] @ carries.T > 0) & ~own
    # Known to share none: each label of the query is known of the neighbour.
    judged = ~own & (carries[rows] @ known.T == carries[rows].sum(axis=1, keepdims=True)) | relevant
    ranking = rank(np.where(judged, scores, -np.inf))
    overall.add(rows, ranking, relevant, judged.sum(axis=1))
    for position, queries in enumerate(by_label):
        carriers = np.flatnonzero(carries[rows, position])
        if not carriers.size:
            continue
        relevant = (carries[:, position] > 0) & ~own[carriers]
        asked = (known[:, position] > 0) & ~own[carriers]
        if np.array_equal(asked, judged[carriers]):
            theirs = _take(ranking, carriers)
        else:
            theirs = rank(np.where(asked, scores[carriers], -np.inf))
        queries.add(rows[carriers], theirs, relevant, asked.sum(axis=1))


def _take(ranking: Ranking, queries: npt.NDArray[Any]) -> Ranking:
    first = None if ranking.first is None else ranking.first[queries]
    last = None if ranking.last is None else ranking.last[queries]
    return Ranking(ranking.order[queries], first, last)
