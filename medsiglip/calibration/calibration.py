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
                points = [np.array(stored[name], np.float64) for name in ("margins", "rates")]
                if points[0].shape != points[1].shape or points[0].ndim != 1 or not points[0].size:
                    raise ValueError("points")
                return Calibration("isotonic", margins=points[0], rates=points[1])
            if stored["method"] not in METHODS:
                raise ValueError("method")
            return Calibration(stored["method"], float(stored["slope"]), float(stored["intercept"]))
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(error) from error


def unreadable(error: Exception) -> ModelError:
    """What to raise for stored JSON that is no calibration."""
    return ModelError(
        "calibration-unreadable",
        f"A stored calibration cannot be read ({error}); remove it, and calibrate again.",
    )
