"""Fits of all labels, folds and strengths of a training, and the choice among the strengths."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from medsiglip.numerics import Floats, Integers
from medsiglip.probes.basis import Basis, Numbers
from medsiglip.probes.logistic import Solution, Solver, base_logit
from medsiglip.probes.pooling import Bags, offset
from medsiglip.probes.targets import Flags, Targets, weights

STRENGTHS: tuple[float, ...] = tuple(10.0**power for power in range(-6, 7))
"""The C that are tried, as in scikit-learn's `LogisticRegression`: small is strong regularisation."""

SELECTION_TOLERANCE = 1e-6
"""Of the mean log-loss, while a C is chosen."""
FINAL_TOLERANCE = 1e-11
"""Of the mean log-loss, for the probe that is kept."""

_MOST_AT_ONCE = 1 << 24
"""Rows times columns of problems that are solved together: some hundred megabytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows `inside` [n] that one probe is fitted on. Its C is chosen on those whose number in `held` [n]
    is 0 to `turns` - 1, each number in its turn; -1 is never held out.
    """

    inside: Flags
    held: Integers
    turns: int


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The mean log-loss [S, E, L] of each C on the held-out rows of E parts, NaN where it was not tried, and
    the C [E, L] where it is least.
    """

    loss: Floats
    c: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Coefficients [L, d], intercepts [L], and the log-odds [L] of the labels among the rows of the fit."""

    coef: Floats
    intercept: Floats
    base: Floats


