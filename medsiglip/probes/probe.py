"""Linear probes: logistic regression on normalised embeddings, evaluated on patients it has not seen.

Every figure is out of fold, and folds never split a group (patient). Within each training part, C is chosen
from `STRENGTHS` on inner folds, again by group, as the one with the least log-loss on the inner validation
rows; the least log-loss also gives probabilities that can be used as such. The probe that is kept is fitted
on all rows.
"""

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import (
    ScoreEstimates,
    ThresholdEstimates,
    estimate_scores,
    estimate_threshold,
    group_codes,
    macro,
)
from medsiglip.numerics import Floats, Integers, sigmoid, unit_vectors
from medsiglip.probes.logistic import Basis, base_logit, fit_path
from medsiglip.probes.patient_folds import group_folds
from medsiglip.probes.report import LabelReport, ProbeReport

STRENGTHS: tuple[float, ...] = tuple(10.0**power for power in range(-4, 5))
"""The C that are tried, as in scikit-learn's `LogisticRegression`: small is strong regularisation."""

MINIMUM_GROUPS = 3
"""Groups with a positive row, and groups with a negative row, that a label needs."""

_FORMAT = 2
"""Format 1 had fewer figures in its report."""
SELECTION_TOLERANCE = 1e-6
"""Of the mean log-loss, while a C is chosen."""
FINAL_TOLERANCE = 1e-11
"""Of the mean log-loss, for the probe that is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A trained probe, `coef` [L, d], `intercept` [L] and `c` [L] by label, for unit vectors of `space`."""

    space: str
    labels: tuple[str, ...]
    coef: Floats
    intercept: Floats
    c: Floats
    report: ProbeReport

    def predict_probability(self, vectors: npt.NDArray[np.floating[Any]]) -> Floats:
        """Probability of each label, [n, L], for vectors [n, d], which are brought to unit length.

        Raises ModelError "dimension-mismatch" or "vector-not-finite".
        """
        rows = _unit(vectors)
        if rows.shape[1] != self.coef.shape[1]:
            message = f"The probe takes vectors of {self.coef.shape[1]} components, not {rows.shape[1]}."
            raise ModelError(
                "dimension-mismatch", f"{message} Use the model it was trained with, or train it again."
            )
        return sigmoid(rows @ self.coef.T + self.intercept)

    def save(self, path: Path) -> None:
        """Write the probe to an .npz file, atomically. Raises ModelError "probe-not-written"."""
        metadata = {"space": self.space, "labels": self.labels, "report": self.report.to_json()}
        _write_archive(path, {"coef": self.coef, "intercept": self.intercept, "c": self.c}, metadata)

    @staticmethod
    def load(path: Path) -> "Probe":
        """Read a probe that `save` wrote. Raises ModelError "probe-unknown", "probe-newer" or
        "probe-unreadable".
        """
        (coef, intercept, c), metadata = _read_archive(path, ("coef", "intercept", "c"))
        try:
            labels = tuple(metadata["labels"])
            report = ProbeReport.from_json(metadata["report"])
            probe = Probe(str(metadata["space"]), labels, coef, intercept, c, report)
        except (KeyError, TypeError) as error:
            raise _unreadable(path) from error
        if not len(labels) == len(coef) == len(intercept) == len(c):
            raise _unreadable(path)
        return probe


