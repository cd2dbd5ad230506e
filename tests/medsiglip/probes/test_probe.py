from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import group_codes
from medsiglip.probes.fitting import STRENGTHS
from medsiglip.probes.patient_folds import group_folds
from medsiglip.probes.probe import Probe
from medsiglip.probes.report import LabelReport, ProbeReport
from medsiglip.probes.training import TrainingOptions, train
from tests.medsiglip.probes.embeddings import embeddings


def trained(
    vectors: Any, labels: Any, groups: Any, *, space: str, seed: int = 0
) -> tuple[Probe, ProbeReport]:
    probe = train(vectors, labels, groups, space=space, options=TrainingOptions(seed=seed)).probe
    return probe, probe.report


def pipeline(vectors: Any, labels: Any, codes: Any, folds: Any, inner_folds: Any, seed: Any) -> Any:
    """The same protocol with scikit-learn alone: out-of-fold decision values of one label."""
    scores = np.zeros(len(labels))
    fold = group_folds(labels[:, None], codes, folds, seed)
    for number in range(folds):
        rows = np.flatnonzero(fold != number)
        inner = group_folds(labels[rows, None], codes[rows], inner_folds, seed + 1 + number)
        losses = [
            sum(
                log_loss(
                    labels[rows[inner == part]],
                    LogisticRegression(C=strength, solver="newton-cholesky", max_iter=500)
                    .fit(vectors[rows[inner != part]], labels[rows[inner != part]])
                    .predict_proba(vectors[rows[inner == part]])[:, 1],
                    normalize=False,
                    labels=[0, 1],
                )
                for part in range(inner_folds)
            )
            for strength in STRENGTHS[:10]  # beyond, the loss has long risen
        ]
        final = LogisticRegression(C=STRENGTHS[int(np.argmin(losses))], solver="newton-cholesky", tol=1e-8)
        final.fit(vectors[rows], labels[rows])
        scores[fold == number] = final.decision_function(vectors[fold == number])
    return scores


@pytest.mark.long(every=2)
@pytest.mark.parametrize("seed", [0, 1])
def test_auroc_is_within_a_thousandth_of_a_scikit_learn_pipeline(seed: Any) -> None:
    vectors, truth = embeddings(400, 48, seed=seed)
    groups = [f"p{number}" for number in np.random.default_rng(seed).integers(0, 150, 400)]
    _, report = trained(vectors, {"finding": truth[:, 0]}, groups, space="s", seed=seed)
    scores = pipeline(vectors.astype(np.float64), truth[:, 0], group_codes(groups), 5, 3, seed)
    assert report.labels[0].auroc == pytest.approx(roc_auc_score(truth[:, 0], scores), abs=1e-3)
    assert report.labels[0].auprc == pytest.approx(average_precision_score(truth[:, 0], scores), abs=3e-3)


def test_kept_probe_is_scikit_learns_on_all_rows() -> None:
    vectors, truth = embeddings(300, 32)
    probe, report = trained(vectors * 7, {"finding": truth[:, 0]}, list(range(300)), space="s")
    rows = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    theirs = LogisticRegression(C=report.labels[0].c, tol=1e-10, max_iter=10000).fit(rows, truth[:, 0])
    assert probe.predict_probability(vectors)[:, 0] == pytest.approx(
        theirs.predict_proba(rows)[:, 1], abs=1e-5
    )


