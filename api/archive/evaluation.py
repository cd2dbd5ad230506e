"""Figures on the archive's labelled cases: neighbours that share a label, and zero-shot scores against
labels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from medsiglip.answers.figures import LabelFigures, LabelRetrieval, RetrievalEvaluation, ZeroShotEvaluation
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats
from medsiglip.text_length import prompt_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable, Level
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.prompt_set import LabelPrompts
    from medsiglip.zeroshot import ZeroShotClassifier

# Below, in the worst settings of interval-coverage.csv, intervals hold .91, and those of recall over all
# labels, which a few queries with few relevant cases decide, .70.
_FEW_CARRIERS = 10


@in_one_space
def evaluate_retrieval(
    archive: OpenedArchive,
    *,
    labels: Sequence[str] = (),
    level: str = "image",
    where: Sequence[str] = (),
    compare: str | None = None,
) -> RetrievalEvaluation:
    """Precision, recall and mean average precision of the neighbours, among other patients, of each case that
    carries a label. A neighbour of which the query's labels are not known is left out, and so is a query to
    which every neighbour that is left is relevant.

    `compare` is `means`, or `sets`, as studies are compared if it is None: image by image.
    """
    from medsiglip.figures.retrieval import evaluate_retrieval as evaluate
    from medsiglip.index.search.set_to_set import SetScores
    from medsiglip.index.search.study_search import CANDIDATES

    stands_for = level_named(level)
    compared = _compare_named(compare, stands_for)
    table = archive.index.table(stands_for, where)
    names = list(labels) or sorted(table.labels)
    if not names or not table.ids:
        raise _nothing_labelled(table, where)
    targets = {name: label_targets(table, name) for name in names}
    if not any((known.values == 1).any() for known in targets.values()):
        raise ServiceError(
            "no-labels",
            f"no case carries {_listed(names)}, for every value is 0: import cases that do.",
        )
    groups = archive.index.instances.patient_groups(table)
    carried = [{name for name in names if targets[name].values[row] == 1} for row in range(len(table.ids))]
    unknown = {name: np.isnan(targets[name].values) for name in names}
    score = None
    if compared == "sets":
        score = SetScores(archive.index.study_sets(table.ids), table.vectors, CANDIDATES)
    report = evaluate(table.vectors, groups.names, carried, unknown=unknown, score=score).to_json()
    by_label = [
        LabelRetrieval(label=name, **figures, unknown=targets[name].unknown)
        for name, figures in report.pop("by_label").items()
    ]
    nothing_known = np.all(list(unknown.values()), axis=0)
    few = _few_carriers(groups.names, carried)
    if few:
        report["ci"] |= {name: (None, None) for name in report["ci"] if name.startswith("recall")}
    return RetrievalEvaluation(
        level=stands_for,
        space=archive.searchable_space.name,
        compare=compared,
        **report,
        unknown=int(nothing_known.sum()),
        labels=tuple(by_label),
        warnings=(*case_warnings(groups, targets), *_about_few(few)),
    )


def _compare_named(compare: str | None, level: Level) -> Literal["means", "sets"]:
    if compare not in (None, "means", "sets") or (compare == "sets" and level != "study"):
        raise ServiceError(
            "bad-compare", f"compare by means, or studies by sets; {level} level has no {compare!r}."
        )
    return "sets" if compare != "means" and level == "study" else "means"


def _few_carriers(groups: Sequence[str], carried: Sequence[Collection[str]]) -> list[str]:
    """The labels that too few patients carry for the intervals of retrieval."""
    patients: dict[str, set[str]] = defaultdict(set)
    for group, names in zip(groups, carried, strict=True):
        for name in names:
            patients[name].add(group)
    return sorted(name for name, theirs in patients.items() if len(theirs) < _FEW_CARRIERS)


def _about_few(labels: Sequence[str]) -> Iterator[str]:
    if labels:
        yield (
            f"fewer than {_FEW_CARRIERS} patients carry {_listed(labels)}: intervals may hold the value 90 "
            "times of 100 instead of 95, and recall over all labels has none"
        )


def _nothing_labelled(table: CaseTable, where: Sequence[str]) -> ServiceError:
    if not table.ids and where:
        return ServiceError("no-cases", f"no case fits {' and '.join(where)}: widen --where.")
    return ServiceError(
        "no-labels",
        "no case here carries a label: import labels with `medsiglip label import`, or widen --where.",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" or {len(names) - 5} more" if len(names) > 5 else "")


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
    from medsiglip.api.archive.classification import prompt_classifier
    from medsiglip.prompt_set import load_prompt_set

    stands_for = level_named(level)
    if stands_for == "series":
        raise ServiceError("bad-level", "zero-shot scores are evaluated at image or study level.")
    prompt_set = load_prompt_set(prompts)
    wanted = list(dict.fromkeys(labels)) or list(prompt_set.labels)
    for label in wanted:
        if label not in prompt_set.prompts:
            known = ", ".join(prompt_set.labels)
            raise ServiceError(
                "unknown-label", f"prompt set {prompt_set.name} has no label {label!r}: it has {known}."
            )
    cases = _Cases(archive, stands_for, where)
    fits = {label: _fits(prompt_set.prompts[label]) for label in wanted}
    tables = {label: cases.fitting(fits[label]) for label in wanted}
    labelled = [label for label in wanted if label in tables[label].labels]
    if not labelled:
        raise ServiceError(
            "no-labels",
            f"no case that prompt set {prompt_set.name} fits carries {_listed(wanted)}: import labels of "
            "these names, or widen --where.",
        )
    classifier = prompt_classifier(archive, prompt_set)
    rows: list[LabelFigures] = []
    warnings: dict[str, None] = {}
    for label in labelled:
        scores = cases.scores(fits[label], classifier)[:, prompt_set.labels.index(label)]
        targets, groups = label_targets(tables[label], label), cases.groups(fits[label])
        rows.append(label_figures(label, targets.unknown, targets.values, scores, groups.names))
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


def label_figures(
    label: str, unknown: int, targets: Floats, probability: Floats, groups: Sequence[str]
) -> LabelFigures:
    """One label's line, for targets [n] (NaN where not known) and probabilities [n]: counts, figures, their
    intervals, and why there are none.
    """
    from medsiglip.figures.metrics import estimate_scores, estimate_threshold

    estimates = estimate_scores(targets, probability, groups)
    decided = estimate_threshold(targets, probability, groups)
    return LabelFigures(
        label=label,
        n=estimates.auroc.n,
        positive=estimates.auroc.positive,
        unknown=unknown,
        auroc=estimates.auroc.value,
        auroc_ci=estimates.auroc.interval,
        auprc=estimates.auprc.value,
        auprc_ci=estimates.auprc.interval,
        sensitivity=decided.sensitivity,
        sensitivity_ci=decided.sensitivity_interval,
        specificity=decided.specificity,
        specificity_ci=decided.specificity_interval,
        reason=estimates.auroc.reason,
        caution=estimates.caution,
    )


def macro_auroc(rows: Sequence[LabelFigures]) -> float:
    """The mean AUROC of the labels that have one; NaN where none has."""
    from medsiglip.figures.metrics import macro

    return macro([np.nan if row.auroc is None else row.auroc for row in rows])


def _fits(prompts: LabelPrompts) -> Fits:
    from medsiglip.medgemma.fitting import Fits

    return Fits(prompts.where, prompts.regions, prompts.population)


class _Cases:
    """Labels and zero-shot scores of the cases that labels of a prompt set fit, looked up once for each kind
    of fit.
    """

    def __init__(self, archive: OpenedArchive, level: Level, where: Sequence[str]) -> None:
        from medsiglip.api.archive.classification import prompt_classifier
        from medsiglip.medgemma.study_regions import StudyRegions

        self._archive = archive
        self._level = level
        self._where = tuple(where)
        self._regions = StudyRegions(archive.index, partial(prompt_classifier, archive))
        self._tables: dict[Fits, CaseTable] = {}
        self._scores: dict[Fits, Floats] = {}
        self._groups: dict[Fits, PatientGroups] = {}

    def fitting(self, fits: Fits) -> CaseTable:
        """The labelled rows that fit and pass the filters of the whole evaluation."""
        if fits not in self._tables:
            self._tables[fits] = self._fitting(self._level, fits)
        return self._tables[fits]

    def _fitting(self, level: Level, fits: Fits) -> CaseTable:
        """At study level those of which an image fits."""
        from medsiglip.medgemma.fitting import fitting_rows

        table = self._archive.index.table(level, (*self._where, *fits.where))
        if level == "image":
            return table.rows(fitting_rows(fits, table, self._regions))
        held = set(self._fitting("image", fits).study_instance_uids)
        return table.rows(np.array([row for row, uid in enumerate(table.ids) if uid in held], np.intp))

    def groups(self, fits: Fits) -> PatientGroups:
        """The groups of patients of `fitting(fits)`."""
        if fits not in self._groups:
            self._groups[fits] = self._archive.index.instances.patient_groups(self.fitting(fits))
        return self._groups[fits]

    def scores(self, fits: Fits, classifier: ZeroShotClassifier) -> Floats:
        """Probability [n, L] of each label for each row of `fitting(fits)`."""
        if fits not in self._scores:
            self._scores[fits] = self._score(fits, classifier)
        return self._scores[fits]

    def _score(self, fits: Fits, classifier: ZeroShotClassifier) -> Floats:
        table = self.fitting(fits)
        if self._level == "image":
            return classifier.scores(table.vectors).probability
        images = self._fitting("image", fits)
        by_image = classifier.scores(images.vectors)
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
        return np.stack(pooled) if pooled else np.empty((0, len(by_image.labels)))
