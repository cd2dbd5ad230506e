"""What a person sees of searches."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import (
    Payload,
    positive_labels,
    print_facts,
    print_table,
    show_warnings,
)

_PLURALS = {"image": "images", "series": "series", "study": "studies"}


def show_search(console: Console, found: Payload) -> None:
    """The hits, and the distribution of all scores at their level."""
    if not found["hits"]:
        console.print("nothing found: the archive holds no image that fits; look at `medsiglip index info`")
        show_warnings(console, found)
        return
    print_table(
        console,
        "",
        ("rank", "score", "better than", "modality", "labels", "study", "path"),
        (
            (
                hit["rank"],
                hit["score"],
                _percent(hit.get("percentile")),
                hit["modality"],
                positive_labels(hit["labels"]),
                hit["study_instance_uid"],
                hit["path"],
            )
            for hit in found["hits"]
        ),
        numeric="rank score",
    )
    background = found.get("background")
    if background:
        console.print(
            f"background: {background['count']} {_PLURALS[background['level']]} score "
            f"{background['mean']:.3f} on average, with a standard deviation of "
            f"{background['standard_deviation']:.3f}",
            soft_wrap=True,
        )
        if background.get("comparable_questions"):
            console.print(
                "better than: so many of the ten best hits of each of "
                f"{background['comparable_questions']} comparable questions",
                soft_wrap=True,
            )
    if "why_found" in found:
        print_facts(console, _why(found))
    show_warnings(console, found)


def _percent(fraction: float | None) -> str:
    """A share below 1, which no rounding makes one."""
    return "-" if fraction is None else f"{min(100 * fraction, 99.9):.1f} %"


def _why(found: Payload) -> list[tuple[str, object]]:
    """How the hits were found, as facts."""
    why = found["why_found"]
    filters = [
        f"{' and '.join(step['filters'])}: {step['passing']} {_PLURALS[step['level']]}"
        for step in why["filters"]
    ]
    passing = why["images"] if why["passing"] is None else why["passing"]
    return [
        ("index", f"{why['kind']} on {why['device']}, {why['images']} images"),
        ("filters", "; ".join(filters) or "none"),
        ("passing", f"{passing} images"),
        ("how", f"{why['how']}; {why['looked_at']} vectors compared, {why['candidates']} candidates"),
        ("milliseconds", why["milliseconds"]),
    ]


def show_searches(console: Console, found: Payload) -> None:
    """The answers to several questions, one after the other."""
    for number, one in enumerate(found["results"], start=1):
        console.print(f"[bold]question {number}[/bold]")
        if "error" in one:
            error = one["error"]
            console.print(f"error: {escape(error['message'])} ({error['code']})", soft_wrap=True)
        else:
            show_search(console, one)
