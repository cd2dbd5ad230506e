"""The validation curve of a tuning run, as `curve.csv` and `curve.png`."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Measures after an epoch; epoch 0 is the checkpoint as given, whose `training_loss` is NaN.

    `recall_at_1` and `recall_at_5` are image-to-text retrieval among the distinct captions of the validation
    set; `seconds` count from the start of training.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    recall_at_1: float
    recall_at_5: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; NaN becomes None."""
        values = asdict(self)
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in values.items()}


def write_curve(folder: Path, curve: Sequence[CurvePoint]) -> None:
    """Write `curve.csv` to `folder`, replacing an earlier one."""
    with (folder / "curve.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(CurvePoint)], lineterminator="\n")
        writer.writeheader()
        for point in curve:
            writer.writerow({name: _short(value) for name, value in point.to_json().items()})


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def plot_curve(folder: Path, curve: Sequence[CurvePoint]) -> None:
    """Plot `curve.png` in `folder`, replacing an earlier one in one step."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    partial = folder / ".curve.png.partial"
    FigureCanvasAgg(curve_figure(curve)).print_figure(partial, dpi=120, format="png")
    os.replace(partial, folder / "curve.png")


def curve_figure(curve: Sequence[CurvePoint]) -> Figure:
    """Both losses, and retrieval at 1 and 5, over whole epochs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    # Figure directly, because pyplot has global state and needs a display.
    figure = Figure(figsize=(7, 4), layout="constrained")
    losses = figure.add_subplot()
    epochs = [point.epoch for point in curve]
    losses.plot(epochs, [point.training_loss for point in curve], color="tab:gray", label="training loss")
    losses.plot(epochs, [point.validation_loss for point in curve], color="tab:blue", label="validation loss")
    best = min(curve, key=lambda point: point.validation_loss)
    losses.plot(
        [best.epoch], [best.validation_loss], "o", color="tab:blue", label=f"kept: epoch {best.epoch}"
    )
    losses.set(xlabel="epoch", ylabel="sigmoid loss per picture", yscale="log")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles = losses.get_legend_handles_labels()[0]
    if any(math.isfinite(point.recall_at_5) for point in curve):
        recall = losses.twinx()
        for k, style in ((1, "-"), (5, "--")):
            values = [point.recall_at_1 if k == 1 else point.recall_at_5 for point in curve]
            recall.plot(epochs, values, style, color="tab:orange", label=f"recall at {k}, image to text")
        recall.set(ylabel="recall", ylim=(0, 1.02))
        handles += recall.get_legend_handles_labels()[0]
    losses.legend(handles=handles, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.25), frameon=False)
    return figure
