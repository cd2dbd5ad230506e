"""L2-regularised logistic regression for many labels and many strengths at once.

Minimises, for each label, ``C * sum(log-loss) + |w|^2 / 2`` with an unpenalised intercept (the objective of
scikit-learn's `LogisticRegression`). All labels share the rows; a missing label is a row of weight 0.

The rows are centred, which the free intercept absorbs. One eigendecomposition of their products ``X' X``
comes close to the Hessian ``X' W X + I / C`` of every label at every C, with the mean of the weights W in
their place: the metric in which a limited-memory quasi-Newton method (L-BFGS; Nocedal and Wright, Numerical
Optimization, 2nd edition, algorithm 7.4) needs some ten steps, each two matrix products for all labels
together. They are taken in float32 until its rounding shows, then in float64. Going from small to large C,
each solution starts the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats, sigmoid

_STEPS = 500
_HALVINGS = 40
_HISTORY = 12
_SINGLE_TOLERANCE = 1e-10
"""Of the mean log-loss: below it float32 gradients no longer say where to go."""
_SAFETY = 4.0
"""By how much the estimate of the excess must be below what is wanted: the metric is not the Hessian."""
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Basis:
    """Centred rows [n, r] and the metric of their products: `single` are the rows in float32, `principal`
    [r, r] the eigenvectors and `squares` [r] the eigenvalues of `rows.T @ rows`. Coefficients `w` [r] are
    `axes @ w` for the vectors [n, d] if r is less than d; else `axes` is None.
    """

    rows: Floats
    single: Singles
    mean: Floats
    principal: Singles
    squares: Floats
    axes: Floats | None

    @staticmethod
    def of(vectors: Floats) -> "Basis":
        """The basis of vectors [n, d]; r is at most the smaller of n and d."""
        from scipy.linalg import eigh

        mean = vectors.mean(axis=0)
        centred = vectors - mean
        axes = None
        if len(centred) < centred.shape[1]:
            axes = np.linalg.qr(centred.T)[0]
            centred = centred @ axes
        single = centred.astype(np.float32)
        squares, principal = eigh(single.T @ single, driver="evd", overwrite_a=True, check_finite=False)
        return Basis(centred, single, mean, principal, np.maximum(squares.astype(np.float64), 0.0), axes)

    def scaled(self, gradient: Floats, scale: Floats) -> Floats:
        """Gradients [r, L] divided by `scale` [r, L] along the principal axes."""
        along = self.principal.T @ gradient.astype(np.float32)
        return (self.principal @ (along / scale.astype(np.float32))).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Solution:
    """Coefficients [L, d] and intercepts [L] in the coordinates of the vectors."""

    coef: Floats
    intercept: Floats

    def logits(self, vectors: Floats) -> Floats:
        """Logits [n, L] of vectors [n, d]."""
        product: Floats = vectors @ self.coef.T + self.intercept
        return product


def fit_path(basis: Basis, labels: Floats, strengths: Sequence[float], tolerance: float) -> list[Solution]:
    """Fit labels [n, L] of 0, 1 or NaN at each C of `strengths`, given from small to large.

    Stops when the estimated excess of the mean log-loss is below `tolerance`. A label with one class only has
    no finite optimum: it gets the intercept of its smoothed prevalence and no coefficients.
    """
    weight = (~np.isnan(labels)).astype(np.float64)
    target = np.nan_to_num(labels)
    state = np.zeros((basis.rows.shape[1] + 1, labels.shape[1]))
    state[-1] = base_logit(labels)
    mixed = np.flatnonzero((labels == 1.0).any(axis=0) & (labels == 0.0).any(axis=0))
    problem = _Problem(basis, target[:, mixed], weight[:, mixed])
    solutions = []
    for strength in strengths:
        state[:, mixed] = problem.solve(state[:, mixed], 1.0 / strength, tolerance)
        inner = state[:-1].copy()
        coef = (inner if basis.axes is None else basis.axes @ inner).T
        solutions.append(Solution(coef, state[-1] - coef @ basis.mean))
    return solutions


def base_logit(labels: Floats) -> Floats:
    """Logit [L] of the prevalence in labels [n, L] of 0, 1 or NaN, smoothed where there is one class only."""
    positive, negative = (labels == 1.0).sum(axis=0), (labels == 0.0).sum(axis=0)
    smoothing = np.where((positive > 0) & (negative > 0), 0.0, 0.5)
    logit: Floats = np.log((positive + smoothing) / (negative + smoothing))
    return logit


@dataclass(frozen=True, slots=True)
class _Change:
    """A step [r + 1, L], what it changed the gradient by, and the inverse of their product [L], or 0 where
    that is not positive.
    """

    step: Floats
    gradient: Floats
    inverse: Floats


@dataclass(slots=True)
class _Problem:
    """Columns of labels with both classes; a state is [r + 1, L], the intercepts last."""

    basis: Basis
    target: Floats
    weight: Floats

    def solve(self, start: Floats, penalty: float, tolerance: float) -> Floats:
        if not start.shape[1]:
            return start
        changes: list[_Change] = []
        state = self._descend(start, penalty, max(tolerance, _SINGLE_TOLERANCE), changes, self.basis.single)
        if tolerance >= _SINGLE_TOLERANCE:
            return state
        return self._descend(state, penalty, tolerance, changes, self.basis.rows)

    def _descend(
        self,
        state: Floats,
        penalty: float,
        tolerance: float,
        changes: list[_Change],
        rows: Floats | Singles,
    ) -> Floats:
        """Go down until the excess of every label is estimated to be below `tolerance` times its rows."""
        logits = _forward(rows, state)
        gradient, curvature = self._derivatives(rows, state, logits, penalty)
        enough = tolerance / _SAFETY * self.weight.sum(axis=0)
        done = np.zeros(state.shape[1], bool)
        for _ in range(_STEPS):
            direction = self._direction(gradient, curvature, penalty, changes)
            slope = (gradient * direction).sum(axis=0)
            done |= -slope / 2.0 <= enough
            if done.all():
                break
            direction[:, done] = 0.0
            ahead = _forward(rows, direction)
            step = self._line_search(state, logits, (direction, ahead, slope), penalty)
            if not step[~done].any():  # rounding is all that is left
                break
            moved = step * direction
            state, logits, before = state + moved, logits + step * ahead, gradient
            gradient, curvature = self._derivatives(rows, state, logits, penalty)
            change = gradient - before
            product = (moved * change).sum(axis=0)
            inverse = np.divide(1.0, product, out=np.zeros_like(product), where=product > 0)
            changes.append(_Change(moved, change, inverse))
            del changes[:-_HISTORY]
        return state

    def _derivatives(
        self, rows: Floats | Singles, state: Floats, logits: Floats, penalty: float
    ) -> tuple[Floats, Floats]:
        """The gradient [r + 1, L] and the sums of the weights of the Hessian [L]."""
        probability = sigmoid(logits)
        residual = self.weight * (probability - self.target)
        gradient = np.vstack([_product(rows.T, residual), residual.sum(axis=0)[None]])
        gradient[:-1] += penalty * state[:-1]
        curvature = (self.weight * probability * (1.0 - probability)).sum(axis=0)
        return gradient, np.maximum(curvature, 1e-12)

    def _direction(
        self, gradient: Floats, curvature: Floats, penalty: float, changes: Sequence[_Change]
    ) -> Floats:
        """The quasi-Newton direction from the last changes, latest last."""
        left = gradient.copy()
        shares = []
        for one in reversed(changes):
            share = one.inverse * (one.step * left).sum(axis=0)
            left -= share * one.gradient
            shares.append(share)
        scale = np.outer(self.basis.squares, curvature / self.weight.sum(axis=0)) + penalty
        found = np.vstack([self.basis.scaled(left[:-1], scale), (left[-1] / curvature)[None]])
        for one, share in zip(changes, reversed(shares), strict=True):
            found += one.step * (share - one.inverse * (one.gradient * found).sum(axis=0))
        return -found

    def _line_search(
        self, state: Floats, logits: Floats, towards: tuple[Floats, Floats, Floats], penalty: float
    ) -> Floats:
        """Halve the step of each column until the objective falls enough (Armijo); 0 where it never does.

        `towards` is the direction, what it adds to the logits, and the slope along it.
        """
        direction, ahead, slope = towards
        step = np.ones(state.shape[1])
        before = self._objective(logits, state, penalty)
        for _ in range(_HALVINGS):
            after = self._objective(logits + step * ahead, state + step * direction, penalty)
            # Near the optimum the fall is below the rounding of the objective itself.
            failed = after > before + 1e-4 * step * slope + 1e-13 * np.abs(before)
            if not failed.any():
                return step
            step[failed] /= 2.0
        step[failed] = 0.0
        return step

    def _objective(self, logits: Floats, state: Floats, penalty: float) -> Floats:
        loss = self.weight * (np.logaddexp(0.0, logits) - self.target * logits)
        total: Floats = loss.sum(axis=0) + penalty / 2.0 * (state[:-1] ** 2).sum(axis=0)
        return total


def _forward(rows: Floats | Singles, state: Floats) -> Floats:
    """Logits [n, L]."""
    logits: Floats = _product(rows, state[:-1]) + state[-1]
    return logits


def _product(left: Floats | Singles, right: Floats) -> Floats:
    """A matrix product, taken in the precision of `left`."""
    product: Floats = (left @ right.astype(left.dtype)).astype(np.float64, copy=False)
    return product