def train(
    vectors: npt.NDArray[np.floating[Any]],
    labels: Mapping[str, npt.ArrayLike],
    groups: Sequence[object],
    *,
    space: str,
    folds: int = 5,
    inner_folds: int = 3,
    seed: int = 0,
) -> tuple[Probe, ProbeReport]:
    """Train a probe for each label [n] of 0, 1 or NaN on vectors [n, d] with one group for each row.

    The out-of-fold AUROC pools the rows of all folds. Intervals do not include how much the probe itself
    would vary with another training set. Each fold's logits are taken relative to the base rate it was
    trained with: a fold with more positives leaves fewer to train on, and pooling raw logits would count that
    against a probe that knows nothing (Forman and Scholz, SIGKDD Explorations 2010).

    A label with too few groups of either class is left out with a warning. Raises ModelError:
    "too-few-groups" when no label is left, "label-not-binary", "shape-mismatch", "vector-not-finite",
    "no-labels".
    """
    rows = _unit(vectors)
    names, matrix = _matrix(labels, len(rows), len(groups))
    labelled: npt.NDArray[np.bool_] = ~np.all(np.isnan(matrix), axis=1)
    codes = group_codes([group for group, keep in zip(groups, labelled, strict=True) if keep])
    kept, warnings = _sufficient(names, matrix[labelled], codes)
    rows, matrix, names = rows[labelled], matrix[labelled][:, kept], [names[column] for column in kept]
    count = len(np.unique(codes))
    folds = min(folds, count)
    scores, probabilities = _out_of_fold(rows, matrix, codes, folds, inner_folds, seed)
    chosen = _choose(rows, matrix, codes, inner_folds, seed)
    coef, intercept = _fit(rows, matrix, chosen)
    entries = []
    for column, name in enumerate(names):
        known = ~np.isnan(matrix[:, column])
        truth, groups_known = matrix[known, column], codes[known]
        estimates = estimate_scores(truth, scores[known, column], groups_known, seed=seed)
        decided = estimate_threshold(truth, probabilities[known, column], groups_known)
        entries.append(_label_report(name, estimates, decided, float(chosen[column])))
    average = macro([entry.auroc for entry in entries])
    report = ProbeReport(count, folds, tuple(entries), average, tuple(warnings))
    return Probe(space, tuple(names), coef, intercept, chosen, report), report


def _label_report(
    name: str, estimates: ScoreEstimates, decided: ThresholdEstimates, strength: float
) -> LabelReport:
    auroc = estimates.auroc
    return LabelReport(
        label=name,
        n=auroc.n,
        positive=auroc.positive,
        auroc=auroc.value,
        auroc_ci=auroc.interval,
        auprc=estimates.auprc.value,
        auprc_ci=estimates.auprc.interval,
        sensitivity=decided.sensitivity,
        sensitivity_ci=decided.sensitivity_interval,
        specificity=decided.specificity,
        specificity_ci=decided.specificity_interval,
        c=strength,
        caution=estimates.caution,
    )


def _out_of_fold(
    rows: Floats, matrix: Floats, codes: Integers, folds: int, inner_folds: int, seed: int
) -> tuple[Floats, Floats]:
    """Logits [n, L] from the probe that has not seen the row's group, relative to that probe's base rate, and
    its probabilities [n, L].
    """
    scores, probabilities = np.full(matrix.shape, np.nan), np.full(matrix.shape, np.nan)
    fold = group_folds(matrix, codes, folds, seed)
    for number in range(folds):
        train_rows, test_rows = fold != number, fold == number
        part, truth = rows[train_rows], matrix[train_rows]
        chosen = _choose(part, truth, codes[train_rows], inner_folds, seed + 1 + number)
        coef, intercept = _fit(part, truth, chosen)
        logits = rows[test_rows] @ coef.T + intercept
        scores[test_rows], probabilities[test_rows] = logits - base_logit(truth), sigmoid(logits)
    return scores, probabilities


def _choose(rows: Floats, matrix: Floats, codes: Integers, folds: int, seed: int) -> Floats:
    """The C of each label [L] with the least log-loss on folds by group."""
    folds = min(folds, len(np.unique(codes)))
    if folds < 2:
        return np.ones(matrix.shape[1])
    fold = group_folds(matrix, codes, folds, seed)
    loss = np.zeros((len(STRENGTHS), matrix.shape[1]))
    for number in range(folds):
        train_rows, test_rows = fold != number, fold == number
        path = fit_path(Basis.of(rows[train_rows]), matrix[train_rows], STRENGTHS, SELECTION_TOLERANCE)
        truth = matrix[test_rows]
        for position, solution in enumerate(path):
            logits = solution.logits(rows[test_rows])
            loss[position] += np.nansum(np.logaddexp(0.0, logits) - truth * logits, axis=0)
    chosen: Floats = np.asarray(STRENGTHS)[loss.argmin(axis=0)]
    return chosen