@pytest.mark.long
def test_random_labels_are_at_chance() -> None:
    entries: list[LabelReport] = []
    for seed in range(12):
        vectors, _ = embeddings(240, 32, seed=seed)
        rng = np.random.default_rng(seed)
        labels = {f"coin-{i}": rng.integers(0, 2, 240).astype(float) for i in range(3)}
        _, report = trained(vectors, labels, (np.arange(240) // 2).tolist(), space="s")
        entries += report.labels
    # The standard error of this mean is 0.0075.
    assert np.mean([entry.auroc for entry in entries]) == pytest.approx(0.5, abs=0.02)
    contained = [entry.auroc_ci[0] <= 0.5 <= entry.auroc_ci[1] for entry in entries]
    assert np.mean(contained) >= 0.75


@pytest.mark.long
def test_prevalence_that_differs_by_fold_does_not_lower_the_auroc_of_an_uninformative_probe() -> None:
    # The more positives a fold has, the fewer are left to train on: raw pooled probabilities give 0.2 here.
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(5), 80)
    prevalence = np.linspace(0.1, 0.9, 5)[patients]
    labels = {f"coin-{i}": (rng.random(400) < prevalence).astype(float) for i in range(4)}
    _, report = trained(rng.normal(size=(400, 16)) + 3, labels, patients.tolist(), space="s")
    assert report.macro_auroc == pytest.approx(0.5, abs=0.08)


def test_labels_of_a_patient_do_not_leak() -> None:
    # Twin rows of a patient share a random label: a probe that saw one twin would know the other.
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(80), 4)
    vectors = rng.normal(size=(80, 256))[patients] + 0.05 * rng.normal(size=(320, 256))
    labels = {"coin": rng.integers(0, 2, 80).astype(float)[patients]}
    _, by_patient = trained(vectors, labels, patients.tolist(), space="s")
    _, by_row = trained(vectors, labels, list(range(320)), space="s")
    assert by_row.labels[0].auroc > 0.95
    assert by_patient.labels[0].auroc_ci[0] < 0.5 < by_patient.labels[0].auroc_ci[1]


def test_seed_decides_and_row_order_does_not() -> None:
    vectors, truth = embeddings(150, 24, labels=2)
    groups = np.array([f"p{number}" for number in np.random.default_rng(0).integers(0, 60, 150)])
    labels = {"a": truth[:, 0], "b": truth[:, 1]}
    probe, report = trained(vectors, labels, groups.tolist(), space="s", seed=4)
    again, same = trained(vectors, labels, groups.tolist(), space="s", seed=4)
    assert report == same
    assert (probe.coef == again.coef).all()
    order = np.random.default_rng(1).permutation(150)
    _, shuffled = trained(
        vectors[order], {k: v[order] for k, v in labels.items()}, groups[order].tolist(), space="s", seed=4
    )
    for first, second in zip(report.labels, shuffled.labels, strict=True):
        assert first.auroc == pytest.approx(second.auroc, abs=1e-9)
        assert first.auroc_ci == pytest.approx(second.auroc_ci, abs=1e-9)
    _, other = trained(vectors, labels, groups.tolist(), space="s", seed=5)
    assert other != report


def test_unknown_labels_are_as_if_absent() -> None:
    vectors, truth = embeddings(200, 24, labels=2)
    half = truth[:, 0].copy()
    half[120:] = np.nan
    _, alone = trained(vectors[:120], {"a": truth[:120, 0]}, list(range(120)), space="s")
    _, padded = trained(vectors, {"a": half}, list(range(200)), space="s")
    assert padded.groups == alone.groups == 120
    assert padded.labels[0] == alone.labels[0]


def test_a_label_with_too_few_patients_is_left_out_with_a_sentence() -> None:
    vectors, truth = embeddings(60, 16)
    rare = np.zeros(60)
    rare[:8] = 1
    groups = [0] * 4 + [1] * 4 + list(range(2, 54))
    probe, report = trained(vectors, {"rare": rare, "a": truth[:, 0]}, groups, space="s")
    assert probe.labels == ("a",)
    assert report.warnings == (
        "Label 'rare' has 8 positive rows from 2 groups and 52 negative rows from 52; "
        "label at least 3 groups (patients) of each.",
    )
    with pytest.raises(ModelError, match="Label 'rare' has 8 positive rows") as caught:
        train(vectors, {"rare": rare}, groups, space="s")
    assert caught.value.code == "too-few-groups"


@pytest.mark.parametrize("groups", [3, 4, 7])
def test_as_few_groups_as_allowed_still_give_figures(groups: Any) -> None:
    vectors, _ = embeddings(groups * 6, 16)
    codes = np.repeat(np.arange(groups), 6)
    labels = np.tile([0.0, 1.0], groups * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, report = trained(vectors, {"a": labels}, codes.tolist(), space="s")
    assert report.groups == groups
    assert report.folds == min(5, groups)
    assert 0 <= report.labels[0].auroc <= 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"labels": {}}, "no-labels"),
        ({"labels": {"a": [0, 1]}}, "shape-mismatch"),
        ({"labels": {"a": [0, 1, 2, 0, 1, 0]}}, "label-not-binary"),
        ({"groups": [1]}, "shape-mismatch"),
        ({"vectors": np.full((6, 2), np.nan)}, "vector-not-finite"),
        ({"vectors": np.zeros(6)}, "shape-mismatch"),
    ],
)
def test_bad_input_is_named(change: Any, code: Any) -> None:
    arguments = {"vectors": np.eye(6), "labels": {"a": [0, 1, 0, 1, 0, 1]}, "groups": [0, 1, 2, 3, 4, 5]}
    with pytest.raises(ModelError) as caught:
        train(**{**arguments, **change}, space="s")
    assert caught.value.code == code


