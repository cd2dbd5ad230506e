"""Zero-shot scores against the archive's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.figures import LabelFigures, ZeroShotEvaluation
from medsiglip.api.archive.evaluating.asked_prompts import asked_prompts
from medsiglip.api.archive.evaluating.calibrated import CalibratedScores, with_calibration_error
from medsiglip.api.archive.evaluating.fitting_cases import FittingCases, fits_of
from medsiglip.api.archive.evaluating.label_figures import label_figures, macro_auroc
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.text_length import prompt_warnings

_ALL_SEEN = (
    "Every labelled patient of {!r} is one whose cases its calibration was made from: its figures are those "
    "of uncalibrated scores. Label patients that it has not seen."
)

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


@in_one_space
def evaluate_zero_shot(
    archive: OpenedArchive,
    prompts: str,
    *,
    labels: Sequence[str] = (),
    level: str = "study",
    where: Sequence[str] = (),
) -> ZeroShotEvaluation:
    """AUROC of a prompt set against the stored labels of the same names.

    Each label is measured on the images that its prompts fit (by filters, part of the body and age) and that
    carry the label; `unlabelled` names the labels of the set that no such case carries.
    """
    from medsiglip.api.archive.scores.classifiers import prompt_classifier

    asked = asked_prompts(prompts, labels, level)
    prompt_set, wanted, stands_for = asked
    cases = FittingCases(archive, stands_for, where)
    fits = {label: fits_of(prompt_set.prompts[label]) for label in wanted}
    tables = {label: cases.fitting(fits[label]) for label in wanted}
    labelled = [label for label in wanted if label in tables[label].labels]
    if not labelled:
        raise asked.no_labels()
    classifier = prompt_classifier(archive, prompt_set)
    rows: list[LabelFigures] = []
    warnings: dict[str, None] = {}
    calibrated = CalibratedScores.of(archive, prompt_set, stands_for)
    for label in labelled:
        scores = cases.scores(fits[label], classifier)[:, prompt_set.labels.index(label)]
        targets, groups = label_targets(tables[label], label), cases.groups(fits[label])
        values, probability = targets.values, None
        if calibrated.has(label):
            unseen = values * calibrated.unseen(groups.names, tables[label].patient_keys)
            if np.isnan(unseen).all():
                warnings[_ALL_SEEN.format(label)] = None
            else:
                values = unseen
                probability = calibrated.probability(label, cases.margins(fits[label], classifier))
        if probability is None:
            rows.append(label_figures(label, targets.unknown, values, scores, groups.names))
        else:
            figures = label_figures(label, targets.unknown, values, probability, groups.names)
            rows.append(with_calibration_error(figures, values, probability, groups.names))
        warnings |= dict.fromkeys(case_warnings(groups, {label: targets}))
    return ZeroShotEvaluation(
        prompts=prompt_set.name,
        level=stands_for,
        space=archive.space.name,
        labels=tuple(rows),
        unlabelled=tuple(label for label in wanted if label not in labelled),
        macro_auroc=macro_auroc(rows),
        warnings=(*prompt_warnings(archive.encoder.tokenizer, prompt_set), *warnings),
    )
