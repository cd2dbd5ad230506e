"""Classes, class weights, given splits and pooled pictures, against scikit-learn on the same folds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import group_codes
from medsiglip.probes.fitting import STRENGTHS
from medsiglip.probes.patient_folds import group_folds
from medsiglip.probes.probe import Probe
from medsiglip.probes.split import Split
from medsiglip.probes.training import TrainingOptions, fit_at, train
from tests.medsiglip.probes.embeddings import embeddings


def classes_of(vectors: Any, count: int, seed: int = 5) -> Any:
    """A class for each row, by a noisy linear rule."""
    rng = np.random.default_rng(seed)
    logits = vectors.astype(float) @ rng.normal(size=(vectors.shape[1], count))
    logits = 2.5 * (logits - logits.mean(axis=0)) / logits.std(axis=0)
    return (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def one_hot(classes: Any, count: int) -> Any:
    return {f"class {number}": (classes == number).astype(float) for number in range(count)}


def fitted(strength: float, rows: Any, truth: Any, **given: Any) -> LogisticRegression:
    return LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=500, **given).fit(
        rows, truth
    )


def test_classes_are_scikit_learns_multinomial_fold_by_fold() -> None:
    vectors, _ = embeddings(240, 24)
    rows, classes = vectors.astype(float), classes_of(vectors, 3)
    groups = [f"p{number}" for number in np.random.default_rng(0).integers(0, 90, 240)]
    options = TrainingOptions(exclusive=True, seed=1)
    trained = train(vectors, one_hot(classes, 3), groups, space="s", options=options)
    found, codes = trained.out_of_fold, group_codes(groups)
    assert found.exclusive
    assert found.fold.tolist() == group_folds(np.eye(3)[classes], codes, 5, 1).tolist()
    assert found.probability.sum(axis=1) == pytest.approx(1.0)
    for fold in range(5):
        inside, strength = found.fold != fold, trained.choices.c_of_folds[fold]
        assert len(set(strength)) == 1
        theirs = fitted(strength[0], rows[inside], classes[inside])
        expected = theirs.predict_proba(rows[~inside])
        assert found.probability[~inside] == pytest.approx(expected, abs=1e-4)
        odds = np.log(expected / (1 - expected))
        share = np.bincount(classes[inside]) / inside.sum()
        assert found.scores[~inside] == pytest.approx(odds - np.log(share / (1 - share)), abs=1e-2)
    for number, entry in enumerate(trained.probe.report.labels):
        assert entry.auroc == pytest.approx(roc_auc_score(classes == number, found.scores[:, number]))
    kept = fitted(trained.choices.c[0], rows, classes).predict_proba(rows)
    assert trained.probe.predict_probability(vectors) == pytest.approx(kept, abs=1e-4)


def test_the_strength_for_classes_is_the_one_with_the_least_log_loss() -> None:
    vectors, _ = embeddings(150, 16, seed=2)
    rows, classes = vectors.astype(float), classes_of(vectors, 3)
    options = TrainingOptions(exclusive=True)
    choices = train(vectors, one_hot(classes, 3), list(range(150)), space="s", options=options).choices
    inner = group_folds(np.eye(3)[classes], group_codes(list(range(150))), 3, 0)
    tried = np.flatnonzero(~np.isnan(choices.loss[:, 0]))
    for place in tried:
        loss = 0.0
        for fold in range(3):
            theirs = fitted(STRENGTHS[place], rows[inner != fold], classes[inner != fold])
            held = theirs.predict_proba(rows[inner == fold])
            loss += log_loss(classes[inner == fold], held, normalize=False, labels=[0, 1, 2])
        assert choices.loss[place, 0] == pytest.approx(loss / 150, abs=5e-4)
    assert choices.c[0] == STRENGTHS[tried[choices.loss[tried, 0].argmin()]]


@pytest.mark.parametrize("count", [1, 3])
def test_balanced_weights_are_scikit_learns(count: int) -> None:
    vectors, truth = embeddings(200, 20, seed=3)
    rows, classes = vectors.astype(float), classes_of(vectors, 3) if count > 1 else truth[:, 0].astype(int)
    labels = one_hot(classes, 3) if count > 1 else {"a": truth[:, 0]}
    options = TrainingOptions(exclusive=count > 1, balanced=True)
    trained = train(vectors, labels, list(range(200)), space="s", options=options)
    theirs = fitted(trained.choices.c[0], rows, classes, class_weight="balanced").predict_proba(rows)
    ours = trained.probe.predict_probability(vectors)
    assert ours == pytest.approx(theirs if count > 1 else theirs[:, 1:], abs=1e-4)
    fold = trained.out_of_fold.fold == 0
    part = fitted(trained.choices.c_of_folds[0, 0], rows[~fold], classes[~fold], class_weight="balanced")
    expected = part.predict_proba(rows[fold])
    assert trained.out_of_fold.probability[fold] == pytest.approx(
        expected if count > 1 else expected[:, 1:], abs=1e-4
    )


def names_of_parts(count: int) -> list[str | None]:
    parts: list[str | None] = ["train"] * count
    parts[: count // 4] = ["test"] * (count // 4)
    parts[count // 4 : count // 2] = ["Validation"] * (count // 2 - count // 4)
    return parts


def test_a_given_split_is_chosen_on_its_validation_and_judged_on_its_test_part() -> None:
    vectors, truth = embeddings(240, 24, seed=4)
    rows, labels = vectors.astype(float), truth[:, 0]
    parts = names_of_parts(240)
    parts[-1] = None
    trained = train(vectors, {"a": labels}, list(range(240)), space="s", split=Split.of_names(parts))
    test = np.arange(240) < 60
    validation = (np.arange(240) >= 60) & (np.arange(240) < 120)
    training = (np.arange(240) >= 120) & (np.arange(240) < 239)
    losses = [
        log_loss(
            labels[validation],
            fitted(strength, rows[training], labels[training]).predict_proba(rows[validation])[:, 1],
        )
        for strength in STRENGTHS[:9]
    ]
    assert trained.choices.c.tolist() == [STRENGTHS[int(np.argmin(losses))]]
    theirs = fitted(trained.choices.c[0], rows[training | validation], labels[training | validation])
    found = trained.out_of_fold
    assert found.rows.tolist() == np.flatnonzero(test).tolist()
    assert set(found.fold) == {0}
    assert found.probability[:, 0] == pytest.approx(theirs.predict_proba(rows[test])[:, 1], abs=1e-5)
    # The probe that is kept is the one that was judged.
    assert trained.probe.predict_probability(vectors[test]) == pytest.approx(found.probability, abs=1e-9)
    assert trained.probe.report.groups == 239
    assert trained.probe.report.labels[0].n == 60


def test_a_split_without_validation_chooses_on_inner_folds_of_the_training_part() -> None:
    vectors, truth = embeddings(160, 16, seed=4)
    parts = ["test" if row % 4 == 0 else "training" for row in range(160)]
    split = Split.of_names(parts)
    trained = train(vectors, {"a": truth[:, 0]}, list(range(160)), space="s", split=split)
    rest = np.flatnonzero(split.training)
    alone = train(vectors[rest], {"a": truth[rest, 0]}, rest.tolist(), space="s")
    assert trained.choices.c == alone.choices.c
    assert trained.probe.coef == pytest.approx(alone.probe.coef, abs=1e-4)


def test_a_patient_in_two_parts_is_refused_by_name() -> None:
    vectors, truth = embeddings(80, 8)
    groups = [f"patient-{row // 2}" for row in range(80)]
    parts = ["test" if row in range(41) else "train" for row in range(80)]
    with pytest.raises(ModelError, match=r"patient-20 in test and training") as caught:
        train(vectors, {"a": truth[:, 0]}, groups, space="s", split=Split.of_names(parts))
    assert caught.value.code == "patient-in-two-splits"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["train"] * 8, "no test part"),
        (["test"] * 8, "no training part"),
        (["train"] * 7 + ["holdout"], "the value 'holdout'"),
    ],
)
def test_a_split_that_is_none_is_refused(parts: list[str | None], said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        Split.of_names(parts)
    assert caught.value.code == "bad-split"


def test_a_label_without_both_classes_in_the_test_part_is_left_out() -> None:
    vectors, truth = embeddings(80, 8, labels=2)
    labels = {"a": truth[:, 0], "b": np.where(np.arange(80) < 20, 0.0, truth[:, 1])}
    parts = ["test" if row < 20 else "train" for row in range(80)]
    trained = train(vectors, labels, list(range(80)), space="s", split=Split.of_names(parts))
    assert trained.probe.labels == ("a",)
    assert "'b' has no positive row in the test part" in trained.probe.report.warnings[0]


def bags(seed: int, studies: int = 150) -> Any:
    """Pictures of studies, of which one in a positive study shows the label."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, studies)
    row = np.repeat(np.arange(studies), sizes)
    labels = rng.integers(0, 2, studies).astype(float)
    vectors = rng.normal(size=(len(row), 16))
    first = np.searchsorted(row, np.arange(studies))
    vectors[first[labels == 1], 0] += 6.0
    order = rng.permutation(len(row))
    return vectors[order], row[order], labels


