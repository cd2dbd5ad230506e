"""scikit-learn's estimator of a probe, for programs that work with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medsiglip.numerics import Floats
from medsiglip.probes.probe import Probe

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier


def to_sklearn(probe: Probe) -> LogisticRegression | OneVsRestClassifier:
    """A fitted estimator whose `predict_proba` gives the probe's probabilities for unit vectors [n, d].

    Of one label, and of classes that exclude each other, a `LogisticRegression`: its `classes_` are 0 and 1,
    or the names of the classes in the order of the probe. Of several labels a `OneVsRestClassifier`, whose
    columns are the labels in the order of the probe. A series or study of a probe with `pooling` "max" has
    the greatest score of its pictures; the estimator scores pictures.
    """
    if probe.exclusive:
        # scikit-learn takes two classes as one logit, the difference of the two.
        if len(probe.labels) == 2:
            return _logistic(
                probe.coef[1:] - probe.coef[:1], probe.intercept[1:] - probe.intercept[:1], probe.labels
            )
        return _logistic(probe.coef, probe.intercept, probe.labels)
    each = [_logistic(probe.coef[[i]], probe.intercept[[i]], (0, 1)) for i in range(len(probe.labels))]
    if len(each) == 1:
        return each[0]
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

    every = OneVsRestClassifier(LogisticRegression())
    every.estimators_ = each
    every.label_binarizer_ = LabelBinarizer().fit(np.eye(len(each), dtype=int))
    every.classes_ = every.label_binarizer_.classes_
    every.n_features_in_ = probe.coef.shape[1]
    return every


def _logistic(
    coef: Floats, intercept: Floats, classes: tuple[str, ...] | tuple[int, ...]
) -> LogisticRegression:
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression()
    estimator.classes_ = np.array(classes)
    estimator.coef_, estimator.intercept_ = coef.copy(), intercept.copy()
    estimator.n_features_in_ = coef.shape[1]
    estimator.n_iter_ = np.array([0])
    return estimator
