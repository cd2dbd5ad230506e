"""What a person sees of `index info` and `index tune`."""

from __future__ import annotations

from rich.console import Console

from medsiglip.api.cli.presentation.tables import Payload, print_facts, print_table, show_warnings


def show_index_info(console: Console, info: Payload) -> None:
    """What the archive holds, and how it is searched."""
    facts = [(name, value) for name, value in info.items() if name not in ("search", "engine")]
    print_facts(console, [*facts, *_search_facts(info), *_engine_facts(info.get("engine"))])


def _engine_facts(engine: Payload | None) -> list[tuple[str, object]]:
    if engine is None:
        return []
    counts = [f"{engine[name]} {name}" for name in ("images", "series", "studies")]
    problem = engine.get("problem")
    away = "does not answer" if problem in (None, "engine-unreachable") else f"cannot be used ({problem})"
    held = away if engine["images"] is None else f"holds {', '.join(counts)}"
    return [("engine", f"{engine['name']} {held}; {engine['waiting']} changes wait")]


def _search_facts(info: Payload) -> list[tuple[str, object]]:
    search: Payload | None = info.get("search")
    if search is None:
        return []
    memory, recall, answers = search["memory"], search["recall"], search["answers"]
    sizes = ", ".join(f"{name} {_mebibytes(held)}" for name, held in memory.items())
    found = [("search", f"{search['kind']} on {search['device']}: {search['why']}"), ("memory", sizes)]
    if recall is None and info.get("engine") is not None:
        found.append(("recall", "approximate, not measured; --exact misses no hit"))
    elif recall is None:
        found.append(("recall", "1: all answers are exact"))
    else:
        texts = "none at hand" if recall["texts"] is None else f"{recall['texts']:.4f}"
        found.append(
            (
                "recall",
                f"of approximate answers at {recall['k']}: images {recall['images']:.4f}, texts {texts}; "
                f"{recall['queries']} queries among {recall['rows']} vectors, {recall['measured_at']}",
            )
        )
    counts = f"{answers['given']} given, {answers['proven']} proven, {answers['approximate']} approximate"
    return [*found, ("answers", f"of this process: {counts}")]


def _mebibytes(held: int) -> str:
    return f"{held / 2**20:.1f} MiB"


def show_thumbnails(console: Console, made: Payload) -> None:
    """How many thumbnails were drawn, and how many images still have none."""
    console.print(f"{made['made']} thumbnails drawn, of {made['lacked']} that were missing")
    if made["gone"]:
        console.print(
            f"{made['gone']} images have none, for their files are not where they were or have changed",
            soft_wrap=True,
        )


def show_tuning(console: Console, tuning: Payload) -> None:
    """The trials, and which of them was chosen."""
    chosen = tuning["chosen"]
    print_table(
        console,
        "",
        ("kind", "codes", "candidates", "images", "texts", "ms", "code MiB", "chosen"),
        (
            (
                trial["kind"],
                trial["spec"],
                "as proven" if trial["candidates"] is None else trial["candidates"],
                f"{trial['recall']['images']:.4f}",
                "-" if trial["recall"]["texts"] is None else f"{trial['recall']['texts']:.4f}",
                f"{trial['milliseconds']:.3f}",
                f"{trial['code_bytes'] / 2**20:.1f}",
                "*" if trial == chosen else "",
            )
            for trial in tuning["trials"]
        ),
        numeric="candidates images texts ms",
    )
    recall = chosen["recall"]
    console.print(
        f"recall at {recall['k']} of {recall['queries']} queries among {recall['rows']} vectors; the fastest "
        f"with {tuning['recall']:g} is {chosen['kind']} {chosen['spec']}",
        soft_wrap=True,
    )
    if tuning["applied"]:
        console.print("the choice is kept with the archive, and the index was rebuilt")
    else:
        console.print("nothing was changed; `medsiglip index tune --apply` keeps the choice")
    if tuning["plot"]:
        console.print(f"drawn in {tuning['plot']}", soft_wrap=True, markup=False)
    show_warnings(console, tuning)
