"""Figures on the archive's labelled cases: neighbours that share a label, and zero-shot scores against
labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from api.errors import ServiceError
from api.levels import level_named
from api.payload import plain

if TYPE_CHECKING:
    from api.service import Answer, Archive
    from index.records import CaseTable
    from medsiglip.metrics import Estimate
    from medsiglip.zeroshot import ZeroShotClassifier

Floats = NDArray[np.float64]


def label_targets(table: CaseTable, label: str) -> Floats:
    """0, 1 or NaN (unknown) for each row of the table.

    Where no row says 0, the label is one class of several (as a `label` column gives it), and every row with
    another label is a negative of it. Raises ServiceError `unknown-label` when no row has the label.
    """
    stored = table.labels.get(label)
    if stored is None or np.isnan(stored).all():
        known = ", ".join(sorted(table.labels)) or "none"
        raise ServiceError(
            "unknown-label", f"no case has the label {label!r}: the stored labels are {known}."
        )
    targets = np.where(np.isnan(stored), np.nan, (stored > 0.5).astype(np.float64))
    if not (targets == 0).any():
        labelled = np.any([~np.isnan(values) for values in table.labels.values()], axis=0)
        targets[labelled & np.isnan(targets)] = 0.0
    return targets


def evaluate_retrieval(
    archive: Archive, *, labels: Sequence[str], level: str, where: Sequence[str]
) -> Answer:
    """Answer in the JSON shape of `evaluate retrieval`: each case that carries a label asks for its
    neighbours.
    """
    from medsiglip.retrieval import evaluate_retrieval as evaluate

    table = archive.index.table(level_named(level), where)
    names = list(labels) or sorted(table.labels)
    if not names:
        raise ServiceError(
            "no-labels", "no case is labelled: import labels first with `medsiglip label import`."
        )
    carried = {name: label_targets(table, name) == 1 for name in names}
    sets = [{name for name in names if carried[name][row]} for row in range(len(table.ids))]
    report = evaluate(table.vectors, table.patient_keys, sets).to_json()
    by_label = [{"label": name, **figures} for name, figures in report.pop("by_label").items()]
    answer: Answer = plain({"level": level, "space": archive.index.space, **report, "labels": by_label})
    answer["space"] = archive.index.space.name if archive.index.space else None
    return answer


def evaluate_zero_shot(
    archive: Archive, prompts: str, *, labels: Sequence[str], level: str, where: Sequence[str]
) -> Answer:
    """Answer in the JSON shape of `evaluate zero-shot`.

    Each label is measured on the images that its prompts fit (the prompt set's own filters) and that carry
    the label.
    """
    from api.classification import prompt_classifier
    from medsiglip.zeroshot import load_prompt_set

    if level_named(level) == "series":
        raise ServiceError("bad-level", "zero-shot scores are evaluated at image or study level.")
    prompt_set = load_prompt_set(prompts)
    classifier = prompt_classifier(archive, prompt_set)
    wanted = list(labels) or list(prompt_set.labels)
    rows: list[dict[str, Any]] = []
    tables = _Tables(archive, level, where)
    for label in wanted:
        if label not in prompt_set.prompts:
            known = ", ".join(prompt_set.labels)
            raise ServiceError(
                "unknown-label", f"prompt set {prompt_set.name} has no label {label!r}: it has {known}."
            )
        table, scores = tables.scored(prompt_set.prompts[label].where, classifier)
        if table is None or label not in table.labels:
            continue
        targets = label_targets(table, label)
        from medsiglip.metrics import estimate_auroc

        column = prompt_set.labels.index(label)
        rows.append(label_figures(label, estimate_auroc(targets, scores[:, column], table.patient_keys)))
    if not rows:
        raise ServiceError(
            "no-labels",
            f"no case that prompt set {prompt_set.name} fits carries one of its labels: import labels first.",
        )
    from medsiglip.metrics import macro

    return {
        "prompts": prompt_set.name,
        "level": level,
        "space": archive.space.name,
        "labels": rows,
        "macro_auroc": plain(macro([np.nan if row["auroc"] is None else row["auroc"] for row in rows])),
    }


def label_figures(label: str, estimate: Estimate) -> dict[str, Any]:
    """One label's line: counts, AUROC, its interval, and why there is none."""
    figures: dict[str, Any] = plain(
        {
            "label": label,
            "n": estimate.n,
            "positive": estimate.positive,
            "auroc": estimate.value,
            "auroc_ci": estimate.interval,
            "reason": estimate.reason,
        }
    )
    return figures


class _Tables:
    """Labels and zero-shot scores of the cases behind each filter, computed once per filter."""

    def __init__(self, archive: Archive, level: str, where: Sequence[str]) -> None:
        self._archive = archive
        self._level = level_named(level)
        self._where = tuple(where)
        self._known: dict[tuple[str, ...], tuple[CaseTable | None, Floats]] = {}

    def scored(
        self, where: tuple[str, ...], classifier: ZeroShotClassifier
    ) -> tuple[CaseTable | None, Floats]:
        if where not in self._known:
            self._known[where] = self._score((*self._where, *where), classifier.scores, classifier)
        return self._known[where]

    def _score(
        self, where: tuple[str, ...], scores: Callable[[Any], Any], classifier: ZeroShotClassifier
    ) -> tuple[CaseTable | None, Floats]:
        images = self._archive.index.table("image", where)
        if not images.ids:
            return None, np.empty((0, 0))
        by_image = scores(images.vectors)
        if self._level == "image":
            return images, by_image.probability
        table = self._archive.index.table("study", where)
        row = {uid: i for i, uid in enumerate(table.ids)}
        members: list[list[int]] = [[] for _ in table.ids]
        for i, uid in enumerate(images.study_instance_uids):
            members[row[uid]].append(i)
        from medsiglip.zeroshot import Scores

        pooled = [
            classifier.pool(
                Scores(by_image.labels, by_image.probability[rows], by_image.cosine[rows])
            ).probability
            for rows in members
        ]
        return table, np.stack(pooled)
