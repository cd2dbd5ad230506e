"""What the scores of a probe are worth at every threshold, as its training kept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.answers.probe_figures import LabelCurves, ProbeCurves, SubgroupCounts
from medsiglip.api.archive.probes.registry import loaded_probe, stored_probe

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.probes.report import LabelReport


def probe_curves(archive: OpenedArchive, name: str) -> ProbeCurves:
    """The curves of a probe by label: the newest version, or that of `NAME@2`."""
    record = stored_probe(archive, name)
    report = loaded_probe(archive, record).report
    return ProbeCurves(
        name=record.name,
        version=record.version,
        space=record.space,
        labels=tuple(map(_of_label, report.labels)),
    )


def _of_label(entry: LabelReport) -> LabelCurves:
    if entry.curves is None:
        return LabelCurves(label=entry.label)
    groups = [one for one in entry.subgroups if one.counts is not None]
    curves = {
        name: getattr(entry.curves, name) for name in ("roc", "precision_recall", "reliability", "counts")
    }
    return LabelCurves.model_validate(
        {
            "label": entry.label,
            **curves,
            "subgroups": tuple(SubgroupCounts.model_validate(one) for one in groups),
        }
    )
