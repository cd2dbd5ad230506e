"""Whether the neighbours of the archive's labelled cases share their labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from medsiglip.answers.figures import LabelRetrieval, RetrievalEvaluation
from medsiglip.api.archive.evaluating.label_figures import listed
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
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
    compared = _compare_named(compare, stands_for)
    table = archive.index.table(stands_for, where)
    names = list(labels) or sorted(table.labels)
    if not names or not table.ids:
        raise _nothing_labelled(table, where)
    targets = {name: label_targets(table, name) for name in names}
    if not any((known.values == 1).any() for known in targets.values()):
        raise ServiceError(
            "no-labels",
            f"no case carries {listed(names)}, for every value is 0: import cases that do.",
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
            f"fewer than {_FEW_CARRIERS} patients carry {listed(labels)}: intervals may hold the value 90 "
            "times of 100 instead of 95, and recall over all labels has none"
        )


def _nothing_labelled(table: CaseTable, where: Sequence[str]) -> ServiceError:
    if not table.ids and where:
        return ServiceError("no-cases", f"no case fits {' and '.join(where)}: widen --where.")
    return ServiceError(
        "no-labels",
        "no case here carries a label: import labels with `medsiglip label import`, or widen --where.",
    )
