"""`Calibration`: what turns the margin of one label into a probability.

A margin is the logit of an uncalibrated score. `temperature` multiplies it, `platt` also shifts it (Platt,
"Probabilistic outputs for support vector machines", 1999), `isotonic` is a rising function through points
(Zadrozny and Elkan, KDD 2002), between which it is linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.numerics import Floats, sigmoid

Method = Literal["temperature", "platt", "isotonic"]
METHODS: tuple[Method, ...] = ("temperature", "platt", "isotonic")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Of `temperature` and `platt` the probability is sigmoid(slope * margin + intercept), whose intercept is
    0 for the former; of `isotonic` it is interpolated between `margins` [p], which rise, and `rates` [p].
    """

    method: Method
    slope: float = 1.0
    intercept: float = 0.0
    margins: Floats | None = None
    rates: Floats | None = None

    def probability(self, margins: npt.ArrayLike) -> Floats:
        """The probability, between 0 and 1, of margins of any shape."""
        given = np.asarray(margins, np.float64)
        if self.margins is not None and self.rates is not None:
            return np.asarray(np.interp(given, self.margins, self.rates), np.float64)
        return sigmoid(self.slope * given + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        if self.margins is not None and self.rates is not None:
            points = {"margins": self.margins.tolist(), "rates": self.rates.tolist()}
            return {"method": self.method, **points}
        return {"method": self.method, "slope": self.slope, "intercept": self.intercept}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Calibration:
        """What `to_json` gave. Raises ModelError "calibration-unreadable" for anything else."""
        try:
            if stored["method"] == "isotonic":
                margins, rates = (np.array(stored[name], np.float64) for name in ("margins", "rates"))
                if not _rises(margins, rates):
                    raise ValueError("points")
                return Calibration("isotonic", margins=margins, rates=rates)
            slope, intercept = float(stored["slope"]), float(stored["intercept"])
            if stored["method"] not in METHODS or not 0 <= slope < np.inf or not np.isfinite(intercept):
                raise ValueError("method, slope or intercept")
            return Calibration(stored["method"], slope, intercept)
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(error) from error


def unreadable(error: Exception) -> ModelError:
    """What to raise for stored JSON that is no calibration."""
    return ModelError(
        "calibration-unreadable",
        f"A stored calibration cannot be read ({error}); remove it, and calibrate again.",
    )


def _rises(margins: Floats, rates: Floats) -> bool:
    """Whether these are the points of a rising function from margins to probabilities."""
    if margins.ndim != 1 or margins.shape != rates.shape or not margins.size:
        return False
    rising = np.isfinite(margins).all() and (np.diff(margins) >= 0).all() and (np.diff(rates) >= 0).all()
    return bool(rising and rates[0] >= 0 and rates[-1] <= 1)
