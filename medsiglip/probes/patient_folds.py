"""Folds that never split a group (patient)."""

import numpy as np

from medsiglip.numerics import Floats, Integers


def group_folds(labels: Floats, groups: Integers, folds: int, seed: int) -> Integers:
    """Fold of each row, 0 to folds - 1: no group is in two, and every label is spread as evenly as can be.

    `labels` is [n, L] of 0, 1 or NaN; `groups` [n] are numbers. Iterative stratification (Sechidis, Tsoumakas
    and Vlahavas, ECML PKDD 2011) with whole groups: the rarest remaining class is assigned first, its
    largest groups before the others, each to the fold that lacks most of that class, then most rows.
    The order of rows does not matter; `seed` decides between equals.
    """
    names, codes = np.unique(groups, return_inverse=True)
    content = _class_counts(labels, codes, len(names))
    shuffled = np.random.default_rng(seed).permutation(len(names))
    lacking = np.tile(content.sum(axis=0) / folds, (folds, 1))
    assigned = np.full(len(names), -1)
    while (waiting := shuffled[assigned[shuffled] < 0]).size:
        left = (content[waiting, :-1] > 0).sum(axis=0)
        rarest = int(np.where(left > 0, left, np.inf).argmin()) if left.any() else content.shape[1] - 1
        holding = waiting[content[waiting, rarest] > 0]
        for group in holding[np.argsort(-content[holding, rarest], kind="stable")]:
            fold = np.lexsort((-lacking[:, -1], -lacking[:, rarest]))[0]
            assigned[group] = fold
            lacking[fold] -= content[group]
    return assigned[codes]


def _class_counts(labels: Floats, codes: Integers, groups: int) -> Floats:
    """Rows of each group by class: [groups, 2 L + 1], for each label positive and negative, then all rows."""
    columns = np.concatenate([labels == 1.0, labels == 0.0, np.ones((len(labels), 1), dtype=bool)], axis=1)
    counts = np.zeros((groups, columns.shape[1]))
    np.add.at(counts, codes, columns)
    return counts
