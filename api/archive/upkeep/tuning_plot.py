"""A picture of the trials of `index tune`: time against recall, with the memory of the codes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from medsiglip.answers.index_tuning import IndexTuning, TuningTrial

# The least share of exact neighbours missed that is drawn: a trial that missed none lies on this line.
_NONE_MISSED = 2e-4


def plot_trials(tuning: IndexTuning, file: Path) -> None:
    """Draw the trials into a PNG file, replacing an earlier one in one step."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    partial = file.with_name(f".{file.name}.partial")
    FigureCanvasAgg(trials_figure(tuning)).print_figure(partial, dpi=120, format="png")
    os.replace(partial, file)


def trials_figure(tuning: IndexTuning) -> Figure:
    """One line for each kind and sort of query; a point for each number of candidates."""
    from matplotlib.figure import Figure

    # Figure directly, because pyplot has global state and needs a display.
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    specs = list(dict.fromkeys(one.spec for one in tuning.trials))
    for number, spec in enumerate(specs):
        theirs = [one for one in tuning.trials if one.spec == spec]
        label = f"{theirs[0].kind} {spec}, codes {theirs[0].code_bytes / 2**20:.1f} MiB"
        _draw(axes, theirs, f"C{number}", label)
    axes.axhline(
        max(1 - tuning.recall, _NONE_MISSED), color="tab:gray", linestyle=":", label="recall asked for"
    )
    best = tuning.chosen
    axes.plot(
        [best.milliseconds],
        [_missed(best.recall.images)],
        "o",
        markersize=15,
        fillstyle="none",
        color="black",
        label="chosen",
    )
    axes.set(xscale="log", yscale="log", xlabel="milliseconds of one query")
    axes.set(ylabel="recall", title="solid: images held out; dashed: texts held out")
    ticks = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, _NONE_MISSED]
    axes.set_yticks(ticks, [*(f"{1 - one:g}" for one in ticks[:-1]), "1"])
    axes.minorticks_off()
    axes.set_ylim(1.3 * max(_missed(_least(one)) for one in tuning.trials), 0.7 * _NONE_MISSED)
    times = [one.milliseconds for one in tuning.trials]
    low, high = 0.8 * min(times), 1.25 * max(times)
    marks = [digit * 10.0**power for power in range(-4, 6) for digit in (1, 2, 5)]
    marks = [one for one in marks if low <= one <= high]
    axes.set_xlim(low, high)
    axes.set_xticks(marks, [f"{one:g}" for one in marks])
    axes.legend(frameon=False, fontsize="small", bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def _draw(axes: Any, trials: Sequence[TuningTrial], color: str, label: str) -> None:
    times = [one.milliseconds for one in trials]
    marker, size, front = ("o", 6, 2) if trials[0].candidates else ("D", 9, 3)
    missed = [_missed(one.recall.images) for one in trials]
    axes.plot(times, missed, "-", marker=marker, markersize=size, zorder=front, color=color, label=label)
    texts = [one.recall.texts for one in trials]
    if all(one is not None for one in texts):
        axes.plot(times, [_missed(one or 0.0) for one in texts], "x--", color=color)


def _least(trial: TuningTrial) -> float:
    found = trial.recall
    return found.images if found.texts is None else min(found.images, found.texts)


def _missed(recall: float) -> float:
    return max(1 - recall, _NONE_MISSED)
