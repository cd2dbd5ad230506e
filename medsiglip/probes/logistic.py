"""L2-regularised logistic regression, binary and multinomial, for many labels, folds and strengths at once.

Minimises for each problem ``C * sum(weight * log-loss) + |w|^2 / 2`` with an unpenalised intercept: the
objective of scikit-learn's `LogisticRegression`. All problems share the rows; a row that is missing in a
problem, because its label is not known or it is in another fold, has a weight of 0 there.

The rows are centred, which the free intercept absorbs. One eigendecomposition of their products ``X' X``
comes close to the Hessian ``X' W X + I / C`` of every problem at every C, with the mean of the weights W in
their place: the metric in which a limited-memory quasi-Newton method (L-BFGS; Nocedal and Wright, Numerical
Optimization, 2nd edition, algorithm 7.4) needs some ten steps, each two matrix products for all problems
together. Of classes the mean of ``diag(p) - p p'`` is turned to its own axes, too. Many rows are taken in
float32, and again in float64 where its rounding shows. Going from small to large C, each solution starts the
next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats, Integers
from medsiglip.probes.basis import Basis, Numbers, Singles

Flags = npt.NDArray[np.bool_]

_STEPS = 500
_HALVINGS = 40
_HISTORY = 12
_SAFETY = 10.0
"""By how much the estimate of the excess must be below what is wanted: the metric is not the Hessian."""
_FLATTER = 0.5
"""A step is too long where the slope along it has become more than this share of what it was, upwards."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Coefficients [m, d] and intercepts [m] in the coordinates of the vectors."""

    coef: Floats
    intercept: Floats

    def logits(self, vectors: Numbers) -> Floats:
        """Logits [n, m] of vectors [n, d]."""
        product: Floats = vectors @ self.coef.T + self.intercept
        return product


def fit_path(basis: Basis, labels: Floats, strengths: Sequence[float], tolerance: float) -> list[Solution]:
    """Fit labels [n, L] of 0, 1 or NaN at each C of `strengths`, given from small to large.

    Stops when the estimated excess of the mean log-loss is below `tolerance`. A label with one class only has
    no finite optimum: it gets the intercept of its smoothed prevalence and no coefficients.
    """
    known = (~np.isnan(labels)).astype(basis.rows.dtype)
    solver = Solver(basis, np.nan_to_num(labels)[:, :, None], known)
    return [solver.solve(np.full(labels.shape[1], strength), tolerance) for strength in strengths]


def base_logit(labels: Floats, weight: Numbers) -> Floats:
    """Log-odds [P] of the weighted prevalence in labels [n, P] of 0 or 1, weights [n, P], smoothed by half a
    row where there is one class only.
    """
    positive, negative = (weight * labels).sum(axis=0), (weight * (1.0 - labels)).sum(axis=0)
    smoothing = np.where((positive > 0) & (negative > 0), 0.0, 0.5)
    logit: Floats = np.log((positive + smoothing) / (negative + smoothing))
    return logit


@dataclass(frozen=True, slots=True)
class _Change:
    """A step [r + 1, P, K], what it changed the gradient by, and the inverse of their product [P], or 0 where
    that is not positive.
    """

    step: Singles
    gradient: Singles
    inverse: Singles


@dataclass(slots=True)
class _Point:
    """Where the problems of one run are: states [r + 1, P, K] with the intercepts last, logits [n, P, K],
    gradients, and the mean curvatures [P, K] along the axes [P, K, K] of the classes (None for K = 1).
    """

    state: Floats
    logits: Numbers
    gradient: Floats
    curvature: Floats
    turn: Floats | None


