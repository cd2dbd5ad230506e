"""Figures and probes as tables: AUROC by label, retrieval, probes and their predictions."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.probe_cards import show_details
from medsiglip.api.cli.presentation.scores import UNCALIBRATED
from medsiglip.api.cli.presentation.tables import Payload, interval, print_table, show_warnings


def show_label_figures(console: Console, figures: Payload) -> None:
    """AUROC per label and their mean."""
    print_table(
        console,
        figures.get("title", ""),
        ("label", "n", "positive", "unknown", "AUROC", "95 % interval"),
        (
            (
                label["label"],
                label["n"],
                label["positive"],
                label["unknown"],
                label["auroc"],
                interval(label["auroc_ci"]),
            )
            for label in figures["labels"]
        ),
        numeric="n positive unknown AUROC",
    )
    _show_macro(console, figures)
    _show_limits(console, figures)
    if figures.get("unlabelled"):
        names = ", ".join(figures["unlabelled"])
        console.print(f"no case that fits carries these labels: {escape(names)}", soft_wrap=True)
    show_warnings(console, figures)


def _show_limits(console: Console, figures: Payload) -> None:
    """Why labels have no figure, and what few patients cannot show."""
    for label in figures["labels"]:
        for said in (label.get("reason"), label.get("caution")):
            if said:
                console.print(f"  {escape(label['label'])}: {escape(said)}", soft_wrap=True)
        if label.get("calibrated") and label.get("calibration_error") is not None:
            console.print(
                f"  {escape(label['label'])}: calibrated, expected calibration error "
                f"{label['calibration_error']:.3f} {interval(label['calibration_error_ci'])}, of patients "
                "that the calibration was not made from",
                soft_wrap=True,
            )


def _show_macro(console: Console, figures: Payload) -> None:
    if figures["macro_auroc"] is not None:
        console.print(f"macro AUROC {figures['macro_auroc']:.3f}")
    else:
        console.print("no macro AUROC: no label has an AUROC")


def show_retrieval(console: Console, figures: Payload) -> None:
    """Precision and recall at k, and the mean average precision."""
    if figures["reason"]:
        console.print(f"no figure: {figures['reason']}", soft_wrap=True)
    else:
        _show_ranks(console, figures)
    show_warnings(console, figures)
    for one in figures.get("labels", []):
        console.print(
            f"  {escape(one['label'])}: {one['queries']} queries, {one['reason'] or _of_label(one)}; "
            f"unknown of {one['unknown']} cases",
            soft_wrap=True,
        )


def _of_label(one: Payload) -> str:
    """The figures of a label, each with what a random ranking would reach."""
    chance = one.get("chance_of", {})
    return (
        f"precision@5 {_number(one['precision_at']['5'])} (chance {_number(chance.get('precision_at_5'))}), "
        f"mAP {_number(one['map'])} (chance {_number(chance.get('map'))})"
    )


def _show_ranks(console: Console, figures: Payload) -> None:
    intervals, chance = figures["ci"], figures.get("chance_of", {})
    rows: list[tuple[str, float | None, str, float | None]] = []
    for name, shown in (("precision_at", "precision"), ("recall_at", "recall")):
        for k, value in figures.get(name, {}).items():
            key = f"{name}_{k}"
            rows.append((f"{shown}@{k}", value, interval(intervals.get(key)), chance.get(key)))
    rows.append(("mAP", figures["map"], interval(intervals.get("map")), chance.get("map")))
    print_table(
        console,
        f"{figures['queries']} queries at {figures['level']} level, other patients only",
        ("figure", "value", "95 % interval", "chance"),
        rows,
        numeric="value chance",
    )
    if figures.get("excluded"):
        console.print(
            f"{figures['excluded']} more queries have no figure: nothing is relevant to them, or nothing is "
            "known not to be",
            soft_wrap=True,
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def show_probe(console: Console, probe: Payload) -> None:
    """One probe and its figures, out of fold or of the test part."""
    judged = f"out of fold, {probe['groups']} patients"
    if probe.get("parts"):
        judged = f"on the test part, {probe['parts']['test']} patients of {sum(probe['parts'].values())}"
    print_table(
        console,
        f"probe {probe['name']} in space {probe['space']}: {judged}",
        ("label", "n", "positive", "unknown", "AUROC", "95 % interval", "AUPRC", "C"),
        (
            (
                label["label"],
                label["n"],
                label["positive"],
                label.get("unknown"),
                label["auroc"],
                interval(label["auroc_ci"]),
                label["auprc"],
                f"{label['c']:g}",
            )
            for label in probe["labels"]
        ),
        numeric="n positive unknown AUROC AUPRC C",
    )
    _show_macro(console, probe)
    _show_limits(console, probe)
    show_details(console, probe)
    show_warnings(console, probe)


def show_probes(console: Console, listed: Payload) -> None:
    """One line per probe."""
    print_table(
        console,
        "",
        ("name", "level", "labels", "macro AUROC", "space"),
        (
            (probe["name"], probe["level"], probe["labels"], probe["macro_auroc"], probe["space"])
            for probe in listed["probes"]
        ),
    )


def show_predictions(console: Console, predicted: Payload) -> None:
    """Scores of pictures, or where the table of everything is."""
    if "rows" in predicted:
        if "path" in predicted:
            console.print(f"{predicted['rows']} rows in {escape(str(predicted['path']))}", soft_wrap=True)
        if "stored" in predicted:
            console.print(f"{predicted['stored']} scores are kept for filters")
        show_warnings(console, predicted)
        return
    for one in predicted.get("predictions", predicted.get("results", [predicted])):
        title = str(one.get("path") or one.get("study_instance_uid") or one["image"]["path"])
        name = "probability" if _is_calibrated(one, predicted) else "score"
        print_table(
            console,
            f"{title} (trained on)" if one.get("trained_on") else title,
            ("label", name),
            one["probability"].items(),
            numeric=name,
        )
        if name == "score":
            console.print(UNCALIBRATED.format("scores of a probe"), soft_wrap=True, markup=False)
    show_warnings(console, predicted)


def _is_calibrated(one: Payload, predicted: Payload) -> bool:
    return bool(one.get("calibrated", predicted.get("calibrated")))
