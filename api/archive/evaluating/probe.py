"""How well a probe of a home does on patients that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.figures import ProbeEvaluation
from medsiglip.api.archive.evaluating.label_figures import label_figures, macro_auroc
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.probes.pooled import row_logits
from medsiglip.api.archive.probes.registry import active_space, loaded_probe, require_space, stored_probe
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


@in_one_space
def evaluate_probe(archive: OpenedArchive, name: str, *, where: Sequence[str] = ()) -> ProbeEvaluation:
    """AUROC per label on labelled cases of patients that the probe was not trained on. Those who share a
    picture with such a patient are left out, too.
    """
    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, active_space(archive))
    table = archive.index.table(level_named(record.summary["level"]), where)
    groups = archive.index.instances.patient_groups(table)
    seen = archive.index.instances.seen_patients(table.patient_keys, [record])[name]
    unseen = np.array([key not in seen for key in table.patient_keys], dtype=bool)
    rows = []
    known = [label for label in probe.labels if label in table.labels]
    targets = {label: label_targets(table, label) for label in known}
    if not known:
        raise ServiceError(
            "no-labels", f"no case here carries a label of probe {name}: import labels, or widen --where."
        )
    probability = probe.probability(row_logits(archive, probe, table))
    for label in known:
        values = np.where(unseen, targets[label].values, np.nan)
        scores = probability[:, probe.labels.index(label)]
        unknown = int(np.isnan(targets[label].values[unseen]).sum())
        rows.append(label_figures(label, unknown, values, scores, groups.names))
    if not any(row.n for row in rows):
        raise ServiceError(
            "no-unseen-cases",
            f"probe {name} was trained on every labelled patient here: `probe show {name}` has its "
            "out-of-fold figures; label patients it has not seen.",
        )
    return ProbeEvaluation(
        name=name,
        space=probe.space,
        level=table.level,
        patients_left_out=len(seen),
        labels=tuple(rows),
        macro_auroc=macro_auroc(rows),
        warnings=tuple(case_warnings(groups, targets)),
    )