@pytest.fixture(scope="module")
def probe() -> Any:
    """A probe that no test changes."""
    vectors, truth = embeddings(80, 16, labels=2)
    return trained(
        vectors, {"pleural effusion": truth[:, 0], "é": truth[:, 1]}, list(range(80)), space="abc-1"
    )[0]


def test_save_and_load_round_trip(probe: Any, tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    probe.save(path)
    probe.save(path)
    loaded = Probe.load(path)
    assert (loaded.space, loaded.labels, loaded.report) == (probe.space, probe.labels, probe.report)
    vectors = embeddings(10, 16, seed=9)[0]
    assert (loaded.predict_probability(vectors) == probe.predict_probability(vectors)).all()
    assert [entry.name for entry in tmp_path.iterdir()] == ["probe.npz"]
    with np.load(path, allow_pickle=False) as archive:
        assert json.loads(archive["metadata"].tobytes())["space"] == "abc-1"


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_a_damaged_file_is_refused_in_one_sentence(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="train the probe again") as caught:
        Probe.load(path)
    assert caught.value.code == "probe-unreadable"


def test_a_cut_file_and_a_pickle_are_refused(probe: Any, tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    probe.save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 12):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            Probe.load(path)
    np.savez(path, coef=np.array([print], dtype=object), intercept=1, c=1, metadata=1)
    with pytest.raises(ModelError):
        Probe.load(path)


def test_a_missing_file_and_folder_are_named(probe: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        Probe.load(tmp_path / "none.npz")
    assert caught.value.code == "probe-unknown"
    with pytest.raises(ModelError) as caught:
        probe.save(tmp_path / "none" / "probe.npz")
    assert caught.value.code == "probe-not-written"


def test_vectors_of_another_dimension_are_refused(probe: Any) -> None:
    with pytest.raises(ModelError) as caught:
        probe.predict_probability(np.ones((2, 15)))
    assert caught.value.code == "dimension-mismatch"


def test_report_is_json(probe: Any) -> None:
    content = json.loads(json.dumps(probe.report.to_json()))
    assert set(content) == {"folds", "groups", "labels", "macro_auroc", "warnings"}
    measured = {"auroc", "auprc", "sensitivity", "specificity"}
    intervals = {f"{measure}_ci" for measure in measured}
    assert set(content["labels"][0]) >= {"label", "n", "positive", "c", "caution"} | measured | intervals
    assert ProbeReport.from_json(content) == probe.report


def test_a_file_of_a_newer_version_is_refused_whatever_it_holds(probe: Any, tmp_path: Path) -> None:
    path = tmp_path / "probe.npz"
    text = json.dumps({"format": 4, "weights": "elsewhere"}).encode()
    np.savez(path, metadata=np.frombuffer(text, dtype=np.uint8))
    with pytest.raises(ModelError, match=r"newer version .*format 4.*update the program") as caught:
        Probe.load(path)
    assert caught.value.code == "probe-newer"


def test_a_file_of_the_first_format_is_read(probe: Any, tmp_path: Path) -> None:
    """Its report had fewer figures."""
    path = tmp_path / "probe.npz"
    report = probe.report.to_json()
    first = ("label", "n", "positive", "auroc", "auroc_ci", "auprc", "c")
    report["labels"] = [{name: entry[name] for name in first} for entry in report["labels"]]
    metadata = {"format": 1, "space": probe.space, "labels": probe.labels, "report": report}
    text = np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8)
    np.savez(path, metadata=text, coef=probe.coef, intercept=probe.intercept, c=probe.c)
    read = Probe.load(path)
    assert read.report.labels[0].auroc_ci == probe.report.labels[0].auroc_ci
    assert read.report.labels[0].auprc_ci is None
