"""Calibrated zero-shot scores of phantoms on studies of other patients: `make calibration-test`.

Studies of one seed calibrate, those of another, of other patients, judge: the expected calibration error, and
how often prediction sets hold the truth over 200 random splits of all patients into two halves, by sex and by
modality. `MEDSIGLIP_PHANTOM_VECTORS` names a folder that keeps the encoded studies for the next run. Figures
go to `benchmarks/results/calibration.csv`. What runs with every test is the same by simulation, in
`test_fitting.py` and `test_conformal.py`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from medsiglip.calibration.assessment import calibrate_label
from medsiglip.calibration.conformal import ERRORS, thresholds
from medsiglip.figures.calibration_error import calibration_error
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_file import load_prompt_set
from tests.medsiglip.calibration.phantom_cases import Encoded, encoded_studies
from tests.repository import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "calibration.csv"
PLAIN = ("chest-xray", "mammogram", "fundus", "skin", "ultrasound", "histology")
CALIBRATING = ((710_001, PLAIN, 900), (710_003, ("chest-ct",), 120))
JUDGING = ((710_002, PLAIN, 1_050), (710_004, ("chest-ct",), 120))
"""Seed, anatomies and number of studies: pictures, and volumes, which take longer."""
SPLITS, ERROR = 200, 0.1
HIGHEST_ERROR = 0.05
Floats = NDArray[np.float64]
Row = tuple[str, str, str, int, float, str]


@dataclass(frozen=True, slots=True)
class Scored:
    """Studies that could show a label: margins and truth [n], and of each the patient, sex and modality."""

    margins: Floats
    truth: Floats
    patients: tuple[str, ...]
    sexes: tuple[str, ...]
    modalities: tuple[str, ...]

    def rows(self, chosen: NDArray[np.bool_]) -> Scored:
        """Some of them."""
        names = ([one for one, keep in zip(all_, chosen, strict=True) if keep] for all_ in self._names)
        return Scored(self.margins[chosen], self.truth[chosen], *map(tuple, names))

    @property
    def _names(self) -> tuple[tuple[str, ...], ...]:
        return self.patients, self.sexes, self.modalities

    @property
    def strata(self) -> dict[str, tuple[str, ...]]:
        """By what they are told apart."""
        return {"sex": self.sexes, "modality": self.modalities}


def scored(studies: Sequence[Encoded]) -> dict[str, Scored]:
    """The cases of each label of the phantoms' prompts."""
    from medsiglip.checkpoint import open_checkpoint
    from medsiglip.encoder import Encoder

    encoder = Encoder(open_checkpoint("tiny"), device="cpu")
    prompt_set = load_prompt_set("phantoms")
    classifier = ZeroShotClassifier(prompt_set, encoder.encode_texts, encoder.logit_scale)
    pooled = [classifier.pool(classifier.scores(one.vectors)).margin for one in studies]
    found = {}
    for column, label in enumerate(prompt_set.labels):
        rows = [row for row, one in enumerate(studies) if label in one.labels]
        found[label] = Scored(
            np.array([pooled[row][column] for row in rows]),
            np.array([float(studies[row].labels[label]) for row in rows]),
            tuple(studies[row].patient for row in rows),
            tuple(studies[row].sex for row in rows),
            tuple(studies[row].modality for row in rows),
        )
    return {label: one for label, one in found.items() if one.truth.size}


@pytest.fixture(scope="module")
def cases() -> tuple[dict[str, Scored], dict[str, Scored]]:
    folder = os.environ.get("MEDSIGLIP_PHANTOM_VECTORS")
    kept = None if folder is None else Path(folder)
    calibrating, judging = (
        scored([study for one in chosen for study in encoded_studies(one[0], one[1], one[2], kept)])
        for chosen in (CALIBRATING, JUDGING)
    )
    return calibrating, judging


