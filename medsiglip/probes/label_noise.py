"""Rows whose label may be wrong, by what the probe says of them without having seen their group.

Found by cleanlab: confident learning (Northcutt, Jiang and Chuang, Journal of Artificial Intelligence
Research 70, 2021) says how many labels of each class look wrong; the normalized margin ranks the rows.
"""

from dataclasses import dataclass

import numpy as np

from medsiglip.numerics import Floats, Integers
from medsiglip.probes.out_of_fold import OutOfFold

FEWEST_OF_A_CLASS = 5
"""Rows of each class that it takes to tell what looks wrong."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row of `OutOfFold` whose label may be wrong: `given` is its value, 1 or 0, or of classes that exclude
    each other 1 for its class; `suggested` is the class that looks right then.

    `probability` is that of what was given, and `margin`, 0 to 1, is low where it looks wrong.
    """

    row: int
    label: str
    given: float
    probability: float
    margin: float
    suggested: str | None = None


def suspects(found: OutOfFold) -> list[Suspect]:
    """The rows whose labels look wrong, the most suspicious first."""
    listed = _of_classes(found) if found.exclusive else _of_labels(found)
    return sorted(listed, key=lambda one: (one.margin, one.row, one.label))


def _of_labels(found: OutOfFold) -> list[Suspect]:
    listed = []
    for column, label in enumerate(found.labels):
        known = np.flatnonzero(~np.isnan(found.truth[:, column]))
        given = found.truth[known, column].astype(np.intp)
        positive = found.probability[known, column]
        of_given = np.stack([1 - positive, positive], axis=1)
        for place, margin in _issues(given, of_given):
            chance = float(of_given[place, given[place]])
            listed.append(Suspect(int(known[place]), label, float(given[place]), chance, margin))
    return listed


def _of_classes(found: OutOfFold) -> list[Suspect]:
    known = np.flatnonzero((found.truth == 1.0).sum(axis=1) == 1)
    given = found.truth[known].argmax(axis=1)
    listed = []
    for place, margin in _issues(given, found.probability[known]):
        row = found.probability[known[place]]
        label, suggested = found.labels[given[place]], found.labels[int(row.argmax())]
        listed.append(Suspect(int(known[place]), label, 1.0, float(row[given[place]]), margin, suggested))
    return listed


def _issues(given: Integers, probability: Floats) -> list[tuple[int, float]]:
    """The places of the labels that look wrong, each with its margin; none where a class has few rows."""
    if np.bincount(given, minlength=probability.shape[1]).min() < FEWEST_OF_A_CLASS:
        return []
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label

    places = find_label_issues(given, probability, return_indices_ranked_by="normalized_margin", n_jobs=1)
    margins = get_normalized_margin_for_each_label(given, probability)
    return [(int(place), float(margins[place])) for place in places]
