"""Comparisons as tables: two models, two groups of cases, and pictures as they could have come."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, interval, print_table, show_warnings


def show_comparison(console: Console, found: Payload) -> None:
    """Each figure of two spaces, and the difference."""
    first, second = found["spaces"]
    for name, one in (("first", first), ("second", second)):
        console.print(
            f"{name}: {escape(one['model'])}, profile {one['profile']}, space {one['name']}", soft_wrap=True
        )
    print_table(
        console,
        f"{found['cases']} cases of {found['patients']} patients at {found['level']} level, in both spaces",
        ("label", "figure", "first", "second", "difference", "95 % interval"),
        (
            (
                one["label"] or "all",
                one["figure"],
                one["first"],
                one["second"],
                one["difference"],
                interval(one["difference_ci"]),
            )
            for one in found["figures"]
        ),
        numeric="first second difference",
    )
    if found["left_out"]:
        console.print(f"{found['left_out']} images are not in both spaces: left out", soft_wrap=True)
    show_warnings(console, found)


def show_drift(console: Console, report: Payload) -> None:
    """The two tests, and the cases that stand apart."""
    console.print(
        "the groups do not look alike to the model"
        if report["differs"]
        else "nothing shows that the groups look different to the model",
        soft_wrap=True,
    )
    print_table(
        console,
        f"{report['reference_patients']} patients of the reference, {report['current_patients']} current, "
        f"{report['in_both']} in both",
        ("test", "value", "95 % interval", "p-value"),
        (
            ("classifier AUROC", report["auroc"], interval(report["auroc_ci"]), f"{report['auroc_p']:.4f}"),
            ("energy distance", report["energy"], "-", f"{report['energy_p']:.4f}"),
        ),
        numeric="value p-value",
    )
    print_table(
        console,
        "cases that stand apart from the other group",
        ("group", "study_instance_uid", "modality", "apart"),
        ((one["group"], one["study_instance_uid"], one["modality"], one["apart"]) for one in report["cases"]),
        numeric="apart",
    )
    show_warnings(console, report)


def show_robustness(console: Console, report: Payload) -> None:
    """What each change does to vectors and to the AUROC of each label."""
    for title, shifts in (("one change at a time", report["shifts"]), ("in one chain", report["chain"])):
        print_table(
            console,
            f"{title}: {report['cases']} cases of {report['patients']} patients, {report['images']} images",
            ("change", "cosine", "95 % interval", "label", "AUROC", "after", "difference", "its interval"),
            (
                (
                    one["name"],
                    one["cosine"],
                    interval(one["cosine_ci"]),
                    label["label"],
                    label["first"],
                    label["second"],
                    label["difference"],
                    interval(label["difference_ci"]),
                )
                for one in shifts
                for label in one["labels"]
            ),
            numeric="cosine AUROC after difference",
        )
    if report["missing"]:
        console.print(f"{report['missing']} images have no file any more: left out", soft_wrap=True)
    show_warnings(console, report)
