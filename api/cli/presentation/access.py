"""API keys, the audit trail and the settings as tables."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_facts, print_table


def show_made_key(console: Console, key: Payload) -> None:
    """A new key, with its secret."""
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
    """Which key was revoked."""
    console.print(escape(f"the key {key['name']} ({key['id']}) opens nothing any more"))


def show_trail_verification(console: Console, outcome: Payload) -> None:
    """Whether the chain is intact, and its head, to be noted elsewhere."""
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


def show_forwarded_trail(console: Console, sent: Payload) -> None:
    """How much was sent, and how far the receiver is."""
    where = f"{sent['receiver']} has the trail up to event {sent['sequence']}"
    console.print(f"{sent['events']} events sent; {escape(where)}", soft_wrap=True)


def show_rotated_secret(console: Console, done: Payload) -> None:
    """What changed."""
    console.print(
        f"{done['patients']} patients have other keys, as have {done['files']} files, "
        f"{done['forgotten']} marks of what was forgotten and {done['texts']} lists and texts",
        soft_wrap=True,
    )
    console.print("next: back up secret.key; earlier backups keep the former keys", soft_wrap=True)
    console.print("if other machines share the catalogue: copy secret.key to every one", soft_wrap=True)


def show_settings(console: Console, listed: Payload) -> None:
    """One row for each setting."""
    rows = ((one["name"], one["value"], one["origin"], one["description"]) for one in listed["settings"])
    print_table(console, "", ("setting", "value", "from", "meaning"), rows)


def _state(key: Payload) -> str:
    if key["revoked_at"] is not None:
        return "revoked"
    expired = key["expires_at"] and datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return "over" if expired else "live"
