"""The figures of a probe are those of scikit-learn on the rows that each fold had not seen."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from medsiglip.probes.label_noise import suspects
from medsiglip.probes.learning_curve import SHARES, with_learning_curve
from medsiglip.probes.measured import STEPS, with_figures
from medsiglip.probes.out_of_fold import OutOfFold
from medsiglip.probes.report import ProbeReport
from medsiglip.probes.subgroups import NOT_KNOWN, with_subgroups
from medsiglip.probes.training import Trained, TrainingOptions, train


def vectors_of(rows: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((rows, 12))


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Two labels of 240 rows of 120 patients; the second is not known of a third of the rows."""
    rng = np.random.default_rng(3)
    vectors = vectors_of(240)
    logits = (
        2.0 * (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ rng.standard_normal((12, 2)) - 0.5
    )
    truth = (rng.random((240, 2)) < 1 / (1 + np.exp(-4 * logits))).astype(float)
    truth[::3, 1] = np.nan
    labels = {"first": truth[:, 0], "second": truth[:, 1]}
    return train(vectors, labels, [str(row // 2) for row in range(240)], space="s")


@pytest.fixture(scope="module")
def report(trained: Trained) -> ProbeReport:
    return with_figures(trained.probe.report, trained.out_of_fold)


def known(found: OutOfFold, column: int) -> tuple[Any, Any]:
    rows = ~np.isnan(found.truth[:, column])
    return rows, found.truth[rows, column]


def test_folds_have_the_figures_of_scikit_learn(trained: Trained, report: ProbeReport) -> None:
    found = trained.out_of_fold
    for column, entry in enumerate(report.labels):
        rows, truth = known(found, column)
        assert [one.fold for one in entry.fold_figures] == [1, 2, 3, 4, 5]
        assert sum(one.n for one in entry.fold_figures) == entry.n == rows.sum()
        for one in entry.fold_figures:
            mine = found.fold[rows] == one.fold - 1
            expected = roc_auc_score(truth[mine], found.scores[rows, column][mine])
            assert one.auroc == pytest.approx(expected)
            assert one.auroc_ci[0] < one.auroc <= one.auroc_ci[1]
            assert one.groups == np.unique(found.groups[rows][mine]).size


def test_curves_are_those_of_scikit_learn(trained: Trained, report: ProbeReport) -> None:
    found = trained.out_of_fold
    for column, entry in enumerate(report.labels):
        rows, truth = known(found, column)
        scores = found.scores[rows, column]
        assert entry.curves is not None
        false, true = np.array(entry.curves.roc).T
        assert (len(false), (false[0], true[0]), (false[-1], true[-1])) <= (101, (0.0, 0.0), (1.0, 1.0))
        assert auc(false, true) == pytest.approx(entry.auroc, abs=0.005)
        expected_false, expected_true, _ = roc_curve(truth, scores, drop_intermediate=False)
        corners = set(zip(expected_false.round(4), expected_true.round(4), strict=True))
        assert set(entry.curves.roc) <= corners
        recall, precision = np.array(entry.curves.precision_recall).T
        assert len(recall) <= 101
        steps = float((np.diff(np.append(0.0, recall)) * precision).sum())
        assert steps == pytest.approx(average_precision_score(truth, scores), abs=0.02)
        assert sum(one.n for one in entry.curves.reliability) == entry.n


def test_many_rows_give_as_few_points() -> None:
    rng = np.random.default_rng(0)
    rows = 5000
    truth = (rng.random((rows, 1)) < 0.3).astype(float)
    logits = rng.standard_normal((rows, 1)) + truth
    codes = np.arange(rows)
    found = OutOfFold(("x",), codes, codes, codes % 5, truth, logits, 1 / (1 + np.exp(-logits)), logits + 0.8)
    vectors = vectors_of(60)
    small = train(vectors, {"x": (vectors[:, 0] > 0).astype(float)}, list(range(60)), space="s").probe.report
    [entry] = with_figures(small, found).labels
    assert entry.curves is not None
    assert len(entry.curves.roc) <= 101
    false, true = np.array(entry.curves.roc).T
    assert auc(false, true) == pytest.approx(roc_auc_score(truth[:, 0], logits[:, 0]), abs=0.002)


def test_thresholds_are_probabilities_of_the_probe_that_is_kept(
    trained: Trained, report: ProbeReport
) -> None:
    """New rows of the same population are called positive about as often as the point says."""
    found = trained.out_of_fold
    probability = trained.probe.predict_probability(vectors_of(240))
    for column, entry in enumerate(report.labels):
        rows, truth = known(found, column)
        assert [one.rule for one in entry.operating_points] == ["youden", "sensitivity", "specificity"]
        for point in entry.operating_points:
            called = probability[found.rows[rows], column] >= point.threshold
            assert 0 < point.threshold < 1
            # On rows that it has learned, the probe does no worse than out of fold, but for chance.
            assert called[truth == 1].mean() > point.sensitivity - 0.1
            assert (~called)[truth == 0].mean() > point.specificity - 0.1
            assert point.sensitivity_ci[0] <= point.sensitivity <= point.sensitivity_ci[1]
        assert entry.operating_points[1].sensitivity == pytest.approx(0.9, abs=0.08)
        assert entry.operating_points[2].specificity == pytest.approx(0.9, abs=0.08)


def test_counts_give_the_confusion_at_every_threshold_also_of_subgroups(
    trained: Trained, report: ProbeReport
) -> None:
    """Against calls that are counted one by one, on the scale of the thresholds."""
    found = trained.out_of_fold
    sexes = [("F", "M", None)[row // 5 % 3] for row in range(len(found.rows))]
    told = with_subgroups(report, found, {"patient_sex": sexes})
    for column, entry in enumerate(told.labels):
        rows, truth = known(found, column)
        base = (found.logits[rows, column] - found.scores[rows, column]).mean()
        score = 1 / (1 + np.exp(-(found.scores[rows, column] + base)))
        assert entry.curves is not None
        named = np.array([sexes[row] or "not known" for row in np.flatnonzero(rows)])
        all_counts = {"": entry.curves.counts, **{one.value: one.counts for one in entry.subgroups}}
        assert set(all_counts) == {"", *named}
        for value, counts in all_counts.items():
            assert counts is not None
            inside = named == value if value else np.ones(truth.size, bool)
            for step in range(STEPS):
                called = (score >= step / STEPS) & inside
                assert sum(counts.positive[step:]) == (called & (truth == 1)).sum()
                assert sum(counts.negative[step:]) == (called & (truth == 0)).sum()


def test_the_report_survives_json_and_an_older_one_is_read(report: ProbeReport) -> None:
    content = json.loads(json.dumps(report.to_json()))
    assert ProbeReport.from_json(content) == report
    extra = {"calibration_error", "calibration_error_ci", "suspects", "operating_points", "fold_figures"}
    extra |= {"subgroups", "learning_curve", "curves"}
    older = {
        **content,
        "labels": [{k: v for k, v in one.items() if k not in extra} for one in content["labels"]],
    }
    read = ProbeReport.from_json(older)
    assert read.labels[0].auroc == report.labels[0].auroc
    assert (read.labels[0].operating_points, read.labels[0].curves) == ((), None)
    for broken in ({}, {**content, "labels": [{"label": 1}]}):
        with pytest.raises(TypeError):
            ProbeReport.from_json(broken)


def test_subgroups_are_counted_compared_and_warned_of(trained: Trained, report: ProbeReport) -> None:
    found = trained.out_of_fold
    rows = len(found.rows)
    sex = [None if row % 10 == 9 else "F" if row < rows // 2 else "M" for row in range(rows)]
    scores = found.scores.copy()
    half = np.array([one == "F" for one in sex])
    scores[half] = np.random.default_rng(1).standard_normal((int(half.sum()), 2))
    worse = replace(found, scores=scores)
    shown = with_subgroups(
        report, worse, {"patient_sex": sex, "site": ["one"] * rows, "manufacturer": [None] * rows}
    )
    for column, entry in enumerate(shown.labels):
        known_rows, truth = known(worse, column)
        assert [one.value for one in entry.subgroups] == ["F", "M", NOT_KNOWN]
        assert {one.attribute for one in entry.subgroups} == {"patient_sex"}
        assert sum(one.n for one in entry.subgroups) == entry.n
        female, male, other = entry.subgroups
        mine = half[known_rows]
        assert female.auroc == pytest.approx(roc_auc_score(truth[mine], scores[known_rows, column][mine]))
        assert female.observed == pytest.approx(truth[mine].mean())
        assert female.predicted == pytest.approx(found.probability[known_rows, column][mine].mean())
        assert female.p_value is not None
        assert female.p_value < 0.01
        assert str(female.warning).startswith("worse: ")
        assert male.p_value is not None
        assert male.p_value > 0.5
        assert male.difference == pytest.approx(-(female.difference or 0))
        assert (other.p_value, other.difference) == (None, None)


def test_a_small_subgroup_is_called_small_and_rare_values_are_one(
    trained: Trained, report: ProbeReport
) -> None:
    found = trained.out_of_fold
    sites = [f"site {row // 8:02d}" for row in range(len(found.rows))]
    entry = with_subgroups(report, found, {"site": sites}).labels[0]
    assert len(entry.subgroups) == 12
    assert "others" in [one.value for one in entry.subgroups]
    first = entry.subgroups[0]
    assert str(first.warning).startswith("small: ")
    assert first.p_value is None


def test_warnings_of_subgroups_are_sentences(trained: Trained, report: ProbeReport) -> None:
    found = trained.out_of_fold
    known = np.flatnonzero(~np.isnan(found.truth[:, 0]))
    wrong = np.isin(np.arange(len(found.rows)), known[: len(known) // 2])
    turned = replace(found, scores=np.where(wrong[:, None], -10 * found.truth, 10 * found.truth))
    lone = np.flatnonzero(found.truth[:, 0] == 1.0)[0]
    sites = ["lone" if row == lone else ("bad" if one else "good") for row, one in enumerate(wrong)]
    by_site = {one.value: one for one in with_subgroups(report, turned, {"site": sites}).labels[0].subgroups}
    assert "(p < 0.001, adjusted for" in str(by_site["bad"].warning)
    assert str(by_site["lone"].warning).startswith("small: 1 patient with the label and 0 without")


def test_wrong_labels_are_suspected(trained: Trained) -> None:
    found = trained.out_of_fold
    certain = np.flatnonzero(np.abs(found.logits[:, 0]) > 2.0)
    wrong = certain[:12]
    truth = found.truth.copy()
    truth[:, 0] = (found.logits[:, 0] > 0).astype(float)
    truth[wrong, 0] = 1 - truth[wrong, 0]
    listed = [one for one in suspects(replace(found, truth=truth)) if one.label == "first"]
    assert {one.row for one in listed[:12]} >= set(wrong[:10].tolist())
    for one in listed:
        assert one.given == truth[one.row, 0]
        assert one.probability == pytest.approx(
            found.probability[one.row, 0] if one.given else 1 - found.probability[one.row, 0]
        )
    assert [one.margin for one in listed] == sorted(one.margin for one in listed)
    few = replace(found, truth=np.where(np.arange(240)[:, None] < 4, 1.0, 0.0) * np.ones((1, 2)))
    assert suspects(few) == []


def test_of_classes_the_right_one_is_suggested() -> None:
    rng = np.random.default_rng(5)
    kind = rng.integers(0, 3, 150)
    vectors = rng.standard_normal((150, 6))
    vectors[np.arange(150), kind] += 5.0
    given = kind.copy()
    given[:5] = (kind[:5] + 1) % 3
    labels = {f"c{one}": (given == one).astype(float) for one in range(3)}
    options = TrainingOptions(exclusive=True)
    trained = train(vectors, labels, list(range(150)), space="s", options=options)
    found = trained.out_of_fold
    listed = suspects(found)
    assert {one.row for one in listed[:5]} == set(range(5))
    for one in listed[:5]:
        assert (one.label, one.suggested) == (f"c{given[one.row]}", f"c{kind[one.row]}")
    measured = with_figures(trained.probe.report, found)
    for column, entry in enumerate(measured.labels):
        for point in entry.operating_points:
            called = found.probability[:, column] >= point.threshold
            assert called[given == column].mean() == pytest.approx(point.sensitivity, abs=0.1)
    grown = with_learning_curve(measured, found, trained.probe, vectors)
    assert grown.labels[0].learning_curve[-1].auroc > 0.9


def test_learning_curves_rise_to_the_figure_of_the_probe(trained: Trained, report: ProbeReport) -> None:
    vectors = vectors_of(240)
    grown, again = (
        with_learning_curve(report, trained.out_of_fold, trained.probe, vectors) for _ in range(2)
    )
    assert grown == again
    for entry, groups in zip(grown.labels, (96, 96), strict=True):
        points = entry.learning_curve
        assert points[-1].auroc == entry.auroc
        assert [one.groups for one in points] == [round(share * groups) for share in SHARES] + [groups]
        assert points[0].auroc < points[-1].auroc
        assert all(one.lowest <= one.auroc <= one.highest for one in points)
        assert points[0].draws == 5


def test_a_learning_curve_learns_nothing_of_the_rows_it_judges() -> None:
    """Labels without any relation to vectors that are all different give .5 however many are learned."""
    rng = np.random.default_rng(8)
    vectors = rng.standard_normal((300, 200))
    labels = {"coin": (rng.random(300) < 0.5).astype(float)}
    trained = train(vectors, labels, list(range(300)), space="s")
    [entry] = with_learning_curve(trained.probe.report, trained.out_of_fold, trained.probe, vectors).labels
    assert all(0.38 < one.auroc < 0.62 for one in entry.learning_curve)


def test_pooled_and_split_probes_have_their_figures() -> None:
    rng = np.random.default_rng(2)
    bags = np.repeat(np.arange(80), 3)
    vectors = rng.standard_normal((240, 8))
    truth = (rng.random(80) < 0.5).astype(float)
    vectors[::3, 0] += 3 * truth
    trained = train(vectors, {"x": truth}, list(range(80)), space="s", bags=bags)
    measured = with_figures(trained.probe.report, trained.out_of_fold)
    grown = with_learning_curve(
        measured, trained.out_of_fold, trained.probe, vectors, bags=bags, balanced=True
    )
    assert grown.labels[0].learning_curve[-1].auroc == measured.labels[0].auroc
    assert grown.labels[0].learning_curve[0].groups == 6
    one_fold = replace(trained.out_of_fold, fold=np.zeros_like(trained.out_of_fold.fold))
    split = with_figures(trained.probe.report, one_fold)
    assert len(split.labels[0].operating_points) == 3
    few = one_fold.truth.copy()
    few[np.flatnonzero(few[:, 0] == 1)[1:], 0] = np.nan  # one positive patient: nothing to choose a limit on
    rare = replace(one_fold, truth=few)
    [entry] = with_subgroups(
        with_figures(trained.probe.report, rare), rare, {"age": ["a", "b"] * (len(few) // 2)}
    ).labels
    assert entry.operating_points == ()
    assert np.isnan(entry.subgroups[0].sensitivity)
    assert with_learning_curve(split, one_fold, trained.probe, vectors, bags=bags) == split
