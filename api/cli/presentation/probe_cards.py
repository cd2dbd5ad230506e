"""The card of a probe as text, its figures in detail, and labels that may be wrong."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, interval, print_table, show_warnings


def show_card(console: Console, card: Payload) -> None:
    """The items of a card, or where its page is."""
    if "path" in card:
        console.print(
            f"the card of {escape(str(card['name']))} is {escape(str(card['path']))}", soft_wrap=True
        )
        return
    section = None
    for item in card["items"]:
        if item["section"] != section:
            section = item["section"]
            console.print(f"\n[bold]{escape(str(section))}[/bold]")
        console.print(
            f"[bold]{escape(str(item['item']))}:[/bold] {escape(str(item['text']))}", soft_wrap=True
        )


def show_suspects(console: Console, found: Payload) -> None:
    """Cases whose label may be wrong."""
    print_table(
        console,
        f"labels that look wrong to the probe {found['name']}: {len(found['suspects'])} of {found['found']}",
        ("label", "given", "suggested", "study", "id", "score of given", "margin"),
        (
            (
                one["label"],
                f"{one['given']:g}",
                one["suggested"] or f"{1 - one['given']:g}",
                one["study_instance_uid"],
                one["id"],
                one["probability"],
                one["margin"],
            )
            for one in found["suspects"]
        ),
        numeric="given margin",
    )
    show_warnings(console, found)


def show_details(console: Console, probe: Payload) -> None:
    """Operating points of each label, and the subgroups that are small or worse."""
    points = [(label, point) for label in probe["labels"] for point in label.get("operating_points", ())]
    if points:
        print_table(
            console,
            "operating points: limits of uncalibrated scores",
            ("label", "limit for", "score", "sensitivity", "95 %", "specificity", "95 %"),
            (
                (
                    label["label"],
                    point["rule"] if point["target"] is None else f"{point['rule']} {point['target']:g}",
                    point["threshold"],
                    point["sensitivity"],
                    interval(point["sensitivity_ci"]),
                    point["specificity"],
                    interval(point["specificity_ci"]),
                )
                for label, point in points
            ),
            numeric="score sensitivity specificity",
        )
    worse = [
        (label["label"], one)
        for label in probe["labels"]
        for one in label.get("subgroups", ())
        if (one["warning"] or "").startswith("worse")
    ]
    for name, one in worse:
        group = f"{one['attribute'].removeprefix('patient_')} {one['value']}"
        console.print(f"{escape(str(name))}, {escape(group)}: {escape(str(one['warning']))}", soft_wrap=True)
