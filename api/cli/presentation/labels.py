"""Labels that readers gave, how they agree, and what to label next, as lines and tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_table, show_warnings

_SHOWN = 5


def show_imported_labels(console: Console, imported: Payload) -> None:
    """How many rows name something in the archive."""
    console.print(
        f"{imported['rows']} rows: {imported['matched']} stored, "
        f"{len(imported['unmatched'])} name nothing in the archive"
    )
    show_warnings(console, imported)
    for key in imported["unmatched"][:_SHOWN]:
        console.print(f"  not in the archive: {escape(str(key))}", soft_wrap=True)


def show_labels(console: Console, listed: Payload) -> None:
    """Names and counts."""
    print_table(
        console,
        "",
        ("label", "level", "n", "positive"),
        ((label["label"], label["level"], label["n"], label["positive"]) for label in listed["labels"]),
        numeric="n positive",
    )


def show_undone(console: Console, undone: Payload) -> None:
    """What was taken back."""
    names = escape(", ".join(undone["labels"]))
    cases, studies = undone["cases"], len(undone["studies"])
    console.print(
        f"undone: {names}, of {cases} {'case' if cases == 1 else 'cases'} in {studies} "
        f"{'study' if studies == 1 else 'studies'}",
        soft_wrap=True,
    )


def show_history(console: Console, found: Payload) -> None:
    """Who gave which label when, and what counts now."""
    print_table(
        console,
        f"labels of {found['study_instance_uid']}",
        ("given at", "reader", "label", "value", "of", "counts"),
        (
            (
                one["given_at"],
                one["reader"],
                one["name"],
                "taken back" if one["value"] is None else one["value"],
                one["level"] if one["level"] == "study" else f"{one['level']} {one['uid']}",
                "yes" if one["current"] else "",
            )
            for one in found["labels"]
        ),
    )


def show_queue(console: Console, found: Payload) -> None:
    """The cases to label next."""
    by = f" by {found['by']}" if found.get("by") else ""
    print_table(
        console,
        f"{found['label']}: {found['labelled']} labelled, {found['remaining']} left; "
        f"next by {found['order']}{escape(by)}",
        ("", "study", "patient", "date", "modalities", "images"),
        (
            (
                row,
                one["study_instance_uid"],
                one["patient_key"],
                one["study_date"],
                " ".join(one["modalities"]),
                one["images"],
            )
            for row, one in enumerate(found["cases"], 1)
        ),
        numeric="images",
    )
    show_warnings(console, found)


def show_agreement(console: Console, found: Payload) -> None:
    """Kappa of each two readers, alpha of all, and what they disagree about."""
    print_table(
        console,
        f"{found['label']}: {found['cases']} cases read by several, of {found['patients']} patients",
        ("readers", "cases", "agreement", "kappa", "low", "high"),
        (
            (
                " and ".join(one["readers"]),
                one["n"],
                one["agreement"],
                one["kappa"],
                *one["kappa_ci"],
            )
            for one in found["pairs"]
        ),
        numeric="cases agreement kappa low high",
    )
    if found["alpha"] is not None:
        low, high = found["alpha_ci"]
        console.print(f"Krippendorff's alpha of all: {found['alpha']:.3f} ({low:.3f} to {high:.3f})")
    count, undecided = len(found["disagreements"]), found["undecided"]
    if count:
        console.print(
            f"{count} {'study' if count == 1 else 'studies'} with both values, {undecided} of them evenly "
            f"divided; `label queue {escape(str(found['label']))} --order disagreement` lists them",
            soft_wrap=True,
        )
    show_warnings(console, found)


def show_curve(console: Console, found: Payload) -> None:
    """How AUROC grew with the labels."""
    print_table(
        console,
        f"{found['label']}: AUROC of a linear fit, out of fold",
        ("studies", "positive", "AUROC", "low", "high"),
        ((one["n"], one["positive"], one["auroc"], *one["auroc_ci"]) for one in found["points"]),
        numeric="studies positive AUROC low high",
    )
    show_warnings(console, found)
