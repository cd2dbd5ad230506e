"""What a random ranking would be worth: the expected precision, recall and average precision of each query.

They differ from one figure to the next. Where few candidates are relevant, the average precision of a random
ranking is above the share of the relevant ones, for it sees only the places where one is found.
"""

from collections.abc import Sequence

import numpy as np

from medsiglip.numerics import Floats, Integers


def random_ranking(relevant: Integers, candidates: Integers, ks: Sequence[int]) -> Floats:
    """Expected figures [q, 2 K + 1] of a random order of each query's candidates: precision and recall at
    each of `ks`, and average precision.

    `relevant` [q] of `candidates` [q] are relevant, at least one. Exact: each place holds a relevant
    candidate with the same chance, and given that one does, the places before it hold the others with equal
    chance. So the expectation of average precision is ((r - 1) / (n - 1) (n - H) + H) / n, where H is the
    n-th harmonic number (Bestgen, Prague Bulletin of Mathematical Linguistics 103, 2015).
    """
    share = relevant / candidates
    within = [np.minimum(k, candidates) for k in ks]
    precisions = [share * found / k for k, found in zip(ks, within, strict=True)]
    recalls = [found / candidates for found in within]
    harmonic = _harmonic(candidates)
    others = (relevant - 1) / np.maximum(candidates - 1, 1)
    average = (others * (candidates - harmonic) + harmonic) / candidates
    return np.stack([*precisions, *recalls, average], axis=1)


def _harmonic(numbers: Integers) -> Floats:
    """The sum of 1 / i up to each number."""
    most = int(numbers.max(initial=0))
    sums = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, most + 1))])
    found: Floats = sums[numbers]
    return found