def errors(calibrating: dict[str, Scored], judging: dict[str, Scored]) -> Iterator[Row]:
    """Expected calibration errors of labels alone and together, before and after."""
    together: list[tuple[Floats, Floats, Floats, tuple[str, ...]]] = []
    for label, cases in calibrating.items():
        made = calibrate_label(cases.margins, cases.truth, cases.patients, strata=cases.strata)
        new = judging[label]
        after, before = made.calibration.probability(new.margins), np.asarray(expit(new.margins))
        together.append((new.truth, before, after, new.patients))
        for when, probability in (("before", before), ("after", after)):
            found = calibration_error(new.truth, probability, new.patients)
            shown = f"{found.interval[0]:.4f} to {found.interval[1]:.4f}"
            yield "error", label, when, new.truth.size, found.value, shown
    truth, before, after = (np.concatenate([one[part] for one in together]) for part in range(3))
    patients = [name for one in together for name in one[3]]
    for when, probability in (("before", before), ("after", after)):
        found = calibration_error(truth, probability, patients)
        shown = f"{found.interval[0]:.4f} to {found.interval[1]:.4f}"
        yield "error", "all", when, truth.size, found.value, shown


def coverage(label: str, cases: Scored) -> Iterator[Row]:
    """The mean share of sets that hold the truth over random splits of the patients, by class, and in each
    sex and modality; the last column is the standard error over the patients of one half.
    """
    rng = np.random.default_rng(3)
    names, codes = np.unique(cases.patients, return_inverse=True)
    place = ERRORS.index(ERROR)
    held: dict[str, list[float]] = {}
    sizes: dict[str, set[str]] = {}
    for _ in range(SPLITS):
        half = rng.permutation(names.size)[codes] % 2 == 0
        own, new = cases.rows(half), cases.rows(~half)
        limits = thresholds(
            own.margins, own.truth, np.unique(own.patients, return_inverse=True)[1], own.strata
        )
        for side, value in (("present", 1.0), ("absent", 0.0)):
            limit = (limits.present if value else limits.absent)[place]
            if limit is None:
                continue
            holds = new.margins >= limit if value else new.margins <= limit
            groups = {"all": new.truth == value}
            for kind, strata in new.strata.items():
                for stratum in sorted(set(strata)):
                    chosen = np.array([one == stratum for one in strata], bool)
                    groups[f"{kind} {stratum}"] = chosen & (new.truth == value)
            for group, rows in groups.items():
                if rows.any():
                    held.setdefault(f"{side}, {group}", []).append(float(holds[rows].mean()))
                    theirs = {new.patients[row] for row in np.flatnonzero(rows)}
                    sizes.setdefault(f"{side}, {group}", set()).update(theirs)
    for group, shares in held.items():
        # Splits share their patients: the mean over them is no surer than that over the patients.
        patients = len(sizes[group])
        spread = float(np.sqrt(ERROR * (1 - ERROR) / patients))
        yield "coverage", label, group, patients, float(np.mean(shares)), f"{spread:.4f}"


@pytest.mark.campaign
def test_calibrated_scores_of_phantoms(cases: tuple[dict[str, Scored], dict[str, Scored]]) -> None:
    calibrating, judging = cases
    rows = list(errors(calibrating, judging))
    for label in calibrating:
        both = [calibrating[label], judging[label]]
        rows += coverage(
            label,
            Scored(
                np.concatenate([one.margins for one in both]),
                np.concatenate([one.truth for one in both]),
                both[0].patients + both[1].patients,
                both[0].sexes + both[1].sexes,
                both[0].modalities + both[1].modalities,
            ),
        )
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "label", "of", "n", "value", "interval or standard error"])
        writer.writerows([*row[:4], f"{row[4]:.4f}", row[5]] for row in rows)
    faults = []
    for kind, label, group, _, value, shown in rows:
        if kind == "error" and (label, group) == ("all", "after") and value > HIGHEST_ERROR:
            faults.append(f"calibration error {value:.4f}")
        if kind == "coverage" and value < 1 - ERROR - 3 * float(shown):
            faults.append(f"{label}, {group}: sets hold the truth in {value:.4f}")
    assert not faults, "\n".join(faults)
