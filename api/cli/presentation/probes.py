"""Probes that were written or deleted, and cases to label next, as lines and tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.scores import UNCALIBRATED
from medsiglip.api.cli.presentation.tables import Payload, print_table, show_warnings


def show_exported(console: Console, exported: Payload) -> None:
    """Where the files of a probe are."""
    names = " and ".join(exported["files"])
    place = escape(str(exported["path"]))
    console.print(f"{exported['name']}@{exported['version']}: {names} in {place}", soft_wrap=True)


def show_removed(console: Console, removed: Payload) -> None:
    """What was deleted."""
    console.print(f"deleted {escape(str(removed['name']))}")


def show_suggestions(console: Console, found: Payload) -> None:
    """Studies to label next, and what the labels would do for the figures."""
    print_table(
        console,
        f"to label next for {found['name']}@{found['version']}: "
        f"{len(found['suggestions'])} of {found['candidates']} studies without a label",
        ("", "study", "patient", "why", "label", "score", "distance"),
        (
            (
                one["rank"],
                one["study_instance_uid"],
                one["patient_key"],
                one["reason"],
                one["label"],
                one["probability"],
                one["distance"],
            )
            for one in found["suggestions"]
        ),
        numeric="score distance",
    )
    console.print(UNCALIBRATED.format("scores of a probe"), soft_wrap=True, markup=False)
    for one in found["labels_needed"]:
        if one["more_patients"] is not None:
            console.print(
                f"{escape(str(one['label']))}: AUROC has a 95 % interval {one['interval_width']:.3f} wide "
                f"from {one['patients']} patients; {one['more_patients']} more would halve that",
                soft_wrap=True,
            )
    show_warnings(console, found)
