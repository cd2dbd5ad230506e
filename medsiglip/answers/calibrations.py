"""Answers about calibrations: what was fitted, from which cases, and what it is worth on other patients."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Moment

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class CoveredShare(Answer):
    """The share of prediction sets that hold the truth, of `n` cases: `of` is `present` or `absent`, alone or
    with a stratum (`present, sex F`), or `all` of classes.
    """

    of: str
    n: int
    share: float
    ci: Interval


class ReliabilityBin(Answer):
    """`n` cases of `patients` patients whose calibrated probability lies from `low` to `high`: its mean, and
    the rate of those that are positive.
    """

    low: float
    high: float
    n: int
    patients: int
    predicted: float
    observed: float
    ci: Interval


class LabelCalibration(Answer):
    """The calibration of one label, or of all classes of a set that exclude each other (`*`).

    `n`, `positive` and `patients` count the labelled cases. `error_before` is the expected calibration error
    of the uncalibrated score, `error_after` that of calibrated probabilities, out of fold by patient. At the
    bound `error` the sets of `covered` cases hold the truth, also out of fold; `present`, `absent` and
    `undecided` are the shares of cases that get each verdict. `set_size` is the mean size of a set of
    classes. `reason` says why a figure is missing.
    """

    label: str
    version: int
    method: str
    n: int
    positive: int | None = None
    patients: int
    error_before: Figure = None
    error_before_ci: Interval | None = None
    error_after: Figure = None
    error_after_ci: Interval | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    error: float
    covered: tuple[CoveredShare, ...] = ()
    present: Figure = None
    absent: Figure = None
    undecided: Figure = None
    set_size: Figure = None
    reason: str | None = None
    created_at: Moment | None = None


class RefusedLabel(Answer):
    """A label that could not be calibrated, and why."""

    label: str
    code: str
    reason: str


class Calibration(Answer):
    """The calibrations of one subject, `prompts:NAME`, `labels` or `probe:NAME`, at one level of one space.

    `refused` are labels that this run could not calibrate, `unlabelled` those that no case carries.
    `outdated` is true where the texts of a label, or the probe, have changed since: `warnings` name the
    labels whose newest calibration is not applied. It is missing for a prompt set of the caller's own.
    """

    subject: str
    space: str
    level: Literal["image", "series", "study"]
    labels: tuple[LabelCalibration, ...]
    refused: tuple[RefusedLabel, ...] = ()
    unlabelled: tuple[str, ...] = ()
    outdated: bool | None = None
    active: bool | None = None
    warnings: tuple[str, ...] = ()


class CalibrationList(Answer):
    """The calibrations of the archive; `active` is false for those of a space that it does not work in."""

    calibrations: tuple[Calibration, ...]


class RemovedCalibrations(Answer):
    """How many labels' calibrations of a subject are gone, of all versions."""

    subject: str
    removed: int