def test_the_greatest_score_of_pictures_finds_what_their_mean_drowns() -> None:
    vectors, row, labels = bags(0)
    means = np.stack([vectors[row == study].mean(axis=0) for study in range(len(labels))])
    mean = train(means, {"a": labels}, list(range(150)), space="s")
    most = train(vectors, {"a": labels}, list(range(150)), space="s", bags=row)
    assert most.probe.pooling == "max"
    assert mean.probe.pooling == "mean"
    found = most.out_of_fold
    assert found.truth[:, 0].tolist() == labels.tolist()
    assert most.probe.report.labels[0].auroc > mean.probe.report.labels[0].auroc
    # The greatest of many scores is too great; what is added to the intercept makes up for it.
    assert abs(found.probability.mean() - labels.mean()) < 0.05
    logits = most.probe.predict_logits(vectors)[:, 0]
    pooled = np.array([logits[row == study].max() for study in range(len(labels))])
    assert expit(pooled).mean() == pytest.approx(labels.mean(), abs=1e-6)


def test_pictures_count_as_much_as_their_study() -> None:
    vectors, row, labels = bags(1, 60)
    size = np.bincount(row)[row]
    trained = train(vectors, {"a": labels}, list(range(60)), space="s", bags=row)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    theirs = LogisticRegression(C=trained.choices.c[0], solver="newton-cholesky", tol=1e-10)
    theirs.fit(unit, labels[row], sample_weight=1.0 / size)
    assert trained.probe.coef == pytest.approx(theirs.coef_, abs=1e-4 * np.abs(theirs.coef_).max())


