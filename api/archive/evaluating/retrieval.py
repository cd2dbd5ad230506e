"""Whether the neighbours of the archive's labelled cases share their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.figures import LabelRetrieval, RetrievalEvaluation
from medsiglip.api.archive.evaluating.label_figures import listed
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable, Level

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
    compared = compared_by(compare, stands_for)
    table = archive.index.table(stands_for, where)
    cases = label_cases(archive, table, labels, where)
    score = None
    if compared == "sets":
        score = SetScores(archive.index.study_sets(table.ids), table.vectors, CANDIDATES)
    found = evaluate(table.vectors, cases.groups.names, cases.carried, unknown=cases.unknown, score=score)
    report = found.to_json()
    by_label = [
        LabelRetrieval(label=name, **figures, unknown=int(cases.unknown[name].sum()))
        for name, figures in report.pop("by_label").items()
    ]
    if cases.few:
        report["ci"] |= {name: (None, None) for name in report["ci"] if name.startswith("recall")}
    return RetrievalEvaluation(
        level=stands_for,
        space=archive.searchable_space.name,
        compare=compared,
        **report,
        unknown=int(np.all(list(cases.unknown.values()), axis=0).sum()),
        labels=tuple(by_label),
        warnings=cases.warnings,
    )


@dataclass(frozen=True, slots=True, eq=False)
class LabelCases:
    """The rows of a table as queries: groups of patients, the labels that each row carries, where a label is
    not known, and the labels that too few patients carry for the intervals of retrieval.
    """

    groups: PatientGroups
    carried: list[set[str]]
    unknown: dict[str, NDArray[np.bool_]]
    few: list[str]
    warnings: tuple[str, ...]


def label_cases(
    archive: OpenedArchive, table: CaseTable, labels: Sequence[str], where: Sequence[str]
) -> LabelCases:
    """What is known of these labels, or of all, in the rows of a table that these filters chose. Raises
    ServiceError `no-cases`, `no-labels` and `unknown-label`.
    """
    names = list(labels) or sorted(table.labels)
    if not names or not table.ids:
        raise nothing_labelled(table, where)
    targets = {name: label_targets(table, name) for name in names}
    if not any((known.values == 1).any() for known in targets.values()):
        raise ServiceError(
            "no-labels",
            f"no case carries {listed(names)}, for every value is 0: import cases that do.",
        )
    groups = archive.index.instances.patient_groups(table)
    carried = [{name for name in names if targets[name].values[row] == 1} for row in range(len(table.ids))]
    few = _few_carriers(groups.names, carried)
    return LabelCases(
        groups,
        carried,
        {name: np.isnan(targets[name].values) for name in names},
        few,
        (*case_warnings(groups, targets), *_about_few(few)),
    )


def compared_by(compare: str | None, level: Level) -> Literal["means", "sets"]:
    """How cases are compared, or ServiceError `bad-compare`."""
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
            f"fewer than {_FEW_CARRIERS} patients carry {listed(labels)}: intervals may hold the value 90 "
            "times of 100 instead of 95, and recall over all labels has none"
        )


def nothing_labelled(table: CaseTable, where: Sequence[str]) -> ServiceError:
    """Why there is nothing to ask about."""
    if not table.ids and where:
        return ServiceError("no-cases", f"no case fits {' and '.join(where)}: widen --where.")
    return ServiceError(
        "no-labels",
        "no case here carries a label: import labels with `medsiglip label import`, or widen --where.",
    )