def _fit(rows: Floats, matrix: Floats, chosen: Floats) -> tuple[Floats, Floats]:
    """Coefficients [L, d] and intercepts [L], each label at its own C."""
    basis = Basis.of(rows)
    coef = np.zeros((matrix.shape[1], rows.shape[1]))
    intercept = np.zeros(matrix.shape[1])
    for strength in np.unique(chosen):
        columns = np.flatnonzero(chosen == strength)
        solution = fit_path(basis, matrix[:, columns], [float(strength)], FINAL_TOLERANCE)[0]
        coef[columns], intercept[columns] = solution.coef, solution.intercept
    return coef, intercept


def _sufficient(names: Sequence[str], matrix: Floats, codes: Integers) -> tuple[list[int], list[str]]:
    """The columns with enough groups of both classes, and a sentence for each of the others."""
    kept, sentences = [], []
    for column, name in enumerate(names):
        positive, negative = matrix[:, column] == 1.0, matrix[:, column] == 0.0
        groups = [len(np.unique(codes[rows])) for rows in (positive, negative)]
        if min(groups) >= MINIMUM_GROUPS:
            kept.append(column)
            continue
        sentences.append(
            f"Label '{name}' has {positive.sum()} positive rows from {groups[0]} groups and {negative.sum()} "
            f"negative rows from {groups[1]}; label at least {MINIMUM_GROUPS} groups (patients) of each."
        )
    if not kept:
        raise ModelError("too-few-groups", " ".join(sentences))
    return kept, sentences


def _matrix(labels: Mapping[str, npt.ArrayLike], rows: int, groups: int) -> tuple[list[str], Floats]:
    if not labels:
        raise ModelError("no-labels", "There is no label to train on; import labels or name one.")
    columns = [np.asarray(values, dtype=np.float64) for values in labels.values()]
    for name, column in zip(labels, columns, strict=True):
        if column.shape != (rows,) or groups != rows:
            message = f"Label '{name}' has {column.size} values for {rows} vectors and {groups} groups"
            raise ModelError("shape-mismatch", f"{message}; give one of each for every row.")
        if not np.isin(column[~np.isnan(column)], (0.0, 1.0)).all():
            message = f"Label '{name}' has a value that is neither 0, 1 nor empty; correct the label column."
            raise ModelError("label-not-binary", message)
    return list(labels), np.stack(columns, axis=1)


def _unit(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2:
        raise ModelError("shape-mismatch", f"Vectors must be [n, d], not of shape {rows.shape}.")
    if not np.isfinite(rows).all():
        raise ModelError("vector-not-finite", "A vector holds NaN or infinity; embed its image again.")
    return unit_vectors(rows)


def _write_archive(path: Path, arrays: Mapping[str, Floats], metadata: Mapping[str, Any]) -> None:
    """Write the file; a reader sees the old one or the whole new one, also after a crash.

    Raises ModelError "probe-not-written" when the folder cannot be written to.
    """
    text = json.dumps({"format": _FORMAT, **metadata})
    text_bytes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, allow_pickle=False, metadata=text_bytes, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"{path}: the probe cannot be written ({reason}); free some space or choose another folder."
        raise ModelError("probe-not-written", message) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _read_archive(path: Path, names: Sequence[str]) -> tuple[list[Floats], dict[str, Any]]:
    """The named arrays and the metadata.

    Raises ModelError "probe-unknown" for a missing file, "probe-newer" for one of a later version, and
    "probe-unreadable" for one of another kind.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            metadata = json.loads(archive["metadata"].tobytes().decode("utf-8"))
            _require_known(path, metadata["format"])
            arrays = [archive[name].astype(np.float64) for name in names]
    except FileNotFoundError as error:
        raise ModelError("probe-unknown", f"{path}: there is no such probe; train it first.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path) from error
    return arrays, metadata


def _require_known(path: Path, version: object) -> None:
    if not isinstance(version, int) or version < 1:
        raise _unreadable(path)
    if version > _FORMAT:
        raise ModelError(
            "probe-newer",
            f"{path}: a newer version of this program wrote the probe (format {version}, this version reads "
            f"up to {_FORMAT}); update the program, or train the probe again with this one.",
        )


def _unreadable(path: Path) -> ModelError:
    """The error for a file that is not a whole probe of this version."""
    message = f"{path}: the file is damaged or not a probe of this version; train the probe again."
    return ModelError("probe-unreadable", message)