def test_rows_that_are_unknown_take_their_pictures_with_them() -> None:
    vectors, row, labels = bags(2, 90)
    known = np.where(np.arange(90) < 70, labels, np.nan)
    there = train(vectors, {"a": known}, list(range(90)), space="s", bags=row)
    alone = train(vectors[row < 70], {"a": labels[:70]}, list(range(70)), space="s", bags=row[row < 70])
    assert there.probe.coef == pytest.approx(alone.probe.coef)
    assert there.out_of_fold.rows.tolist() == list(range(70))


def test_positions_are_those_of_the_rows_that_were_given() -> None:
    vectors, truth = embeddings(120, 12)
    labels = truth[:, 0].copy()
    labels[::3] = np.nan
    found = train(vectors, {"a": labels}, list(range(120)), space="s").out_of_fold
    assert found.rows.tolist() == [row for row in range(120) if row % 3]
    assert found.truth[:, 0].tolist() == labels[found.rows].tolist()
    assert sorted(set(found.groups)) == list(range(80))
    assert found.probability == pytest.approx(expit(found.logits))


def test_a_strength_at_the_edge_is_said() -> None:
    told_apart = np.arange(60) % 2
    vectors = np.c_[np.where(told_apart, 1.0, -1.0), np.full(60, 3.0)]
    report = train(vectors, {"side": told_apart}, list(range(60)), space="s").probe.report
    assert report.labels[0].c == STRENGTHS[-1]
    assert any("'side' is 1e+06, at the edge" in warning for warning in report.warnings)


