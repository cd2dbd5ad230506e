"""How readers agree on a label."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.labelling import LabelAgreement, ReaderPair
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import Reading

    Case = tuple[str, str, str]
    Readings = dict[Case, dict[str, Reading]]

MOST_READERS = 30
"""Of more, those with most cases are compared in pairs."""


def label_agreement(archive: OpenedArchive, name: str) -> LabelAgreement:
    """How readers agree on a label: in pairs, and all together. Raises ServiceError `unknown-label` where no
    reader has given it.
    """
    readings = archive.index.reader_labels.readings(name)
    if not readings:
        held = sorted({one.name for one in archive.index.labels.summaries()})
        raise ServiceError(
            "unknown-label",
            f"no reader has given the label {name!r}: the stored labels are {', '.join(held) or 'none'}.",
        )
    by_case: Readings = defaultdict(dict)
    for one in readings:
        by_case[one.case][one.reader] = one
    shared = {case: said for case, said in by_case.items() if len(said) > 1}
    readers = sorted({one.reader for one in readings})
    compared = _most_active(by_case, readers)
    divided = [said for said in shared.values() if len({one.positive for one in said.values()}) > 1]
    warnings = []
    if len(readers) < 2:
        warnings.append(f"only {readers[0]} has given this label: agreement needs a second reader")
    if len(compared) < len(readers):
        warnings.append(f"pairs are of the {MOST_READERS} readers with most cases, of {len(readers)}")
    return LabelAgreement(
        label=name,
        readers=tuple(readers),
        **_together(shared),
        pairs=tuple(pair for two in combinations(compared, 2) if (pair := _pair(shared, *two)) is not None),
        disagreements=tuple(sorted({next(iter(said.values())).study_instance_uid for said in divided})),
        undecided=sum(_is_even(said) for said in divided),
        warnings=tuple(warnings),
    )


def _most_active(by_case: Readings, readers: list[str]) -> list[str]:
    counts = {reader: sum(reader in said for said in by_case.values()) for reader in readers}
    return sorted(sorted(readers, key=lambda reader: (-counts[reader], reader))[:MOST_READERS])


def _is_even(said: dict[str, Reading]) -> bool:
    return 2 * sum(one.positive for one in said.values()) == len(said)


def _patients(cases: list[dict[str, Reading]]) -> int:
    return len({next(iter(said.values())).patient_key for said in cases})


def _together(shared: Readings) -> dict[str, object]:
    """Krippendorff's alpha of the cases that several read."""
    from medsiglip.figures.reader_agreement import krippendorff_alpha, krippendorff_interval

    cases = list(shared.values())
    positive = np.array([sum(one.positive for one in said.values()) for said in cases], np.intp)
    readers = np.array([len(said) for said in cases], np.intp)
    patients = _patients(cases)
    nothing = (None, None)
    return {
        "cases": len(cases),
        "patients": patients,
        "alpha": krippendorff_alpha(positive, readers) if cases else None,
        "alpha_ci": krippendorff_interval(positive, readers, patients) if cases else nothing,
    }


def _pair(shared: Readings, one: str, other: str) -> ReaderPair | None:
    """How two readers agree on what both read; None where that is nothing."""
    from medsiglip.figures.reader_agreement import cohen_interval, cohen_kappa

    both = [said for said in shared.values() if one in said and other in said]
    if not both:
        return None
    first, second = (np.array([said[reader].positive for said in both], bool) for reader in (one, other))
    return ReaderPair(
        readers=(one, other),
        n=len(both),
        agreement=float((first == second).mean()),
        kappa=cohen_kappa(first, second),
        kappa_ci=cohen_interval(first, second, _patients(both)),
    )
