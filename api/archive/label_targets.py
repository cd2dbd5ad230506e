"""What is known of a label in each row of a table: that it is so, that it is not, or nothing.

Nothing is a negative but a stored 0 and another class of the same class column, among rows of the kind that
the class was asked of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats
from medsiglip.regions.vocabulary import named, regions_of_body_part

if TYPE_CHECKING:
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable


@dataclass(frozen=True, slots=True)
class LabelTargets:
    """`values` [n] are 1, 0 or NaN (unknown); `unknown` counts these. `warnings` are about the negatives, and
    `columnless` says that there are none because the classes beside the label are not known.
    """

    values: Floats
    warnings: tuple[str, ...] = ()
    columnless: bool = False

    @property
    def unknown(self) -> int:
        """Rows of which the label is not known."""
        return int(np.isnan(self.values).sum())


def label_targets(table: CaseTable, label: str) -> LabelTargets:
    """What is known of a label in each row.

    A row whose class column has the label among its classes, and that is of another class, is a negative if
    it is of a modality and body part in which the label occurs; a blank one fits any. A row of another
    population is unknown, unless the classes of the column are told apart by modality or body part: where no
    negative would be left, all rows of the column count, with a warning. Raises ServiceError `unknown-label`
    when no row has the label.
    """
    stored = table.labels.get(label)
    if stored is None or np.isnan(stored).all():
        known = ", ".join(sorted(table.labels)) or "none"
        raise ServiceError(
            "unknown-label", f"no case has the label {label!r}: the stored labels are {known}."
        )
    values = np.where(np.isnan(stored), np.nan, (stored > 0.5).astype(np.float64))
    others = np.array([label in classes for classes in table.classes], dtype=bool) & np.isnan(values)
    negative = others & _population(table, values == 1)
    warnings: tuple[str, ...] = ()
    if others.any() and not negative.any() and not (values == 0).any():
        negative = others
        warnings = (
            f"Every negative of {label!r} is of another modality or body part than its positives: the "
            "figures may tell those apart, and not the label.",
        )
    values[negative] = 0.0
    return LabelTargets(values, warnings, label in table.columnless and not (values == 0).any())


def _population(table: CaseTable, positive: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Rows of a modality and body part that a positive row has; what is blank fits anything."""
    kinds = [
        (modality or "", named(regions_of_body_part(body_part)) or (body_part or "").casefold())
        for modality, body_part in zip(table.modalities, table.body_parts, strict=True)
    ]
    held = {kinds[row] for row in np.flatnonzero(positive)}
    fitting = {kind: any(_fits(kind, other) for other in held) for kind in set(kinds)}
    return np.array([fitting[kind] for kind in kinds], dtype=bool)


def _fits(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return all(a == b or not a or not b for a, b in zip(one, other, strict=True))


def case_warnings(groups: PatientGroups, targets: Mapping[str, LabelTargets]) -> list[str]:
    """What must be said of patients that share pictures, of identical pictures with contradicting labels, and
    of negatives.
    """
    warnings = []
    if groups.sharing:
        warnings.append(
            f"{groups.sharing} patients share identical pictures with another patient and count as "
            f"{groups.shared} (the largest group has {groups.largest}): perhaps one person under several "
            "ids, or copied files."
        )
    for label, known in targets.items():
        pictures = sum(_contradict(known.values, rows) for rows in groups.same_pixels)
        if pictures:
            warnings.append(
                f"{pictures} pictures that occur more than once are both positive and negative for "
                f"{label!r}: correct their labels."
            )
        warnings += known.warnings
    return warnings + columnless_warnings(targets)


def columnless_warnings(targets: Mapping[str, LabelTargets]) -> list[str]:
    """What must be said of classes that an earlier version stored: one sentence for all."""
    names = [repr(label) for label, known in targets.items() if known.columnless]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [
        f"An earlier version stored {', '.join(names[:3])}{more} without the other classes of the column, so "
        "that negatives are not known: import their CSV again."
    ]


def _contradict(values: Floats, rows: Sequence[int]) -> bool:
    said = values[list(rows)]
    return bool((said == 1).any() and (said == 0).any())
