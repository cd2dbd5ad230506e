"""The plots of a probe card, drawn from the points that the training kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.api.archive.pages.plots import COLOURS, new_plot, plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from medsiglip.api.archive.pages.page import Part
    from medsiglip.probes.report import LabelReport

_GREY = "#8a8f98"
_SIZE = (4.6, 3.8)
_MOST_BARS = 24


def plots_of(entry: LabelReport) -> list[Part]:
    """The plots of a label: ROC, precision and recall, reliability, learning curve, and subgroups, as far as
    there is something to draw.
    """
    drawn = []
    if entry.curves is not None:
        drawn += [_roc(entry), _precision_recall(entry), _reliability(entry)]
    if len(entry.learning_curve) > 1:
        drawn.append(_learning_curve(entry))
    if any(one.auroc == one.auroc for one in entry.subgroups):
        drawn.append(_subgroups(entry))
    return drawn


def _roc(entry: LabelReport) -> Part:
    assert entry.curves is not None
    figure, axes = new_plot(*_SIZE)
    across, up = zip(*entry.curves.roc, strict=True)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    axes.plot(across, up, color=COLOURS[0], linewidth=1.8, drawstyle="steps-post")
    for number, point in enumerate(entry.operating_points):
        place = (1 - point.specificity, point.sensitivity)
        name = point.rule if point.target is None else f"{point.rule} {point.target:g}"
        shape, size = (("o", 10), ("s", 6), ("^", 7))[number % 3]
        axes.plot(
            *place,
            marker=shape,
            markersize=size,
            fillstyle="none" if number == 0 else "full",
            markeredgewidth=2 if number == 0 else 1,
            color=COLOURS[1 + number],
            linestyle="none",
            label=name,
        )
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    if entry.operating_points:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    low, high = entry.auroc_ci
    return plot(
        figure,
        f"ROC of {entry.label}, on unseen patients: AUROC {entry.auroc:.3f} ({low:.3f} to {high:.3f}); "
        "marks are the operating points, as they were measured.",
    )


def _precision_recall(entry: LabelReport) -> Part:
    assert entry.curves is not None
    figure, axes = new_plot(*_SIZE)
    across, up = zip(*entry.curves.precision_recall, strict=True)
    share = entry.positive / max(entry.n, 1)
    axes.axhline(share, color=_GREY, linestyle=":", linewidth=1)
    axes.plot(across, up, color=COLOURS[0], linewidth=1.8)
    axes.set(xlabel="recall", ylabel="precision", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return plot(
        figure,
        f"Precision over recall of {entry.label}, on unseen patients: average precision {entry.auprc:.3f}; "
        f"the dotted line is the share of positive cases, {share:.3f}.",
    )


def _reliability(entry: LabelReport) -> Part:
    assert entry.curves is not None
    figure, axes = new_plot(*_SIZE)
    points = entry.curves.reliability
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    _bars(axes, [one.predicted for one in points], [(one.observed, *one.observed_ci) for one in points])
    axes.set(xlabel="mean score", ylabel="share of positive cases", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    error = entry.calibration_error
    said = "" if error is None or error != error else f" Expected calibration error {error:.3f}."
    return plot(
        figure,
        f"Reliability of {entry.label}, on unseen patients, in parts of equally many cases; bars are 95 % "
        f"intervals.{said}",
    )


def _learning_curve(entry: LabelReport) -> Part:
    figure, axes = new_plot(*_SIZE)
    points = entry.learning_curve
    across = [one.groups for one in points]
    axes.fill_between(
        across,
        [one.lowest for one in points],
        [one.highest for one in points],
        color=COLOURS[0],
        alpha=0.2,
        linewidth=0,
    )
    axes.plot(across, [one.auroc for one in points], color=COLOURS[0], marker="o", linewidth=1.8)
    axes.set(xlabel="patients in training", ylabel="AUROC on unseen patients")
    axes.set_xlim(left=0)
    return plot(
        figure,
        f"Learning curve of {entry.label}: the mean over random draws of patients, and their range, which "
        "is no interval.",
    )


def _subgroups(entry: LabelReport) -> Part:
    shown = [one for one in entry.subgroups if one.auroc == one.auroc][:_MOST_BARS]
    figure, axes = new_plot(6.4, 0.9 + 0.3 * len(shown))
    low, high = entry.auroc_ci
    axes.axvspan(low, high, color=_GREY, alpha=0.2, linewidth=0)
    axes.axvline(entry.auroc, color=_GREY, linewidth=1)
    for place, one in enumerate(shown):
        worse = one.warning is not None and one.warning.startswith("worse")
        colour = COLOURS[4] if worse else COLOURS[0]
        axes.plot(one.auroc_ci, [place, place], color=colour, linewidth=2, alpha=0.6)
        axes.plot([one.auroc], [place], color=colour, marker="D" if worse else "o", markersize=5)
    names = [f"{one.attribute.removeprefix('patient_')} {_short(one.value)} ({one.groups})" for one in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=9, parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("AUROC on unseen patients")
    return plot(
        figure,
        f"Subgroups of {entry.label}, in brackets their patients; the band is AUROC of all. Diamonds are "
        "worse than the others beyond chance.",
    )


def _bars(axes: Axes, across: Sequence[float], values: Sequence[tuple[float, float, float]]) -> None:
    for place, (value, low, high) in zip(across, values, strict=True):
        axes.plot([place, place], [low, high], color=COLOURS[0], linewidth=2, alpha=0.6)
        axes.plot([place], [value], color=COLOURS[0], marker="o", markersize=5)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"
