"""Two models, or two profiles of one, on the same cases: which encoder for which task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.comparisons import ComparedSpace, FigureDifference, SpaceComparison
from medsiglip.api.archive.evaluating.fitting_cases import FittingCases, case_scores, fits_of
from medsiglip.api.archive.evaluating.label_figures import listed
from medsiglip.api.archive.evaluating.retrieval import compared_by, label_cases, nothing_labelled
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.figures.paired import Difference
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
        _line(name, None, one) for name, one in retrieval_differences(first.overall, second.overall).items()
    ]
    for label in first.by_label:
        found = retrieval_differences(first.by_label[label], second.by_label[label])
        figures += [_line(name, label, one) for name, one in found.items()]
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
    from medsiglip.zero_shot.prompt_file import load_prompt_set

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
    every = _shared(archive, spaces, stands_for, where)
    cases = FittingCases(archive, stands_for, where)
    figures: list[FigureDifference] = []
    warnings: dict[str, None] = {}
    with _classifiers(archive, every.spaces, prompt_set) as classifiers:
        for label in wanted:
            fits = fits_of(prompt_set.prompts[label])
            images = set(cases.images(fits).ids)
            shared = archive.index.two_spaces.cases(spaces, "image", (*where, *fits.where))
            fitting = np.array(
                [row for row, one in enumerate(shared.tables[0].ids) if one in images], np.intp
            )
            both = [table.rows(fitting) for table in shared.tables]
            table = _rows_with(cases.fitting(fits), both[0])
            if label not in table.labels:
                continue
            column = prompt_set.labels.index(label)
            scores = [
                case_scores(classifier, table, theirs, theirs.vectors)[:, column]
                for classifier, theirs in zip(classifiers, both, strict=True)
            ]
            targets, groups = label_targets(table, label), archive.index.instances.patient_groups(table)
            found = auroc_difference(targets.values, scores[0], scores[1], groups.names)
            figures.append(_line("auroc", label, found))
            warnings |= dict.fromkeys(case_warnings(groups, {label: targets}))
    if not figures:
        raise ServiceError(
            "no-labels",
            f"no case that prompt set {prompt_set.name} fits carries {listed(wanted)}: import labels of "
            "these names, or widen --where.",
        )
    return SpaceComparison(
        kind="zero-shot",
        level=stands_for,
        **_of_both(every, archive.index.instances.patient_groups(every.tables[0]).names),
        prompts=prompt_set.name,
        figures=tuple(figures),
        warnings=tuple(warnings),
    )


@in_one_space
def compare_probe(
    archive: OpenedArchive, spaces: tuple[str, str], name: str, *, where: Sequence[str] = ()
) -> SpaceComparison:
    """Out-of-fold AUROC of the labels of a stored probe, trained anew in two spaces of the home on the same
    cases with the same folds, from the labels that are stored today. Neither is kept.

    Raises ServiceError `unknown-probe`, and what training does.
    """
    from medsiglip.api.archive.probes.registry import show_probe
    from medsiglip.figures.paired import auroc_difference
    from medsiglip.probes.training import TrainingOptions, train

    probe = show_probe(archive, name)
    filters = tuple(dict.fromkeys((*probe.where, *where)))
    shared = _shared(archive, spaces, probe.level, filters)
    table = shared.tables[0]
    targets = {one.label: label_targets(table, one.label) for one in probe.labels}
    groups = archive.index.instances.patient_groups(table)
    options = TrainingOptions(exclusive=bool(getattr(probe, "exclusive", False)))
    values = {label: known.values for label, known in targets.items()}
    first, second = (
        train(one.vectors, values, groups.names, space=space.name, options=options).out_of_fold
        for one, space in zip(shared.tables, shared.spaces, strict=True)
    )
    theirs = [groups.names[row] for row in first.rows.tolist()]
    figures = [
        _line(
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
        warnings=tuple(case_warnings(groups, targets)),
    )


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


def _line(figure: str, label: str | None, found: Difference) -> FigureDifference:
    return FigureDifference(
        figure=figure,
        label=label,
        first=found.first,
        second=found.second,
        difference=found.value,
        difference_ci=found.interval,
        reason=found.reason,
    )