@dataclass(slots=True)
class Solver:
    """P problems of K columns: `target` [n, P, K] of 0 and 1, and `weight` [n, P], not negative.

    K is 1 for labels, each against its absence, and the number of classes where they exclude each other.
    `solve` starts where the last one ended.
    """

    basis: Basis
    target: Numbers
    weight: Numbers
    on_step: Callable[[], None] = lambda: None
    state: Floats = field(init=False)
    solvable: Flags = field(init=False)

    def __post_init__(self) -> None:
        kind = self.basis.rows.dtype
        self.target, self.weight = self.target.astype(kind, copy=False), self.weight.astype(kind, copy=False)
        shares = (self.weight[:, :, None] * self.target).sum(axis=0, dtype=np.float64)
        total = self.weight.sum(axis=0, dtype=np.float64)[:, None]
        self.state = np.zeros((self.basis.rows.shape[1] + 1, *shares.shape))
        if self.target.shape[2] == 1:
            self.solvable = ((shares > 0) & (shares < total))[:, 0]
            smoothing = np.where(self.solvable, 0.0, 0.5)[:, None]
            self.state[-1] = np.log((shares + smoothing) / (total - shares + smoothing))
        else:
            self.solvable = (shares > 0).sum(axis=1) > 1
            logs = np.log(np.maximum(shares, 0.5))
            self.state[-1] = logs - logs.mean(axis=1, keepdims=True)

    def solve(self, strengths: Floats, tolerance: float, among: Flags | None = None) -> Solution:
        """The problems `among` [P], or all, at their C [P]; coefficients are [P * K, d], intercepts [P * K].

        Stops when the estimated excess of the mean log-loss is below `tolerance`.
        """
        chosen = np.flatnonzero(self.solvable if among is None else self.solvable & among)
        if chosen.size:
            left = self._descend(self.basis, chosen, strengths, tolerance)
            if left.size and (self.basis.rows.dtype != np.float64 or self.basis.on_gpu is not None):
                self._descend(self.basis.precise(), left, strengths, tolerance)
        inner = self.state[:-1].reshape(len(self.state) - 1, -1).copy()
        coef = self.basis.in_vectors(inner)
        return Solution(coef, self.state[-1].ravel() - coef @ self.basis.mean)

    def logits(self) -> Numbers:
        """Logits of the rows themselves, [n, P, K]."""
        flat = self.state.reshape(len(self.state), -1)
        logits = self.basis.forward(flat[:-1]) + flat[-1].astype(self.basis.rows.dtype)
        found: Numbers = logits.reshape(len(logits), *self.state.shape[1:])
        return found

    def _descend(self, basis: Basis, chosen: Integers, strengths: Floats, tolerance: float) -> Integers:
        """Go down until the excess of the problems `chosen` is estimated to be below `tolerance` times their
        rows; the problems that rounding kept from it.
        """
        run = _Descent.start(basis, self, chosen, 1.0 / strengths[chosen])
        enough = tolerance / _SAFETY * run.weight.sum(axis=0, dtype=np.float64)
        stuck: list[int] = []
        for _ in range(_STEPS):
            self.on_step()
            direction = run.direction()
            slope = _dot(run.point.gradient, direction)
            done = -slope / 2.0 <= enough
            moved = run.move(direction, slope, ~done)
            stuck += run.chosen[~done & ~moved].tolist()
            if not moved.any():
                break
            if moved.sum() <= 0.7 * moved.size:
                self.state[:, run.chosen] = run.point.state
                run.keep(moved)
                enough = enough[moved]
        else:
            stuck += run.chosen.tolist()
        self.state[:, run.chosen] = run.point.state
        return np.array(sorted(set(stuck)), dtype=np.intp)


