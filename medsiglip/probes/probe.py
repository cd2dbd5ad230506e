"""A trained probe: what it predicts, and the file that it is kept in."""

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
from medsiglip.numerics import Floats, sigmoid, unit_vectors
from medsiglip.probes.pooling import Pooling
from medsiglip.probes.report import ProbeReport

_FORMAT = 3
"""Format 1 had fewer figures in its report, format 2 neither `exclusive` nor `pooling`."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A trained probe, `coef` [L, d], `intercept` [L] and `c` [L] by label, for unit vectors of `space`.

    Its labels are each for itself, or classes of which one is so, `exclusive`. `pooling` is how the pictures
    of a series or study become one score: by the mean of their vectors, or the `max` of their scores.
    """

    space: str
    labels: tuple[str, ...]
    coef: Floats
    intercept: Floats
    c: Floats
    report: ProbeReport
    exclusive: bool = False
    pooling: Pooling = "mean"

    def predict_logits(self, vectors: npt.NDArray[np.floating[Any]]) -> Floats:
        """Logit of each label, [n, L], for vectors [n, d], which are brought to unit length; of exclusive
        classes the logits of the softmax.

        Raises ModelError "dimension-mismatch" or "vector-not-finite".
        """
        rows = unit_rows(vectors)
        if rows.shape[1] != self.coef.shape[1]:
            message = f"The probe takes vectors of {self.coef.shape[1]} components, not {rows.shape[1]}."
            raise ModelError(
                "dimension-mismatch", f"{message} Use the model it was trained with, or train it again."
            )
        logits: Floats = rows @ self.coef.T + self.intercept
        return logits

    def predict_probability(self, vectors: npt.NDArray[np.floating[Any]]) -> Floats:
        """Probability of each label, [n, L], for vectors [n, d]. Raises as `predict_logits` does."""
        return self.probability(self.predict_logits(vectors))

    def probability(self, logits: Floats) -> Floats:
        """Probabilities [n, L] of logits [n, L]."""
        return softmax(logits) if self.exclusive else sigmoid(logits)

    def save(self, path: Path) -> None:
        """Write the probe to an .npz file, atomically. Raises ModelError "probe-not-written"."""
        metadata = {
            "space": self.space,
            "labels": self.labels,
            "report": self.report.to_json(),
            "exclusive": self.exclusive,
            "pooling": self.pooling,
        }
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
            exclusive = bool(metadata.get("exclusive", False))
            pooling: Pooling = "max" if metadata.get("pooling") == "max" else "mean"
            probe = Probe(str(metadata["space"]), labels, coef, intercept, c, report, exclusive, pooling)
        except (KeyError, TypeError) as error:
            raise _unreadable(path) from error
        if not len(labels) == len(coef) == len(intercept) == len(c):
            raise _unreadable(path)
        return probe


def unit_rows(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """Vectors [n, d] of unit length. Raises ModelError "shape-mismatch" or "vector-not-finite"."""
    rows = np.asarray(vectors, dtype=np.float64)
    if rows.ndim != 2:
        raise ModelError("shape-mismatch", f"Vectors must be [n, d], not of shape {rows.shape}.")
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        raise ModelError(
            "vector-not-finite",
            f"{broken.size} of {len(rows)} vectors hold NaN or infinity, the first in row {broken[0]}; embed "
            "their images again.",
        )
    return unit_vectors(rows)


def softmax(logits: Floats) -> Floats:
    """Probabilities [n, K] of classes that exclude each other, of logits [n, K]."""
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability: Floats = shares / shares.sum(axis=1, keepdims=True)
    return probability


def class_odds(logits: Floats) -> Floats:
    """Log-odds [n, K] of each class against all others, of softmax logits [n, K]."""
    odds = np.empty_like(logits)
    for column in range(logits.shape[1]):
        others = np.delete(logits, column, axis=1)
        odds[:, column] = logits[:, column] - np.logaddexp.reduce(others, axis=1)
    return odds


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
