"""The card of a probe: one page of HTML that can be sent to a colleague, and the list of suspicious labels.

The page is made of what the training kept. It names no patient and no study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.probe_figures import CardItem, ProbeCard, ProbeSuspects, SubgroupFigures, Suspect
from medsiglip.api.archive.files import AnyPath, output_file, write_text
from medsiglip.api.archive.pages.page import (
    Part,
    Section,
    beside,
    bullets,
    facts,
    note,
    page,
    paragraph,
    table,
)
from medsiglip.api.archive.probes.card_items import RULES, card_items
from medsiglip.api.archive.probes.registry import loaded_probe, show_probe, stored_probe
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.answers.figures import ProbeLabel
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.probes.report import LabelReport

MOST_PLOTTED = 16
"""Labels of which a page has plots; those after them have tables alone."""

_INTERVALS = "Intervals are 95 %, by patient, and do not include how another training set would do."


def probe_card(archive: OpenedArchive, name: str, *, out: AnyPath | None = None) -> ProbeCard:
    """The items of the card of a probe; given `out`, its page is written there."""
    probe, items = _items(archive, name)
    shared = {"name": probe.name, "version": probe.version, "space": probe.space, "items": items}
    if out is None:
        return ProbeCard.model_validate(shared)
    path = output_file(out)
    write_text(path, _page(archive, probe, items))
    return ProbeCard.model_validate({**shared, "path": str(path)})


def probe_card_page(archive: OpenedArchive, name: str) -> str:
    """The page of the card of a probe."""
    return _page(archive, *_items(archive, name))


def probe_suspects(archive: OpenedArchive, name: str, *, n: int = 50) -> ProbeSuspects:
    """The `n` cases whose labels most look wrong, as the training found them out of fold."""
    if not 1 <= n <= 500:
        raise ServiceError("bad-count", f"ask for 1 to 500 suspicious labels, not {n}.")
    record = stored_probe(archive, name)
    stored = [Suspect.model_validate(one) for one in record.summary.get("suspects", ())]
    found = sum(label.get("suspects") or 0 for label in record.summary["labels"])
    return ProbeSuspects(
        name=record.name,
        version=record.version,
        space=record.space,
        level=record.summary["level"],
        found=found,
        suspects=tuple(stored[:n]),
        warnings=_suspect_warnings(name, len(stored), "suspects" in record.summary),
    )


def _suspect_warnings(name: str, stored: int, looked: bool) -> tuple[str, ...]:
    if not looked:
        return (
            f"no labels were looked at when the probe {name} was trained: it is imported, or of an earlier "
            "version; train it again.",
        )
    if not stored:
        return ("no label looks wrong, or each class has too few cases to tell.",)
    return (
        "these are suspicions: right labels of unusual cases are among them. Look at the images before you "
        "change a label.",
    )


def _items(archive: OpenedArchive, name: str) -> tuple[ProbeAnswer, tuple[CardItem, ...]]:
    probe = show_probe(archive, name)
    models = {space.name: space.model for space in archive.index.spaces.listed()}
    return probe, card_items(probe, models.get(probe.space) or None, _calibrated(archive, probe))


def _calibrated(archive: OpenedArchive, probe: ProbeAnswer) -> list[str]:
    """The labels with a calibration of this version of the probe; all, where they exclude each other."""
    from medsiglip.calibration.applied import CLASSES
    from medsiglip.medgemma.calibrations import probe_fingerprint

    made_for = probe_fingerprint(stored_probe(archive, f"{probe.name}@{probe.version}"))
    kept = {
        record.label
        for record in archive.index.calibrations.of_subject(f"probe:{probe.name}")
        if (record.space, record.level) == (probe.space, probe.level)
        and record.summary.get("fingerprint") == made_for
    }
    return [one.label for one in probe.labels if one.label in kept or CLASSES in kept]


def _page(archive: OpenedArchive, probe: ProbeAnswer, items: tuple[CardItem, ...]) -> str:
    version = f"{probe.name}@{probe.version}" if probe.version else probe.name
    report = loaded_probe(archive, stored_probe(archive, version)).report
    curves = {entry.label: entry for entry in report.labels}
    titles = list(dict.fromkeys(one.section for one in items))
    sections = [_section(title, [one for one in items if one.section == title]) for title in titles]
    sections += [
        _of_label(label, curves.get(label.label) if place < MOST_PLOTTED else None)
        for place, label in enumerate(probe.labels)
    ]
    sections.append(_checklists(items))
    names = ", ".join(label.label for label in probe.labels)
    return page(
        f"Probe card: {probe.name}",
        sections,
        subtitle=f"Version {probe.version or 1}, for {names}, by {probe.level}. Research use only.",
        footer="Made by medsiglip from what it kept when the probe was trained. It names no patient.",
    )


def _section(title: str, items: list[CardItem]) -> Section:
    parts: list[Part] = [facts((one.item, one.text) for one in items)]
    if title == "Use and limits":
        [forbidden] = [one.text for one in items if one.item == "Must not be used for"]
        parts = [
            paragraph("What it must not be used for:"),
            note(forbidden),
            facts((one.item, one.text) for one in items if one.text != forbidden),
        ]
    return Section(title, tuple(parts))


def _of_label(label: ProbeLabel, entry: LabelReport | None) -> Section:
    from medsiglip.api.archive.probes.card_plots import plots_of

    parts: list[Part] = [paragraph(f"{label.positive} of {label.n} cases are positive. {_INTERVALS}")]
    if label.caution:
        parts.append(note(label.caution))
    parts.append(_figures(label))
    if label.operating_points:
        parts.append(_points(label))
    if entry is not None:
        parts.append(beside(plots_of(entry)))
    if label.subgroups:
        parts += _subgroups(label)
    if label.fold_figures:
        parts.append(_folds(label))
    if len(label.learning_curve) > 1:
        parts.append(_learning(label))
    return Section(label.label, tuple(parts))


def _figures(label: ProbeLabel) -> Part:
    rows = [
        ("AUROC", label.auroc, label.auroc_ci),
        ("average precision", label.auprc, label.auprc_ci),
        ("expected calibration error", label.calibration_error, label.calibration_error_ci),
    ]
    return table(("figure", "value", "95 % interval"), rows, numeric=("value", "95 % interval"))


def _points(label: ProbeLabel) -> Part:
    rows = [
        (
            RULES[one.rule].format(target=one.target or 0),
            one.threshold,
            one.sensitivity,
            one.sensitivity_ci,
            one.specificity,
            one.specificity_ci,
        )
        for one in label.operating_points
    ]
    columns = ("chosen for", "score at least", "sensitivity", "95 % interval", "specificity", "95 % interval")
    caption = (
        "Operating points: limits of uncalibrated scores, chosen on other patients than they were tried on."
    )
    return table(columns, rows, caption=caption, numeric=columns[1:])


def _subgroups(label: ProbeLabel) -> list[Part]:
    rows = [
        (
            _named(one),
            one.groups,
            f"{one.positive} / {one.n}",
            one.auroc,
            one.auroc_ci,
            one.sensitivity,
            one.specificity,
            one.predicted,
            one.observed,
            one.p_value,
        )
        for one in label.subgroups
    ]
    columns = (
        *("subgroup", "patients", "positive", "AUROC", "95 % interval", "sensitivity", "specificity"),
        *("mean score", "share positive", "p, adjusted"),
    )
    caption = "Subgroups: sensitivity and specificity at Youden's point; p is of an AUROC below the others'."
    told = [f"{_named(one)} is {one.warning}" for one in label.subgroups if one.warning]
    return [table(columns, rows, caption=caption, numeric=columns[1:]), bullets(told)]


def _named(one: SubgroupFigures) -> str:
    return f"{one.attribute.removeprefix('patient_')} {one.value}"


def _folds(label: ProbeLabel) -> Part:
    figures = label.fold_figures
    rows = [(one.fold, one.groups, one.n, one.positive, one.auroc, one.auroc_ci) for one in figures]
    columns = ("fold", "patients", "cases", "positive", "AUROC", "95 % interval")
    return table(columns, rows, caption="Folds", numeric=columns)


def _learning(label: ProbeLabel) -> Part:
    rows = [(one.groups, one.draws, one.auroc, (one.lowest, one.highest)) for one in label.learning_curve]
    columns = ("patients in training", "draws", "AUROC, mean", "range of the draws")
    return table(columns, rows, caption="Learning curve", numeric=columns)


def _checklists(items: tuple[CardItem, ...]) -> Section:
    rows = [(one.item, one.tripod_ai or "", one.claim or "") for one in items]
    return Section(
        "Where this is asked for",
        (table(("item", "TRIPOD+AI", "CLAIM 2024"), rows),),
    )
