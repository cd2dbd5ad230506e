from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.probes.patient_folds import group_folds


@given(st.integers(2, 6), st.integers(0, 50), st.integers(8, 40))
@settings(deadline=None)
def test_no_group_is_in_two_folds_and_row_order_does_not_matter(folds: Any, seed: Any, groups: Any) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, groups, 100)
    labels = rng.choice([0.0, 1.0, np.nan], (100, 3))
    fold = group_folds(labels, codes, folds, seed)
    assert all(len(set(fold[codes == group])) == 1 for group in np.unique(codes))
    assert set(fold) == set(range(folds))
    order = rng.permutation(100)
    assert (group_folds(labels[order], codes[order], folds, seed) == fold[order]).all()


def test_folds_spread_a_rare_label() -> None:
    labels = np.zeros((200, 2))
    labels[:10, 0] = 1
    labels[50:150, 1] = 1
    fold = group_folds(labels, np.arange(200), 5, seed=0)
    assert np.bincount(fold[labels[:, 0] == 1]).tolist() == [2] * 5
    assert np.bincount(fold[labels[:, 1] == 1]).tolist() == [20] * 5
    assert np.bincount(fold).tolist() == [40] * 5


def test_folds_differ_by_seed() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 1)).astype(float)
    assert (group_folds(labels, np.arange(60), 3, 0) != group_folds(labels, np.arange(60), 3, 1)).any()
