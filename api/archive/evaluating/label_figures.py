"""The line of figures of one label, that of a difference, and the mean over labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.comparisons import FigureDifference
from medsiglip.answers.figures import LabelFigures
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.figures.paired import Difference


def label_figures(
    label: str, unknown: int, targets: Floats, probability: Floats, groups: Sequence[str]
) -> LabelFigures:
    """One label's line, for targets [n] (NaN where not known) and probabilities [n]: counts, figures, their
    intervals, and why there are none.
    """
    from medsiglip.figures.metrics import estimate_scores, estimate_threshold

    estimates = estimate_scores(targets, probability, groups)
    decided = estimate_threshold(targets, probability, groups)
    return LabelFigures(
        label=label,
        n=estimates.auroc.n,
        positive=estimates.auroc.positive,
        unknown=unknown,
        auroc=estimates.auroc.value,
        auroc_ci=estimates.auroc.interval,
        auprc=estimates.auprc.value,
        auprc_ci=estimates.auprc.interval,
        sensitivity=decided.sensitivity,
        sensitivity_ci=decided.sensitivity_interval,
        specificity=decided.specificity,
        specificity_ci=decided.specificity_interval,
        reason=estimates.auroc.reason,
        caution=estimates.caution,
    )


def figure_difference(figure: str, label: str | None, found: Difference) -> FigureDifference:
    """The line of a paired difference; of no label it is over all cases."""
    return FigureDifference(
        figure=figure,
        label=label,
        first=found.first,
        second=found.second,
        difference=found.value,
        difference_ci=found.interval,
        reason=found.reason,
    )


def macro_auroc(rows: Sequence[LabelFigures]) -> float:
    """The mean AUROC of the labels that have one; NaN where none has."""
    from medsiglip.figures.metrics import macro

    return macro([np.nan if row.auroc is None else row.auroc for row in rows])


def listed(names: Sequence[str]) -> str:
    """The first five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" or {len(names) - 5} more" if len(names) > 5 else "")
