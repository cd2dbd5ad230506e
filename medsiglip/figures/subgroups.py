"""Whether AUROC is lower in a part of the patients than in the others, where many parts are looked at."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

from medsiglip.figures.intervals import Bools, row_influence
from medsiglip.figures.metrics import FEW_GROUPS, auroc
from medsiglip.numerics import Floats, Integers


def auroc_difference(
    positive: Bools, scores: Floats, codes: Integers, inside: Bools
) -> tuple[float, float] | None:
    """AUROC of the rows `inside` less that of the others, of scores [n] with the group of each row; and the
    chance of one as low or lower if both were equal.

    None where either part has fewer than 10 groups with or without the label: so few show nothing. The test
    is Welch's, on the variances between groups (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988, with
    whole groups) and with the degrees of freedom of the smaller class. Groups with rows in both parts make it
    cautious.
    """
    found = [_part(positive[rows], scores[rows], codes[rows]) for rows in (inside, ~inside)]
    if any(fewest < FEW_GROUPS for _, _, fewest in found):
        return None
    (value, variance, fewest), (other, of_other, fewest_of_others) = found
    total = variance + of_other
    freedom = total**2 / (variance**2 / (fewest - 1) + of_other**2 / (fewest_of_others - 1))
    return value - other, float(stdtr(freedom, (value - other) / np.sqrt(total)))


def _part(positive: Bools, scores: Floats, codes: Integers) -> tuple[float, float, int]:
    """AUROC, its variance, and the groups of the smaller class."""
    fewest = min(np.unique(codes[rows]).size for rows in (positive, ~positive))
    if fewest < FEW_GROUPS:
        return np.nan, np.nan, fewest
    value = auroc(positive.astype(np.float64), scores)
    influence = row_influence(positive, scores)[0]
    groups = np.unique(codes, return_inverse=True)[1]
    sums = np.bincount(groups, weights=influence)
    variance = float((sums**2).sum()) * sums.size / (sums.size - 1)
    # Few ranked wrong, or none, show little of the variance: half a group more is counted.
    area = max(value, 1 - value)
    wrong = (fewest * (1 - area) + 0.5) / (fewest + 1)
    return value, max(variance, wrong * (1 - wrong) / (8 * fewest)), fewest


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Chances adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979): if nothing
    differs, the chance that any of these is below .05 is at most .05.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, so_far = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = so_far
    return found
