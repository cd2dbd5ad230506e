"""Maps as tables: what they are worth, where a text belongs, and what stands alone or twice."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_table, show_warnings


def show_map(console: Console, found: Payload) -> None:
    """A map, and by what its points may be coloured."""
    console.print(
        f"map {found['version']} at {found['level']} level: {found['points']} points by {found['method']}, "
        f"seed {found['seed']}, made {found['created_at']}"
    )
    kept, trust = found.get("neighbours_kept"), found.get("trustworthiness")
    if kept is not None:
        console.print(
            f"{100 * kept:.0f} % of the {found['neighbours']} true neighbours of a point are near it, too"
        )
    if trust is not None:
        console.print(f"trustworthiness {trust:.3f} of 1: what is near on the map is near in truth")
    console.print(f"fields: {escape(', '.join(found['fields']))}", soft_wrap=True)
    show_warnings(console, found)


def show_maps(console: Console, found: Payload) -> None:
    """The maps that are kept."""
    columns = ("level", "version", "points", "created_at")
    rows = ([one[name] for name in columns] for one in found["maps"])
    print_table(console, "maps", columns, rows, numeric="version points")


def show_place(console: Console, found: Payload) -> None:
    """Where something belongs, and its neighbours."""
    if found.get("x") is not None:
        scatter = found.get("scatter")
        scattered = "" if scatter is None else f"; its neighbours scatter by {scatter:.2f}"
        console.print(f"at {found['x']:.3f}, {found['y']:.3f} of map {found['version']}{scattered}")
    columns = ("score", "x", "y", "image_id", "study_instance_uid")
    rows = ([one.get(name) for name in columns] for one in found["neighbours"])
    print_table(console, "nearest in truth", columns, rows, numeric="score x y image_id")
    show_warnings(console, found)


def show_outliers(console: Console, found: Payload) -> None:
    """What stands alone."""
    columns = ("apart", "share", "x", "y", "image_id", "study_instance_uid")
    rows = ([one.get(name) for name in columns] for one in found["outliers"])
    title = "least like the nearest of other studies"
    print_table(console, title, columns, rows, numeric="apart share x y image_id")


def show_duplicates(console: Console, found: Payload) -> None:
    """What stands twice."""
    columns = ("group", "cosine", "patient_key", "image_id", "study_instance_uid")
    rows = (
        [number, group["cosine"], *(case[name] for name in columns[2:])]
        for number, group in enumerate(found["groups"], 1)
        for case in group["cases"]
    )
    title = f"{found['total']} groups with a cosine of at least {found['min_cosine']:g}"
    print_table(console, title, columns, rows, numeric="group cosine image_id")
