"""The figures of calibrations, as the fields of their answer and as they are stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from medsiglip.answers.calibrations import CoveredShare, ReliabilityBin
from medsiglip.answers.calibrations import LabelCalibration as CalibratedLabel

if TYPE_CHECKING:
    from medsiglip.calibration.assessment import LabelCalibration
    from medsiglip.calibration.class_calibration import ClassCalibration
    from medsiglip.calibration.conformal import Share
    from medsiglip.figures.calibration_error import CalibrationError

_FIRST = {"label": "", "version": 0, "method": ""}


def label_figures(made: LabelCalibration) -> dict[str, Any]:
    """Those of one label, as JSON values without name, version and method."""
    conformal = made.conformal
    fields: dict[str, Any] = {"n": made.n, "positive": made.positive, "patients": made.groups}
    fields |= {"error": made.error, **_errors(made.before, made.after)}
    if conformal is None:
        fields["reason"] = "too few patients to measure coverage on others: label more"
    else:
        fields |= {"covered": tuple(_shares(conformal.covered))}
        fields |= {name: getattr(conformal, name) for name in ("present", "absent", "undecided")}
    return _json(fields)


def class_figures(made: ClassCalibration) -> dict[str, Any]:
    """Those of classes that exclude each other."""
    fields: dict[str, Any] = {"n": made.n, "patients": made.groups, "error": made.error}
    fields |= _errors(made.before, made.after)
    if made.covered is not None:
        fields |= {"covered": tuple(_shares([made.covered])), "set_size": made.set_size}
    return _json(fields)


def _json(fields: dict[str, Any]) -> dict[str, Any]:
    found = CalibratedLabel(**_FIRST, **fields).to_json()
    return {name: value for name, value in found.items() if name not in _FIRST}


def _errors(before: CalibrationError | None, after: CalibrationError | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, one in (("before", before), ("after", after)):
        if one is not None:
            fields |= {f"error_{name}": one.value, f"error_{name}_ci": one.interval}
            if one.reason is not None:
                fields["reason"] = one.reason
    if after is not None:
        fields["reliability"] = tuple(
            ReliabilityBin(
                low=one.low,
                high=one.high,
                n=one.n,
                patients=one.groups,
                predicted=one.predicted,
                observed=one.observed,
                ci=one.interval,
            )
            for one in after.bins
        )
    return fields


def _shares(shares: Iterable[Share]) -> Iterable[CoveredShare]:
    for one in shares:
        yield CoveredShare(of=one.of, n=one.n, share=one.value, ci=one.interval)
