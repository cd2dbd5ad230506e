"""Calibrations as tables: what they were made from, and what they are worth on other patients."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, interval, print_table, show_warnings


def show_calibration(console: Console, made: Payload) -> None:
    """The calibrations of one subject at one level."""
    active = "" if made.get("active") in (True, None) else ", another space than the archive's"
    labels = made["labels"]
    title = f"{made['subject']} at {made['level']} level in space {made['space']}{active}"
    print_table(
        console,
        f"{title}: figures of patients that the calibration was not made from",
        ("label", "version", "method", "n", "positive", "patients", "error before", "after", "95 % interval"),
        (
            (
                one["label"],
                one["version"],
                one["method"],
                one["n"],
                one.get("positive"),
                one["patients"],
                one.get("error_before"),
                one.get("error_after"),
                interval(one.get("error_after_ci")),
            )
            for one in labels
        ),
        numeric="version n positive patients after",
    )
    for one in labels:
        for line in _of_sets(one):
            console.print(f"  {escape(one['label'])}: {line}", soft_wrap=True)
    for one in made.get("refused", ()):
        console.print(f"not calibrated, {escape(one['label'])}: {escape(one['reason'])}", soft_wrap=True)
    if made.get("unlabelled"):
        names = ", ".join(made["unlabelled"])
        console.print(f"no case that fits carries these labels: {escape(names)}", soft_wrap=True)
    show_warnings(console, made)


def _of_sets(one: Payload) -> Iterator[str]:
    """What holds at the error bound."""
    bound = f"at an error bound of {one['error']:g}"
    shares = {share["of"]: share for share in one.get("covered", ())}
    held = [
        f"{_percent(shares[name]['share'])} of {name} cases"
        for name in ("present", "absent")
        if name in shares
    ]
    if held:
        verdicts = ", ".join(f"{name} {_percent(one[name])}" for name in ("present", "absent", "undecided"))
        yield f"{bound} sets hold the truth in {' and '.join(held)}; answers: {verdicts}"
    elif "all" in shares:
        share = shares["all"]["share"]
        yield f"{bound} sets hold the right class in {_percent(share)}, with {one['set_size']:.1f} classes"
    if one.get("reason"):
        yield escape(one["reason"])


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def show_calibrations(console: Console, listed: Payload) -> None:
    """All calibrations, by subject and level."""
    if not listed["calibrations"]:
        console.print("no calibration is kept: `medsiglip calibrate` makes one")
    for one in listed["calibrations"]:
        show_calibration(console, one)


def show_removed(console: Console, removed: Payload) -> None:
    """How many are gone."""
    console.print(f"removed {removed['removed']} calibrations of {escape(removed['subject'])}")
