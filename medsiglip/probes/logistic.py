"""L2-regularised logistic regression for many labels and many strengths at once.

Minimises, for each label, ``C * sum(log-loss) + |w|^2 / 2`` with an unpenalised intercept (the objective of
scikit-learn's `LogisticRegression`). All labels share the rows; a missing label is a row of weight 0.

The rows are centred, which the free intercept absorbs, and turned to their principal axes once. In that basis
the Hessian ``Z' W Z + I / C`` is close to diagonal for every C and label, so a truncated Newton method
(conjugate gradients with a diagonal preconditioner) needs few steps, each two matrix products for all labels
together. Going from small to large C, each solution starts the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.numerics import Floats, sigmoid

_NEWTON_STEPS = 200
_CONJUGATE_STEPS = 200
_HALVINGS = 40


@dataclass(frozen=True, slots=True)
class Basis:
    """Rows turned to their principal axes: `rows` [n, r], `axes` [d, r], `mean` [d], `variances` [r]."""

    rows: Floats
    axes: Floats
    mean: Floats
    variances: Floats

    @staticmethod
    def of(vectors: Floats) -> "Basis":
        """The basis of vectors [n, d]; r is at most the smaller of n and d."""
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        n, d = centred.shape
        gram = centred.T @ centred if d <= n else centred @ centred.T
        squares, eigenvectors = np.linalg.eigh(gram)
        kept = squares > max(n, d) * np.finfo(np.float64).eps * (vectors**2).sum()
        squares, eigenvectors = squares[kept], eigenvectors[:, kept]
        if d > n:
            eigenvectors = centred.T @ (eigenvectors / np.sqrt(squares))
        rows = np.ascontiguousarray(centred @ eigenvectors)
        return Basis(rows, eigenvectors, mean, squares / max(n, 1))


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

    Stops when the Newton decrement bounds the excess of the mean log-loss by `tolerance`. A label with one
    class only has no finite optimum: it gets the intercept of its smoothed prevalence and no coefficients.
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
        coef = (basis.axes @ state[:-1]).T
        solutions.append(Solution(coef, state[-1] - coef @ basis.mean))
    return solutions


def base_logit(labels: Floats) -> Floats:
    """Logit [L] of the prevalence in labels [n, L] of 0, 1 or NaN, smoothed where there is one class only."""
    positive, negative = (labels == 1.0).sum(axis=0), (labels == 0.0).sum(axis=0)
    smoothing = np.where((positive > 0) & (negative > 0), 0.0, 0.5)
    logit: Floats = np.log((positive + smoothing) / (negative + smoothing))
    return logit


@dataclass(slots=True)
class _Problem:
    """Columns of labels with both classes; a state is [r + 1, L], the intercepts last."""

    basis: Basis
    target: Floats
    weight: Floats

    def solve(self, start: Floats, penalty: float, tolerance: float) -> Floats:
        state = start.copy()
        active = np.arange(state.shape[1])
        enough = tolerance * self.weight.sum(axis=0)
        for _ in range(_NEWTON_STEPS):
            if not active.size:
                break
            part = _Problem(self.basis, self.target[:, active], self.weight[:, active])
            state[:, active], decrement = part._newton_step(state[:, active], penalty)
            active = active[decrement > enough[active]]
        return state

    def _newton_step(self, state: Floats, penalty: float) -> tuple[Floats, Floats]:
        """The next state, and an estimate [L] of how far the objective of this one is above its minimum.

        The estimate is half the squared Newton decrement.
        """
        logits = self._forward(state)
        probability = sigmoid(logits)
        gradient = self._backward(self.weight * (probability - self.target))
        gradient[:-1] += penalty * state[:-1]
        curvature = self.weight * probability * (1.0 - probability)
        direction = self._conjugate_gradients(gradient, curvature, penalty)
        slope = (gradient * direction).sum(axis=0)
        step = self._line_search(state, logits, direction, slope, penalty)
        return state + step * direction, -slope / 2.0

    def _conjugate_gradients(self, gradient: Floats, curvature: Floats, penalty: float) -> Floats:
        """Solve Hessian @ direction = -gradient, until the residual is small against the gradient."""
        mean_curvature = curvature.sum(axis=0) / self.weight.sum(axis=0)
        scale = np.vstack(
            [
                np.outer(self.basis.variances * len(self.basis.rows), mean_curvature) + penalty,
                np.maximum(curvature.sum(axis=0), 1e-12)[None],
            ]
        )
        direction = np.zeros_like(gradient)
        residual = -gradient
        conditioned = residual / scale
        ahead = conditioned.copy()
        energy = (residual * conditioned).sum(axis=0)
        # Eisenstat and Walker's forcing term: superlinear convergence without solving early systems too well.
        enough = energy * np.minimum(0.1, np.sqrt(energy / self.weight.sum(axis=0))) ** 2
        for _ in range(_CONJUGATE_STEPS):
            if (energy <= enough).all():
                break
            product = self._backward(curvature * self._forward(ahead))
            product[:-1] += penalty * ahead[:-1]
            bend = (ahead * product).sum(axis=0)
            length = np.divide(energy, bend, out=np.zeros_like(bend), where=bend > 0)
            direction += length * ahead
            residual -= length * product
            conditioned = residual / scale
            following = (residual * conditioned).sum(axis=0)
            ratio = np.divide(following, energy, out=np.zeros_like(energy), where=energy > 0)
            ahead = conditioned + ratio * ahead
            energy = following
        return direction

    def _line_search(
        self, state: Floats, logits: Floats, direction: Floats, slope: Floats, penalty: float
    ) -> Floats:
        """Halve the step of each column until the objective falls enough (Armijo)."""
        change = self._forward(direction)
        step = np.ones(state.shape[1])
        before = self._objective(logits, state, penalty)
        for _ in range(_HALVINGS):
            after = self._objective(logits + step * change, state + step * direction, penalty)
            # Near the optimum the fall is below the rounding of the objective itself.
            failed = after > before + 1e-4 * step * slope + 1e-13 * np.abs(before)
            if not failed.any():
                break
            step[failed] /= 2.0
        return step

    def _objective(self, logits: Floats, state: Floats, penalty: float) -> Floats:
        loss = self.weight * (np.logaddexp(0.0, logits) - self.target * logits)
        total: Floats = loss.sum(axis=0) + penalty / 2.0 * (state[:-1] ** 2).sum(axis=0)
        return total

    def _forward(self, state: Floats) -> Floats:
        product: Floats = self.basis.rows @ state[:-1] + state[-1]
        return product

    def _backward(self, rows: Floats) -> Floats:
        return np.vstack([self.basis.rows.T @ rows, rows.sum(axis=0)[None]])
