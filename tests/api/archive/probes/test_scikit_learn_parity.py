"""Probes on the labelled sets of the test data, against scikit-learn on the exported embeddings and the same
folds.

`make probe-parity-test` takes every picture and prints the figures; the short form takes some of one set.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from medsiglip.figures.metrics import group_codes
from medsiglip.probes.fitting import STRENGTHS
from medsiglip.probes.patient_folds import group_folds
from tests.api.conftest import run

WITHIN = 0.005
FOLDS, INNER_FOLDS, SEED = 5, 3, 0
SETS = ("cxr_pneumonia", "brain_mri_tumor", "fundus_4class")


def labelled(folder: Path, name: str, most: int | None, out: Path) -> list[str]:
    """Write a metadata CSV of a set, with patients where they are known; its classes."""
    with (folder / "manifest.csv").open(encoding="utf-8") as stream:
        rows = [one for one in csv.DictReader(stream) if one["path"].startswith(f"images/{name}/")]
    rows = [one for one in rows if one["label"]]
    if most is not None:
        rows = rows[:: max(1, len(rows) // most)]
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "patient_id", "modality", "label"])
        for one in rows:
            writer.writerow([folder / one["path"], one["group_id"], one["modality"], one["label"]])
    return sorted({one["label"] for one in rows})


def exported(home: Path, out: Path) -> tuple[Any, Any, Any]:
    """Embeddings, classes and patients of the pictures, as they leave the archive."""
    assert run("--home", home, "index", "export", "--out", out).code == 0
    rows = pq.read_table(out / "images.parquet").to_pylist()
    rows.sort(key=lambda one: one["image_id"])
    vectors = np.array([one["embedding"] for one in rows], dtype=np.float64)
    classes = [next(name for name, value in one["labels"] if value == 1) for one in rows]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), classes, rows


def groups_of(home: Path) -> list[str]:
    """The groups of patients that share pictures, row by row."""
    from medsiglip.api.archive.archive import Archive

    with Archive(home) as archive:
        table = archive.index.table("image")
        return list(archive.index.instances.patient_groups(table).names)


def fit(strength: float, rows: Any, truth: Any) -> LogisticRegression:
    return LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=200).fit(rows, truth)


def by_scikit_learn(vectors: Any, truth: Any, matrix: Any, codes: Any) -> Any:
    """Out-of-fold scores [n, K] of classes `truth` [n], whose folds are those of the labels `matrix`."""
    fold = group_folds(matrix, codes, FOLDS, SEED)
    count = int(truth.max()) + 1
    scores = np.zeros((len(truth), count))
    for number in range(FOLDS):
        rows = np.flatnonzero(fold != number)
        inner = group_folds(matrix[rows], codes[rows], INNER_FOLDS, SEED + 1 + number)
        losses = [
            sum(
                log_loss(
                    truth[rows[inner == part]],
                    fit(strength, vectors[rows[inner != part]], truth[rows[inner != part]]).predict_proba(
                        vectors[rows[inner == part]]
                    ),
                    normalize=False,
                    labels=range(count),
                )
                for part in range(INNER_FOLDS)
            )
            for strength in STRENGTHS
        ]
        final = fit(STRENGTHS[int(np.argmin(losses))], vectors[rows], truth[rows])
        share = np.bincount(truth[rows], minlength=count) / len(rows)
        probability = np.clip(final.predict_proba(vectors[fold == number]), 1e-300, 1 - 1e-16)
        odds = np.log(probability) - np.log1p(-probability)
        scores[fold == number] = odds - np.log(share / (1 - share))
    return scores


def compare(home: Path, name: str, classes: list[str], out: Path) -> list[tuple[str, float, float]]:
    """AUROC of each class, ours and scikit-learn's; with average precision, both are within `WITHIN`."""
    asked = [word for one in classes for word in ("--label", one)]
    words = ["--exclusive", *asked] if len(classes) > 2 else asked[:2]
    trained = run("--home", home, "--json", "probe", "train", name.replace("_", "-"), *words).json
    vectors, held, _ = exported(home, out)
    truth = np.array([classes.index(one) for one in held])
    codes = group_codes(groups_of(home))
    if len(classes) == 2:
        truth = 1 - truth  # the first class is the label
        matrix = truth[:, None].astype(float)
        scores = by_scikit_learn(vectors, truth, matrix, codes)[:, 1:]
    else:
        matrix = np.eye(len(classes))[truth]
        scores = by_scikit_learn(vectors, truth, matrix, codes)
    figures = []
    for column, entry in enumerate(trained["labels"]):
        positive = matrix[:, column]
        theirs = roc_auc_score(positive, scores[:, column])
        assert entry["n"] == len(positive)
        assert entry["auroc"] == pytest.approx(theirs, abs=WITHIN), entry["label"]
        precision = average_precision_score(positive, scores[:, column])
        assert entry["auprc"] == pytest.approx(precision, abs=WITHIN), entry["label"]
        figures.append((entry["label"], entry["auroc"], theirs))
    return figures


def data() -> Path:
    folder = os.environ.get("MEDSIGLIP_TEST_DATA")
    if not folder:
        pytest.skip("MEDSIGLIP_TEST_DATA is not set")
    return Path(folder)


def measured(name: str, most: int | None, folder: Path) -> list[tuple[str, float, float]]:
    classes = labelled(data(), name, most, folder / "metadata.csv")
    home = folder / "home"
    pictures = data() / "images" / name
    with (folder / "metadata.csv").open(encoding="utf-8") as stream:
        chosen = [one["path"] for one in csv.DictReader(stream)]
    paths = chosen if most is not None else [str(pictures)]
    done = run("--home", home, "--json", "ingest", *paths, "--metadata", folder / "metadata.csv").json
    assert done["images"] == done["embedded"]
    return compare(home, name, classes, folder / "export")


@pytest.mark.long
def test_a_probe_on_real_pictures_is_scikit_learns(tmp_path: Path) -> None:
    assert len(measured("brain_mri_tumor", 60, tmp_path)) == 1


@pytest.mark.campaign
@pytest.mark.parametrize("name", SETS)
def test_probes_on_all_labelled_sets_are_scikit_learns(name: str, tmp_path: Path) -> None:
    for label, ours, theirs in measured(name, None, tmp_path):
        print(f"\n{name} {label}: AUROC {ours:.4f}, scikit-learn's {theirs:.4f}")
