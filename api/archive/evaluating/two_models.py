"""Two models, or two profiles of one, on the same cases: which encoder for which task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.comparisons import ComparedSpace, FigureDifference, SpaceComparison
from medsiglip.api.archive.evaluating.asked_prompts import AskedPrompts, asked_prompts
from medsiglip.api.archive.evaluating.fitting_cases import FittingCases, case_scores, fits_of
from medsiglip.api.archive.evaluating.label_figures import figure_difference
from medsiglip.api.archive.evaluating.retrieval import compared_by, label_cases, nothing_labelled
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.answers.figures import Probe
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable, Space
    from medsiglip.index.search.two_spaces import SharedCases
    from medsiglip.zero_shot.classifier import ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import PromptSet


@in_one_space
def compare_retrieval(
    archive: OpenedArchive,
    spaces: tuple[str, str],
    *,
    labels: Sequence[str] = (),
    level: str = "image",
    where: Sequence[str] = (),
    compare: str | None = None,
) -> SpaceComparison:
    """The figures of `evaluate_retrieval` in two spaces of the home, by name, and their differences with
    paired intervals. Raises CatalogError `unknown-space`, and ServiceError as `evaluate_retrieval` does.
    """
    from medsiglip.figures.paired import retrieval_differences
    from medsiglip.figures.retrieval import evaluate_retrieval as evaluate
    from medsiglip.index.search.set_to_set import SetScores
    from medsiglip.index.search.study_search import CANDIDATES

    stands_for = level_named(level)
    compared = compared_by(compare, stands_for)
    shared = _shared(archive, spaces, stands_for, where)
    cases = label_cases(archive, shared.tables[0], labels, where)
    first, second = (
        evaluate(
            table.vectors,
            cases.groups.names,
            cases.carried,
            unknown=cases.unknown,
            score=SetScores(sets, table.vectors, CANDIDATES) if compared == "sets" else None,
        )
        for table, sets in zip(shared.tables, shared.sets, strict=True)
    )
    figures = [
        figure_difference(name, label, one)
        for label, found in retrieval_differences(first, second).items()
        for name, one in found.items()
    ]
    return SpaceComparison(
        kind="retrieval",
        level=stands_for,
        **_of_both(shared, cases.groups.names),
        compare=compared,
        figures=tuple(figures),
        warnings=cases.warnings,
    )


@in_one_space
def compare_zero_shot(
    archive: OpenedArchive,
    spaces: tuple[str, str],
    prompts: str,
    *,
    labels: Sequence[str] = (),
    level: str = "study",
    where: Sequence[str] = (),
) -> SpaceComparison:
    """AUROC of a prompt set in two spaces of the home, by name, with paired intervals of the differences.

    Which cases a label is about is told by the active space. Needs the models of both: raises ServiceError
    `model-changed` where one is not what made its space, ModelError where it is not there, and what
    `evaluate_zero_shot` does.
    """
    from medsiglip.figures.paired import auroc_difference

    asked = asked_prompts(prompts, labels, level)
    prompt_set, wanted, stands_for = asked
    every = _shared(archive, spaces, stands_for, where)
    figures: list[FigureDifference] = []
    warnings: dict[str, None] = {}
    with _classifiers(archive, every.spaces, prompt_set) as classifiers:
        compared = _ComparedLabels(archive, spaces, tuple(where), asked, classifiers)
        for label in wanted:
            table, scores = compared.scores(label)
            if label not in table.labels:
                continue
            targets, groups = label_targets(table, label), archive.index.instances.patient_groups(table)
            found = auroc_difference(targets.values, scores[0], scores[1], groups.names)
            figures.append(figure_difference("auroc", label, found))
            warnings |= dict.fromkeys(case_warnings(groups, {label: targets}))
    if not figures:
        raise asked.no_labels()
    return SpaceComparison(
        kind="zero-shot",
        level=stands_for,
        **_of_both(every, archive.index.instances.patient_groups(every.tables[0]).names),
        prompts=prompt_set.name,
        figures=tuple(figures),
        warnings=tuple(warnings),
    )


class _ComparedLabels:
    """Scores of the labels of a prompt set in two spaces, each on the images that it fits."""

    def __init__(
        self,
        archive: OpenedArchive,
        spaces: tuple[str, str],
        where: tuple[str, ...],
        asked: AskedPrompts,
        classifiers: Sequence[ZeroShotClassifier],
    ) -> None:
        self._archive, self._spaces, self._where = archive, spaces, where
        self._prompt_set, self._classifiers = asked.prompt_set, classifiers
        self._cases = FittingCases(archive, asked.level, where)

    def scores(self, label: str) -> tuple[CaseTable, list[Floats]]:
        """The cases that both spaces hold and the label fits, and their scores [n] in each space; none where
        no such case has the label.
        """
        fits = fits_of(self._prompt_set.prompts[label])
        images = set(self._cases.images(fits).ids)
        shared = self._archive.index.two_spaces.cases(self._spaces, "image", (*self._where, *fits.where))
        fitting = np.array([row for row, one in enumerate(shared.tables[0].ids) if one in images], np.intp)
        both = [table.rows(fitting) for table in shared.tables]
        table = _rows_with(self._cases.fitting(fits), both[0])
        if label not in table.labels:
            return table, []
        column = self._prompt_set.labels.index(label)
        return table, [
            case_scores(classifier, table, theirs, theirs.vectors)[:, column]
            for classifier, theirs in zip(self._classifiers, both, strict=True)
        ]


@in_one_space
def compare_probe(
    archive: OpenedArchive, spaces: tuple[str, str], name: str, *, where: Sequence[str] = ()
) -> SpaceComparison:
    """Out-of-fold AUROC of the labels of a stored probe, trained anew in two spaces of the home on the same
    cases with the same folds, from the labels that are stored today. Neither is kept.

    Both are trained as the probe was, but for a split and pooling by the maximum, which a warning says.
    Raises ServiceError `unknown-probe`, and what training does.
    """
    from medsiglip.api.archive.probes.registry import show_probe
    from medsiglip.figures.paired import auroc_difference
    from medsiglip.probes.training import MINIMUM_FOLDS, TrainingOptions, train

    probe = show_probe(archive, name)
    filters = tuple(dict.fromkeys((*probe.where, *where)))
    shared = _shared(archive, spaces, probe.level, filters)
    table = shared.tables[0]
    targets = {one.label: label_targets(table, one.label) for one in probe.labels}
    groups = archive.index.instances.patient_groups(table)
    options = TrainingOptions(
        folds=max(probe.folds or 0, MINIMUM_FOLDS),
        exclusive=probe.exclusive,
        balanced=probe.class_weight == "balanced",
    )
    values = {label: known.values for label, known in targets.items()}
    first, second = (
        train(one.vectors, values, groups.names, space=space.name, options=options).out_of_fold
        for one, space in zip(shared.tables, shared.spaces, strict=True)
    )
    theirs = [groups.names[row] for row in first.rows.tolist()]
    figures = [
        figure_difference(
            "auroc",
            label,
            auroc_difference(
                first.truth[:, column], first.scores[:, column], second.scores[:, column], theirs
            ),
        )
        for column, label in enumerate(first.labels)
    ]
    return SpaceComparison(
        kind="probe",
        level=probe.level,
        **_of_both(shared, groups.names),
        probe=name,
        figures=tuple(figures),
        warnings=(*case_warnings(groups, targets), *_trained_otherwise(probe)),
    )


def _trained_otherwise(probe: Probe) -> Iterator[str]:
    """In what a comparison does not train as the probe was trained."""
    if probe.split is not None:
        yield f"the probe was judged on a part of {probe.split}; these figures are out of fold of all cases."
    if probe.pooling == "max":
        yield "the probe takes the greatest score of a case's pictures; this comparison takes their mean."


def _shared(archive: OpenedArchive, spaces: tuple[str, str], level: str, where: Sequence[str]) -> SharedCases:
    """The cases of two spaces; raises ServiceError where there are none."""
    if len(spaces) != 2 or spaces[0] == spaces[1]:
        raise ServiceError("bad-spaces", "compare two different spaces; `index info` lists them.")
    shared = archive.index.two_spaces.cases(spaces, level_named(level), where)
    if not shared.tables[0].ids:
        if shared.left_out:
            raise ServiceError(
                "no-shared-cases",
                f"no image has a vector in both {spaces[0]} and {spaces[1]}: embed all of them with "
                "`index reembed --to MODEL`.",
            )
        raise nothing_labelled(shared.tables[0], where)
    return shared


def _rows_with(table: CaseTable, images: CaseTable) -> CaseTable:
    """The rows that one of the images belongs to."""
    held = set(images.ids if table.level == "image" else images.study_instance_uids)
    return table.rows(np.array([row for row, one in enumerate(table.ids) if one in held], np.intp))


@contextmanager
def _classifiers(
    archive: OpenedArchive, spaces: Sequence[Space], prompt_set: PromptSet
) -> Iterator[list[ZeroShotClassifier]]:
    """A classifier for each space. Models other than the archive's own are closed at the end."""
    from medsiglip.api.archive.scores.classifiers import encoder_classifier, prompt_classifier
    from medsiglip.checkpoint import open_checkpoint

    opened = []
    try:
        found = []
        for space in spaces:
            if space.checkpoint_hash == archive.space.checkpoint_hash:  # texts have no profile
                found.append(prompt_classifier(archive, prompt_set))
                continue
            checkpoint = open_checkpoint(space.model, hash_cache=archive.home / "checkpoint-hashes.json")
            if checkpoint.hash != space.checkpoint_hash:
                raise ServiceError(
                    "model-changed",
                    f"{space.model} is not the model any more that made the space {space.name}: texts cannot "
                    "be compared with its images; compare retrieval or probes.",
                )
            opened.append(archive.encoder_of(checkpoint, space.profile))
            found.append(encoder_classifier(opened[-1], prompt_set))
        yield found
    finally:
        for encoder in opened:
            if hasattr(encoder, "close"):
                encoder.close()


def _of_both(shared: SharedCases, groups: Sequence[str]) -> Mapping[str, object]:
    first, second = (
        ComparedSpace(name=one.name, model=one.model, profile=one.profile) for one in shared.spaces
    )
    return {
        "spaces": (first, second),
        "cases": len(shared.tables[0].ids),
        "patients": len(set(groups)),
        "left_out": shared.left_out,
    }