@dataclass(slots=True)
class Fitting:
    """Unit vectors [m, d] for the rows [n] of `targets`. `bag` [m] is the row of each vector where rows have
    several, whose scores are pooled by the maximum; they count together as one row.
    """

    vectors: Floats
    targets: Targets
    balanced: bool
    bag: Integers | None
    on_progress: Callable[[str, int, int | None], None]
    basis: Basis = field(init=False)
    bags: Bags | None = field(init=False)

    def __post_init__(self) -> None:
        self.on_progress("preparing", 0, None)
        self.basis = Basis.of(self.vectors)
        self.bags = None if self.bag is None else Bags.of(self.bag)

    def choose(self, parts: Sequence[Part]) -> Choice:
        """The C of each part and label with the least log-loss on the rows that are held out in turn.

        Going from small to large C, a label is done when its loss has risen twice in a row.
        """
        loss = np.full((len(STRENGTHS), len(parts), len(self.targets.names)), np.nan)
        chunks = list(self._chunks([part.turns for part in parts]))
        for number, chunk in enumerate(chunks):
            done = number * len(STRENGTHS)
            self._losses(parts, chunk, loss, (done, len(chunks) * len(STRENGTHS)))
        tried = np.where(np.isnan(loss), np.inf, loss)
        best = np.asarray(STRENGTHS)[tried.argmin(axis=0)]
        untried = np.isnan(loss).all(axis=0)
        return Choice(loss, np.where(untried, 1.0, best))

    def _losses(
        self, parts: Sequence[Part], chunk: Sequence[int], loss: Floats, progress: tuple[int, int]
    ) -> None:
        """Fill in the losses [S, E, L] of the parts `chunk`."""
        turns = [(part, turn) for part in chunk for turn in range(parts[part].turns)]
        if not turns:
            return
        fits = [parts[part].inside & (parts[part].held != turn) for part, turn in turns]
        counts = [weights(self.targets, np.ones(len(fit)), fit, self.balanced) for fit in fits]
        owner = np.array([part for part, _ in turns])
        done, total = progress
        solver = self._solver(
            [weight * fit[:, None] for weight, fit in zip(counts, fits, strict=True)],
            lambda: self.on_progress("choosing the strength", done, total),
        )
        columns = counts[0].shape[1]
        going = np.ones((loss.shape[1], columns), dtype=bool)
        for place, strength in enumerate(STRENGTHS):
            problems = len(turns) * columns
            solver.solve(np.full(problems, strength), SELECTION_TOLERANCE, going[owner].ravel())
            found = solver.logits().reshape(len(self.vectors), len(turns), -1)
            sums, mass = np.zeros(loss.shape[1:]), np.zeros((loss.shape[1], columns))
            for turn, (part, number) in enumerate(turns):
                held = parts[part].held == number
                pooled = self._pooled(found[:, turn], counts[turn] * fits[turn][:, None])
                sums[part] += self._loss(pooled[held], held, counts[turn][held])
                mass[part] += counts[turn][held].sum(axis=0)
            loss[place, chunk] = np.where(going, sums / np.maximum(mass, 1e-300), np.nan)[chunk]
            if place >= 2:
                risen = (loss[place] > loss[place - 1]) & (loss[place - 1] > loss[place - 2])
                going &= ~risen[:, :columns]
            done += 1
            self.on_progress("choosing the strength", done, total)
            if not going[chunk].any():
                break

    def fit(self, parts: Sequence[Part], c: Floats) -> list[Fitted]:
        """One fit for each part, each label at its C [E, L]."""
        fitted: list[Fitted] = []
        for chunk in self._chunks([1] * len(parts)):
            insides = [parts[part].inside for part in chunk]
            counts = [
                weights(self.targets, np.ones(len(rows)), rows, self.balanced) * rows[:, None]
                for rows in insides
            ]
            columns = counts[0].shape[1]
            solver = self._solver(counts, partial(self.on_progress, "fitting", len(fitted), len(parts)))
            solution = solver.solve(c[chunk][:, :columns].ravel(), FINAL_TOLERANCE)
            found = solver.logits().reshape(len(self.vectors), len(chunk), -1)
            fitted += [
                self._fitted(solution, found[:, place], weight, place) for place, weight in enumerate(counts)
            ]
        return fitted

    def _fitted(self, solution: Solution, logits: Numbers, weight: Floats, place: int) -> Fitted:
        labels = len(self.targets.names)
        mine = slice(place * labels, (place + 1) * labels)
        added = self._offset(logits, weight)
        base = base_logit(np.nan_to_num(self.targets.values), weight)
        return Fitted(solution.coef[mine], solution.intercept[mine] + added, base)

    def logits(self, fitted: Fitted, rows: Flags) -> Floats:
        """Logits of some rows [n], pooled over the vectors of each."""
        if self.bag is None:
            found: Floats = self.vectors[rows] @ fitted.coef.T + fitted.intercept
            return found
        mine = rows[self.bag]
        position = np.cumsum(rows) - 1
        several = self.vectors[mine] @ fitted.coef.T + fitted.intercept
        pooled: Floats = Bags.of(position[self.bag[mine]]).maximum(several).astype(np.float64)
        return pooled

    def _chunks(self, problems: Sequence[int]) -> Iterator[list[int]]:
        """Parts that are solved together, given how many problems of all labels each has."""
        size = len(self.vectors) * len(self.targets.names)
        chunk: list[int] = []
        for part, count in enumerate(problems):
            if chunk and size * (sum(problems[one] for one in chunk) + count) > _MOST_AT_ONCE:
                yield chunk
                chunk = []
            chunk.append(part)
        yield chunk

    def _solver(self, counts: Sequence[Floats], on_step: Callable[[], None]) -> Solver:
        """The problems of rows that count so much, [n, L] or [n, 1], in order."""
        kind = self.basis.rows.dtype
        values = np.nan_to_num(self.targets.values).astype(kind)
        weight = np.stack([count.astype(kind) for count in counts], axis=1)
        target = np.broadcast_to(values[:, None, :], (len(values), len(counts), values.shape[1]))
        if self.bag is not None:
            size = np.bincount(self.bag)
            weight = (weight / size[:, None, None].astype(kind))[self.bag]
            target = target[self.bag]
        rows = len(target)
        if not self.targets.exclusive:
            target = target.reshape(rows, -1, 1)
        return Solver(self.basis, target, weight.reshape(rows, -1), on_step)

    def _pooled(self, logits: Numbers, weight: Floats) -> Floats:
        """Logits [n, L] of the rows, of those [m, L] of the vectors."""
        if self.bags is None:
            return logits.astype(np.float64, copy=False)
        pooled: Floats = self.bags.maximum(logits).astype(np.float64) + self._offset(logits, weight)
        return pooled

    def _offset(self, logits: Numbers, weight: Floats) -> Floats:
        if self.bags is None:
            return np.zeros(logits.shape[1])
        truth = np.nan_to_num(self.targets.values)
        return offset(self.bags.maximum(logits).astype(np.float64), truth, weight)

    def _loss(self, logits: Floats, rows: Flags, weight: Floats) -> Floats:
        """The sum of the log-losses [L] of logits [k, L] of these rows; of classes the same for each."""
        truth = np.nan_to_num(self.targets.values[rows])
        if not self.targets.exclusive:
            return np.asarray((weight * (np.logaddexp(0.0, logits) - truth * logits)).sum(axis=0))
        top = logits.max(axis=1, initial=-np.inf)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return np.full(logits.shape[1], (weight[:, 0] * (total - (truth * logits).sum(axis=1))).sum())