@dataclass(slots=True)
class _Descent:
    """The problems `chosen` on their way down, in the precision of the rows of `basis`."""

    basis: Basis
    chosen: Integers
    target: Numbers
    weight: Numbers
    penalty: Floats
    point: _Point
    changes: list[_Change] = field(default_factory=list)

    @staticmethod
    def start(basis: Basis, solver: Solver, chosen: Integers, penalty: Floats) -> "_Descent":
        kind = basis.rows.dtype
        whole = len(chosen) == solver.target.shape[1]
        target = solver.target if whole else solver.target[:, chosen]
        weight = solver.weight if whole else solver.weight[:, chosen]
        state = solver.state[:, chosen]
        logits = _forward(basis, state) + state[-1].astype(kind)
        empty = np.empty(0)
        point = _Point(state, logits, empty, empty, None)
        run = _Descent(basis, chosen, target.astype(kind), weight.astype(kind), penalty, point)
        run.look(*run.residual(logits))
        return run

    def keep(self, rest: Flags) -> None:
        """Go on with some of the problems."""
        at = self.point
        self.chosen, self.penalty = self.chosen[rest], self.penalty[rest]
        self.target, self.weight = self.target[:, rest], self.weight[:, rest]
        turn = None if at.turn is None else at.turn[rest]
        self.point = _Point(
            at.state[:, rest], at.logits[:, rest], at.gradient[:, rest], at.curvature[rest], turn
        )
        self.changes = [
            _Change(one.step[:, rest], one.gradient[:, rest], one.inverse[rest]) for one in self.changes
        ]

    def residual(self, logits: Numbers) -> tuple[Numbers, Numbers]:
        """Weight times probability minus target, [n, P, K], and the probabilities."""
        if logits.shape[2] == 1:
            probability = logits * 0.5
            np.tanh(probability, out=probability)
            probability += 1.0
            probability *= 0.5
        else:
            probability = logits - logits.max(axis=2, keepdims=True)
            np.exp(probability, out=probability)
            probability /= probability.sum(axis=2, keepdims=True)
        residual = probability - self.target
        residual *= self.weight[:, :, None]
        return residual, probability

    def look(self, residual: Numbers, probability: Numbers) -> None:
        """Set the gradient and the curvature of the point."""
        at = self.point
        gradient = np.empty_like(at.state)
        flat = residual.reshape(len(residual), -1)
        gradient[:-1] = self.basis.backward(flat).reshape(at.state[:-1].shape)
        gradient[:-1] += self.penalty[:, None] * at.state[:-1]
        gradient[-1] = residual.sum(axis=0, dtype=np.float64)
        at.gradient = gradient
        if probability.shape[2] == 1:
            spread = probability[:, :, 0] * (1.0 - probability[:, :, 0])
            at.curvature = np.einsum("np,np->p", self.weight, spread, dtype=np.float64)[:, None]
            at.curvature = np.maximum(at.curvature, 1e-12 * len(residual))
            return
        weighted = (self.weight[:, :, None] * probability).transpose(1, 2, 0)
        mean = -(weighted @ probability.transpose(1, 0, 2)).astype(np.float64)
        diagonal = np.arange(mean.shape[1])
        mean[:, diagonal, diagonal] += weighted.sum(axis=2, dtype=np.float64)
        curvature, at.turn = np.linalg.eigh(mean)
        at.curvature = np.maximum(curvature, 1e-9 * curvature[:, -1:])
        # Along the first axis nothing is to be gained: all logits of a row may be raised together.
        at.curvature[:, 0] = np.inf

    def direction(self) -> Floats:
        """The quasi-Newton direction from the last changes, latest last."""
        left = self.point.gradient.astype(np.float32)
        shares = []
        for one in reversed(self.changes):
            share = one.inverse * np.einsum("rpk,rpk->p", one.step, left)
            left -= share[:, None] * one.gradient
            shares.append(share)
        found = self._scaled(left)
        for one, share in zip(self.changes, reversed(shares), strict=True):
            found += (share - one.inverse * np.einsum("rpk,rpk->p", one.gradient, found))[:, None] * one.step
        return -found.astype(np.float64)

    def _scaled(self, gradient: Singles) -> Singles:
        """The gradient in the metric: along the axes of rows and classes, divided by the curvature."""
        at, size = self.point, gradient.shape
        turn = None if at.turn is None else at.turn.astype(np.float32)
        if turn is not None:
            gradient = np.einsum("rpk,pkj->rpj", gradient, turn)
        mean = at.curvature / len(at.logits)
        squares = np.maximum(self.basis.squares, np.finfo(np.float64).tiny)  # 0 times an infinite curvature
        scale = np.multiply.outer(squares, mean) + self.penalty[:, None]
        flat = scale.reshape(len(scale), -1).astype(np.float32)
        scaled = np.empty(size, dtype=np.float32)
        scaled[:-1] = self.basis.scaled(gradient[:-1].reshape(flat.shape), flat).reshape(scaled[:-1].shape)
        scaled[-1] = gradient[-1] / at.curvature
        return scaled if turn is None else np.einsum("rpj,pkj->rpk", scaled, turn)

    def move(self, direction: Floats, slope: Floats, going: Flags) -> Flags:
        """Take a step in the problems `going` [P]; those that did, unless rounding is all that is left.

        The objective is convex, so that its slopes say enough: a step is taken where the slope along it has
        become flat, or still points down; else it is shortened by the secant of the slopes.
        """
        at = self.point
        direction[:, ~going] = 0.0
        ahead = _forward(self.basis, direction)
        ahead += direction[-1].astype(ahead.dtype)
        linear = self.penalty * _dot(at.state[:-1], direction[:-1])
        square = self.penalty * _dot(direction[:-1], direction[:-1])
        step = going.astype(np.float64)
        for _ in range(_HALVINGS):
            logits = at.logits + step.astype(ahead.dtype)[:, None] * ahead
            residual, probability = self.residual(logits)
            after = np.einsum("npk,npk->p", residual, ahead, dtype=np.float64) + linear + step * square
            long = going & (after > -_FLATTER * slope) & (step > 0)
            if not long.any():
                break
            shorter = slope[long] / (slope[long] - after[long])
            step[long] *= np.clip(shorter, 0.1, 0.9)
        else:
            step[long] = 0.0
            logits = at.logits + step.astype(ahead.dtype)[:, None] * ahead
            residual, probability = self.residual(logits)
        moved = step[:, None] * direction
        at.state, at.logits, before = at.state + moved, logits, at.gradient
        self.look(residual, probability)
        change = at.gradient - before
        product = _dot(moved, change)
        inverse = np.divide(1.0, product, out=np.zeros_like(product), where=product > 0)
        kinds = (moved.astype(np.float32), change.astype(np.float32), inverse.astype(np.float32))
        self.changes.append(_Change(*kinds))
        del self.changes[:-_HISTORY]
        fell: Flags = going & (step > 0)
        return fell


def _dot(one: Floats, other: Floats) -> Floats:
    """The products [P] of [r, P, K]."""
    product: Floats = np.einsum("rpk,rpk->p", one, other)
    return product


def _forward(basis: Basis, state: Floats) -> Numbers:
    """Logits [n, P, K] of the coefficients of states [r + 1, P, K]."""
    flat = basis.forward(state[:-1].reshape(len(state) - 1, -1))
    return flat.reshape(len(flat), *state.shape[1:])
