"""What a person sees of API keys, the audit trail and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.tables import print_facts, print_table

Payload = Mapping[str, Any]


def show_made_key(console: Console, key: Payload) -> None:
    """The key, this once."""
    print_facts(console, (("id", key["id"]), ("name", key["name"]), ("scopes", key["scopes"])))
    print_facts(console, (("expires", key["expires_at"] or "never"), ("key", key["key"])))
    console.print("note it now: it is not shown again")


def show_keys(console: Console, listed: Payload) -> None:
    """One row for each key."""
    print_table(
        console,
        "",
        ("id", "name", "scopes", "made", "expires", "state"),
        (
            (
                *(key[field] for field in ("id", "name", "scopes", "created_at")),
                key["expires_at"] or "never",
                _state(key),
            )
            for key in listed["keys"]
        ),
    )


def show_revoked_key(console: Console, key: Payload) -> None:
    """Which key was ended."""
    console.print(escape(f"the key {key['name']} ({key['id']}) opens nothing any more"))


def show_trail_verification(console: Console, outcome: Payload) -> None:
    """Whether the chain is whole, and its head to note elsewhere."""
    if outcome["ok"]:
        console.print(f"whole: {outcome['events']} events; note the head elsewhere and verify against it:")
        console.print(f"--head {outcome['head']}", soft_wrap=True)
    else:
        console.print(f"[bold]broken[/bold] at event {outcome['broken_at']}: rows were changed or taken away")


def show_trail(console: Console, listed: Payload) -> None:
    """One row for each event."""
    columns = ("sequence", "at", "actor", "action", "studies", "details")
    print_table(console, "", columns, ([event[name] for name in columns] for event in listed["events"]))


def show_exported_trail(console: Console, exported: Payload) -> None:
    """Where the file is."""
    console.print(f"{exported['events']} events in {escape(exported['path'])}", soft_wrap=True)


def show_settings(console: Console, told: Payload) -> None:
    """One row for each setting."""
    rows = ((one["name"], one["value"], one["origin"], one["description"]) for one in told["settings"])
    print_table(console, "", ("setting", "value", "from", "meaning"), rows)


def _state(key: Payload) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    over = key["expires_at"] and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return "over" if over else "live"