def test_progress_is_told_and_may_end_the_training() -> None:
    vectors, truth = embeddings(100, 10)
    told: list[tuple[str, int, int | None]] = []
    train(
        vectors,
        {"a": truth[:, 0]},
        list(range(100)),
        space="s",
        on_progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    assert [stage for stage, _, _ in dict.fromkeys((one[0], 0, 0) for one in told)] == [
        "preparing",
        "choosing the strength",
        "fitting",
        "figures",
    ]
    chosen = [one for one in told if one[0] == "choosing the strength"]
    assert all(before[1] <= after[1] for before, after in pairwise(chosen))
    assert all(done <= total for _, done, total in chosen if total is not None)

    def stop(stage: str, _done: int, _total: int | None) -> None:
        if stage == "fitting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(vectors, {"a": truth[:, 0]}, list(range(100)), space="s", on_progress=stop)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"labels": {"a": [1.0] * 12}}, "one-class", "positive in all 12 rows"),
        ({"labels": {"a": [np.nan] * 12}}, "one-class", "no row whose value is known"),
        ({"vectors": np.full((12, 3), np.inf)}, "vector-not-finite", "12 of 12 vectors"),
        ({"options": TrainingOptions(folds=4)}, "bad-folds", "4 folds are too few"),
        ({"options": TrainingOptions(exclusive=True)}, "one-class", "at least two that exclude"),
        (
            {"options": TrainingOptions(exclusive=True), "labels": {"a": [1.0] * 12, "b": [1.0] * 12}},
            "classes-not-exclusive",
            "12 rows are of more than one class, such as 'a' and 'b'",
        ),
        (
            {"options": TrainingOptions(exclusive=True), "bags": np.arange(12)},
            "pooling-of-classes",
            "pooled by the mean",
        ),
        ({"bags": np.arange(12) + 1}, "shape-mismatch", "number of the row"),
    ],
)
def test_wrong_input_has_a_message_of_its_own(change: Any, code: str, said: str) -> None:
    given = {"vectors": np.eye(12)[:, :3] + 1, "labels": {"a": [0.0, 1.0] * 6}, "groups": list(range(12))}
    with pytest.raises(ModelError, match=said) as caught:
        train(**{**given, **change}, space="s")
    assert caught.value.code == code


def test_a_probe_of_classes_is_saved_as_such(tmp_path: Any) -> None:
    vectors, _ = embeddings(90, 12)
    labels = one_hot(classes_of(vectors, 3), 3)
    options = TrainingOptions(exclusive=True)
    probe = train(vectors, labels, list(range(90)), space="s", options=options).probe
    probe.save(tmp_path / "probe.npz")
    read = Probe.load(tmp_path / "probe.npz")
    assert (read.exclusive, read.pooling) == (True, "mean")
    logits = read.predict_logits(vectors)
    assert read.predict_probability(vectors) == pytest.approx(softmax(logits, axis=1))
    assert logsumexp(logits, axis=1).shape == (90,)


@pytest.mark.parametrize("exclusive", [False, True])
def test_labels_are_fitted_at_a_strength(exclusive: bool) -> None:
    vectors, truth = embeddings(100, 12, labels=3)
    rows = vectors.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    classes = classes_of(vectors, 3)
    matrix = np.eye(3)[classes] if exclusive else truth
    coef, intercept = fit_at(vectors, matrix, np.array([1.0, 1.0, 1.0]), exclusive)
    logits = rows @ coef.T + intercept
    if exclusive:
        theirs = fitted(1.0, rows, classes).predict_proba(rows)
        assert softmax(logits, axis=1) == pytest.approx(theirs, abs=1e-4)
        return
    for column in range(3):
        theirs = fitted(1.0, rows, truth[:, column]).predict_proba(rows)[:, 1]
        assert expit(logits[:, column]) == pytest.approx(theirs, abs=1e-4)
