"""What a person sees of `why`."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, interval, print_facts, print_table, show_warnings

_SHOWN_PAIRS = 10


def show_why(console: Console, found: Payload) -> None:
    """Where the picture is, what was compared, and what the map is worth."""
    if found.get("text") is not None:
        facts: list[tuple[str, object]] = [
            ("text", found["text"]),
            ("present", "; ".join(found["present"])),
            ("absent", "; ".join(found["absent"])),
            ("cosine", found["cosine"]),
            ("above absent", found["contrast"]),
            ("brightest at", _place(found["brightest"])),
            ("localises", _worth(found.get("localisation"))),
        ]
        print_facts(console, facts)
    else:
        print_facts(console, [("cosine", found["cosine"]), ("pairs", len(found["matches"]))])
        print_table(
            console,
            "",
            ("image at", "like at", "cosine"),
            (
                (_place(one["image"]), _place(one["like"]), one["cosine"])
                for one in found["matches"][:_SHOWN_PAIRS]
            ),
            numeric="cosine",
        )
    console.print(f"picture: {escape(found['path'])}", soft_wrap=True)
    show_warnings(console, found)


def show_measured(console: Console, measured: Payload) -> None:
    """How often the lesions of phantoms lie in the brightest tenth."""
    figures = measured["localisation"]
    console.print(f"localises: {_worth(figures)}", soft_wrap=True)
    console.print(f"with the text of another finding: {figures['other_text']:.2f}", soft_wrap=True)
    print_table(
        console,
        "",
        ("finding", "phantoms", "in the brightest tenth"),
        ((one["finding"], one["phantoms"], one["share"]) for one in figures["findings"]),
        numeric="phantoms",
    )


def _worth(figures: Payload | None) -> str:
    if figures is None:
        return "not measured"
    bounds = interval(figures["interval"])
    word = "yes" if figures["localises"] else "no"
    return f"{word}: measured {figures['share']:.2f} {bounds} on {figures['phantoms']} phantoms (chance .10)"


def _place(place: Payload) -> str:
    return f"{100 * place['x']:.0f} % from the left, {100 * place['y']:.0f} % from the top"
