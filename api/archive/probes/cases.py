"""The cases that a probe is trained on: their vectors, labels, patients, and part of a given split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.label_targets import LabelTargets, case_warnings, label_targets
from medsiglip.api.archive.labels import LabelFile, studies_to_label
from medsiglip.api.archive.probes.pooled import pictures_of_rows
from medsiglip.api.errors import ServiceError
from medsiglip.errors import ModelError
from medsiglip.numerics import Floats, Integers

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable, Level
    from medsiglip.probes.split import Split


@dataclass(frozen=True, slots=True)
class TrainingCases:
    """Rows of a table with what is known of each label, and the groups of patients that share pictures."""

    table: CaseTable
    targets: Mapping[str, LabelTargets]
    groups: PatientGroups
    split: Split | None

    @property
    def values(self) -> dict[str, Floats]:
        """The values [n] of each label: 1, 0 or NaN."""
        return {label: known.values for label, known in self.targets.items()}

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """The rows [n] of which a label is known and, with a split, the part."""
        known: NDArray[np.bool_] = np.any(~np.isnan(np.stack(list(self.values.values()))), axis=0)
        return known if self.split is None else known & self.split.given

    @property
    def learned(self) -> NDArray[np.bool_]:
        """The rows [n] that the probe learns from: all labelled ones but those of the test part."""
        return self.labelled if self.split is None else self.labelled & ~self.split.test

    @property
    def warnings(self) -> list[str]:
        """What must be said of shared pictures, contradicting labels, negatives, and rows without a part."""
        sentences = case_warnings(self.groups, self.targets)
        if self.split is not None:
            known = (~np.isnan(np.stack(list(self.values.values())))).any(axis=0)
            left = int((known & ~self.split.given).sum())
            if left:
                sentences.append(f"{left} labelled cases are in no part of the split and were left out.")
        return sentences

    def parts(self) -> dict[str, int] | None:
        """How many patients are in each part of the split."""
        if self.split is None:
            return None
        flags = {
            "training": self.split.training,
            "validation": self.split.validation,
            "test": self.split.test,
        }
        keys = np.array(self.table.patient_keys)
        return {name: len(np.unique(keys[part & self.labelled])) for name, part in flags.items()}

    def vectors(self, archive: OpenedArchive, pooling: str) -> tuple[NDArray[np.float32], Integers | None]:
        """What is fitted: the vectors of the rows or, to be pooled by the maximum, of their pictures with the
        row of each. Raises ServiceError `vector-not-finite`, which names the case.
        """
        bags = None
        vectors = self.table.vectors
        if pooling == "max":
            vectors, rows = pictures_of_rows(archive, self.table)
            bags = rows.astype(np.intp)
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if broken.size:
            row = int(broken[0] if bags is None else bags[broken[0]])
            raise ServiceError(
                "vector-not-finite",
                f"{broken.size} of {len(vectors)} vectors hold NaN or infinity, such as one of study "
                f"{self.table.study_instance_uids[row]}: embed these pictures again, or leave them out.",
            )
        return vectors, bags


def stored_cases(
    archive: OpenedArchive, level: Level, where: Sequence[str], labels: Sequence[str], split: str | None
) -> TrainingCases:
    """The cases with stored labels. Raises ServiceError `unknown-label`, `bad-split` or
    `patient-in-two-splits`.
    """
    table = archive.index.table(level, where)
    targets = {label: label_targets(table, label) for label in labels}
    parts = None if split is None else _stored_parts(archive, table, split)
    return _cases(archive, table, targets, parts)


def cases_of_file(
    archive: OpenedArchive,
    level: Level,
    where: Sequence[str],
    content: LabelFile,
    split: str | None,
    path: Path,
) -> TrainingCases:
    """The cases with the labels of a CSV alone. Raises ServiceError `labels-unmatched` for one that names
    nothing in the archive, and as `stored_cases` does.
    """
    if not studies_to_label(archive, content.records):
        raise ServiceError(
            "labels-unmatched",
            f"no row of {path} names anything in the archive, such as "
            f"{min(one.key for one in content.records)}: compare its key column with `study list` and "
            "`study show`.",
        )
    mark = f"part-{uuid4().hex}:"  # as no label is called
    marks = [replace(one, name=mark + one.name) for one in content.parts]
    table = archive.index.table(level, where, given_labels=[*content.records, *marks])
    held = {name: values for name, values in table.labels.items() if name.startswith(mark)}
    table = replace(table, labels={name: values for name, values in table.labels.items() if name not in held})
    targets = {label: LabelTargets(np.full(len(table.ids), np.nan)) for label in content.names}
    targets |= {label: label_targets(table, label) for label in table.labels}
    parts = None
    if split is not None and content.parts:
        parts = _given_parts(table, {name.removeprefix(mark): values for name, values in held.items()})
    elif split is not None:
        parts = _stored_parts(archive, table, split)
    return _cases(archive, table, targets, parts)


def _given_parts(table: CaseTable, held: Mapping[str, Floats]) -> list[list[str]]:
    """The parts that the rows of a CSV give to each row of the table."""
    parts: list[list[str]] = [[] for _ in table.ids]
    for name, values in held.items():
        for row in np.flatnonzero(values == 1.0).tolist():
            parts[row].append(name)
    return parts


def _stored_parts(archive: OpenedArchive, table: CaseTable, split: str) -> list[list[str]]:
    """The parts that a stored quality gives to the study of each row."""
    from medsiglip.index.errors import CatalogError

    name = split.removeprefix("quality.")
    studies = list(dict.fromkeys(table.study_instance_uids))
    try:
        found = archive.index.filters.values(f"quality.{name}=test", studies)
    except CatalogError:
        raise ServiceError(
            "bad-split",
            f"the split {split[:60]!r} is neither a column of a label CSV nor a quality that images have: "
            "give `split`, which the column `split` of a metadata CSV stores.",
        ) from None
    return [[str(one) for one in found[uid]] for uid in table.study_instance_uids]


def _cases(
    archive: OpenedArchive,
    table: CaseTable,
    targets: Mapping[str, LabelTargets],
    parts: Sequence[Sequence[str]] | None,
) -> TrainingCases:
    groups = archive.index.instances.patient_groups(table)
    cases = TrainingCases(table, targets, groups, None)
    return cases if parts is None else replace(cases, split=_split(cases, parts))


def _split(cases: TrainingCases, parts: Sequence[Sequence[str]]) -> Split:
    """The split of the labelled rows, no patient in two parts, and none who shares a picture with one in
    another part. Raises ServiceError `bad-split` or `patient-in-two-splits`.
    """
    from medsiglip.probes.split import Split, part_number

    labelled = cases.labelled
    where: dict[str, tuple[int, str]] = {}
    try:
        for row in np.flatnonzero(labelled).tolist():
            patient, group = cases.table.patient_keys[row], cases.groups.names[row]
            for number in filter(None, map(part_number, parts[row])):
                for key in (f"patient {patient}", f"group {group}"):
                    before, other = where.setdefault(key, (number, patient))
                    if before != number:
                        raise ModelError("patient-in-two-splits", _in_two_parts(patient, other))
        names = [parts[row][0] if parts[row] and labelled[row] else None for row in range(len(parts))]
        return Split.of_names(names)
    except ModelError as error:
        raise ServiceError(error.code, str(error)) from None


def _in_two_parts(patient: str, other: str) -> str:
    if patient == other:
        return (
            f"patient {patient} has cases in two parts of the split: put all cases of a patient into one, or "
            "the figures are of cases that the probe has learned."
        )
    return (
        f"patients {patient} and {other} share identical pictures and are in two parts of the split: put "
        "them into one, or the figures are of pictures that the probe has learned."
    )
