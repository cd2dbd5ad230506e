"""Viewers of a home as tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_facts, print_table


def show_viewer(console: Console, viewer: Payload) -> None:
    """A viewer that was added, and where a service shows it."""
    facts = ("name", "version", "files", "bytes", "folder", "address")
    print_facts(console, tuple((name, viewer[name]) for name in facts))


def show_viewers(console: Console, listed: Payload) -> None:
    """One row for each viewer."""
    columns = ("name", "version", "files", "bytes", "address")
    print_table(console, "", columns, ([one[name] for name in columns] for one in listed["viewers"]))


def show_removed_viewer(console: Console, removed: Payload) -> None:
    """Which viewer was removed."""
    console.print(escape(f"the viewer {removed['removed']} is gone from this home"))
