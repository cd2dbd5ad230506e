"""How well a label can be learned from the first of its labels, and from more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.labelling import LearningCurve, LearningStep
from medsiglip.api.archive.label_targets import label_targets
from medsiglip.api.archive.opened import in_one_space

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.figures.intervals import Bools
    from medsiglip.numerics import Integers

FIRST = 10
"""Studies of the first point; each further one has twice as many."""
MOST_STUDIES = 1280
"""Studies of the last point, beyond which a curve says little and takes long."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledStudies:
    """The studies of which a label is known, in the order in which they were labelled: vectors [n, d], values
    and patients [n]. Those that came with their files are the first.
    """

    vectors: NDArray[np.float32]
    positive: Bools
    patients: Integers

    @property
    def fewest_patients(self) -> int:
        """How many patients have a case with the label, or without, whichever are fewer."""
        return _fewest_patients(self.positive, self.patients)

    @property
    def sample(self) -> tuple[NDArray[np.float32], Bools]:
        """Vectors and values of all, or of as many as a fit takes, some of either value."""
        if len(self.positive) <= MOST_STUDIES:
            return self.vectors, self.positive
        rows: list[int] = []
        for side in (True, False):
            theirs = np.flatnonzero(self.positive == side)
            rows += np.random.default_rng(0).permutation(theirs)[: MOST_STUDIES // 2].tolist()
        return self.vectors[rows], self.positive[rows]


@in_one_space
def learning_curve(archive: OpenedArchive, name: str) -> LearningCurve:
    """The AUROC of linear fits to the first 10, 20, 40 ... studies that were labelled, each judged out of
    fold by patient on these studies. Raises ServiceError `unknown-label`.
    """
    found = labelled_studies(archive, name)
    sizes = [FIRST * 2**power for power in range(8)]
    steps = [size for size in sizes if size < min(len(found.positive), MOST_STUDIES)]
    steps.append(min(len(found.positive), MOST_STUDIES))
    warnings = []
    if len(found.positive) > MOST_STUDIES:
        warnings.append(f"the curve ends at {MOST_STUDIES} of {len(found.positive)} labelled studies")
    points = tuple(_step(found, size) for size in steps)
    if points[-1].auroc is None:
        warnings.append("the labels are too few, or of one value, to say how well they can be learned")
    return LearningCurve(label=name, points=points, warnings=tuple(warnings))


def labelled_studies(archive: OpenedArchive, name: str) -> LabelledStudies:
    """The studies of which the archive knows a label; raises ServiceError `unknown-label`."""
    table = archive.index.table("study")
    known = label_targets(table, name).values
    rows = np.flatnonzero(~np.isnan(known))
    given: dict[str, datetime] = {}
    for one in archive.index.reader_labels.readings(name):
        uid = one.study_instance_uid
        given[uid] = min(one.given_at, given.get(uid, one.given_at))
    order = sorted(rows.tolist(), key=lambda row: _when(given.get(table.study_instance_uids[row]), row))
    keys = [table.patient_keys[row] for row in order]
    patients = np.unique(np.array(keys, str), return_inverse=True)[1].astype(np.intp)
    return LabelledStudies(table.vectors[order], known[order] == 1.0, patients)


def _when(given_at: datetime | None, row: int) -> tuple[float, int]:
    return (0.0 if given_at is None else given_at.timestamp(), row)


def _step(found: LabelledStudies, size: int) -> LearningStep:
    from medsiglip.figures.metrics import estimate_scores
    from medsiglip.probes.ridge import out_of_fold_scores

    positive, patients = found.positive[:size], found.patients[:size]
    told = {"n": size, "positive": int(positive.sum())}
    nothing = LearningStep(**told, auroc=None, auroc_ci=(None, None))
    if _fewest_patients(positive, patients) < 2:
        return nothing
    scores = out_of_fold_scores(found.vectors[:size], positive, patients)
    if scores is None:
        return nothing
    auroc = estimate_scores(positive, scores, patients, quick=True).auroc
    return LearningStep(**told, auroc=auroc.value, auroc_ci=auroc.interval)


def _fewest_patients(positive: Bools, patients: Integers) -> int:
    return min(np.unique(patients[positive]).size, np.unique(patients[~positive]).size)
