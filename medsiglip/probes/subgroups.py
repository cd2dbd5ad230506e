"""How a probe does on parts of the patients: by sex, age, manufacturer or site."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medsiglip.figures.intervals import Bools
from medsiglip.figures.metrics import FEW_GROUPS, estimate_scores
from medsiglip.figures.operating_points import Calls, ChosenPoint, Shares, shares
from medsiglip.figures.subgroups import adjusted, auroc_difference
from medsiglip.numerics import Integers
from medsiglip.probes.measured import POINTS, LabelRows, chosen
from medsiglip.probes.out_of_fold import OutOfFold
from medsiglip.probes.report import ProbeReport, SubgroupFigures

NOT_KNOWN = "not known"
"""The value of rows of which an attribute is not known."""

_OTHERS = "others"
_MOST_VALUES = 12
_UNLIKELY = 0.05


def with_subgroups(
    report: ProbeReport, found: OutOfFold, attributes: Mapping[str, Sequence[str | None]]
) -> ProbeReport:
    """The report with figures of subgroups: `attributes` gives for each row of `found` a value, or None where
    it is not known. An attribute with less than two known values has none.
    """
    column = {label: place for place, label in enumerate(found.labels)}
    figures: list[list[SubgroupFigures]] = []
    for entry in report.labels:
        known = LabelRows.of(found, column[entry.label])
        point = chosen(known, *POINTS[0])
        of_label = []
        for attribute, values in attributes.items():
            theirs = _values([values[row] for row in known.rows])
            of_label += [_subgroup(known, point, (attribute, value), theirs) for value in _told_apart(theirs)]
        figures.append(of_label)
    labels = [
        replace(entry, subgroups=tuple(theirs))
        for entry, theirs in zip(report.labels, _compared(figures), strict=True)
    ]
    return replace(report, labels=tuple(labels))


def _values(values: Sequence[str | None]) -> list[str]:
    """The values, with all but the most frequent eleven as one."""
    named = [NOT_KNOWN if value is None or not value.strip() else value for value in values]
    times = Counter(named)
    if len(times) <= _MOST_VALUES:
        return named
    kept = set(sorted(times, key=lambda value: (-times[value], value))[: _MOST_VALUES - 1]) | {NOT_KNOWN}
    return [value if value in kept else _OTHERS for value in named]


def _told_apart(values: Sequence[str]) -> list[str]:
    """The values in order, if there are at least two that are known."""
    different = set(values)
    if len(different - {NOT_KNOWN}) < 2:
        return []
    last = [value for value in (_OTHERS, NOT_KNOWN) if value in different]
    return sorted(different - set(last)) + last


def _subgroup(
    known: LabelRows, point: ChosenPoint | None, of: tuple[str, str], values: Sequence[str]
) -> SubgroupFigures:
    attribute, value = of
    named = np.array(values)
    inside = named == value
    positive, codes = known.positive[inside], known.codes[inside]
    area = estimate_scores(positive.astype(np.float64), known.scores[inside], codes, quick=True).auroc
    worth = Shares(np.nan, (np.nan, np.nan), np.nan, (np.nan, np.nan))
    if point is not None:
        calls = Calls(point.calls.crossed[inside], point.calls.stated[inside])
        worth = shares(positive, calls, codes)
    difference, chance = None, None
    if value != NOT_KNOWN:
        rows = np.flatnonzero(named != NOT_KNOWN)
        found = auroc_difference(known.positive[rows], known.scores[rows], known.codes[rows], inside[rows])
        if found is not None:
            difference, chance = found
    return SubgroupFigures(
        attribute=attribute,
        value=value,
        n=area.n,
        positive=area.positive,
        groups=area.groups,
        auroc=area.value,
        auroc_ci=area.interval,
        sensitivity=worth.sensitivity,
        sensitivity_ci=worth.sensitivity_interval,
        specificity=worth.specificity,
        specificity_ci=worth.specificity_interval,
        predicted=float(known.probability[inside].mean()),
        observed=float(positive.mean()),
        difference=difference,
        p_value=chance,
        warning=_small(positive, codes),
        counts=known.counts(inside),
    )


def _small(positive: Bools, codes: Integers) -> str | None:
    """What to say of a subgroup with few patients of either class."""
    with_label, without = (int(np.unique(codes[rows]).size) for rows in (positive, ~positive))
    if min(with_label, without) >= FEW_GROUPS:
        return None
    noun = "patient" if with_label == 1 else "patients"
    return f"small: {with_label} {noun} with the label and {without} without it show little"


def _compared(figures: list[list[SubgroupFigures]]) -> list[list[SubgroupFigures]]:
    """Chances adjusted for all comparisons of the report, and a warning for what is worse."""
    asked = [one.p_value for theirs in figures for one in theirs if one.p_value is not None]
    chances = iter(adjusted(asked))
    found = []
    for theirs in figures:
        row = []
        for one in theirs:
            if one.p_value is None or one.difference is None:
                row.append(one)
                continue
            chance = next(chances)
            warning = one.warning
            if chance < _UNLIKELY:
                said = f"p = {chance:.3f}" if chance >= 0.001 else "p < 0.001"
                warning = (
                    f"worse: AUROC is lower than in the others by {-one.difference:.2f} "
                    f"({said}, adjusted for {len(asked)} comparisons)"
                )
            row.append(replace(one, p_value=chance, warning=warning))
        found.append(row)
    return found
