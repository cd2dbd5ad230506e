"""Connections to PACS, and what they hold, as tables."""

from __future__ import annotations

from rich.console import Console

from medsiglip.api.cli.presentation.tables import Payload, counted, print_facts, print_table, printed


def show_connection(console: Console, one: Payload) -> None:
    """How a PACS is reached."""
    print_facts(console, (("name", one["name"]), *((one["options"] or {}).items())))


def show_connections(console: Console, listed: Payload) -> None:
    """One row for each PACS, why any fails, and the receiver."""
    columns = ("name", "kind", "state", "last seen", "waiting", "here", "incomplete", "failed", "unsent")
    rows = (
        (
            *(one["name"], one["kind"], "syncing" if one["syncing"] else one["state"]),
            one["last_seen_at"] or "never",
            *(one["studies"][status] for status in ("waiting", "here", "incomplete", "failed")),
            one["deliveries"]["waiting"] + one["deliveries"]["failed"],
        )
        for one in listed["connections"]
    )
    print_table(console, "", columns, rows, numeric="waiting here incomplete failed unsent")
    for one in listed["connections"]:
        if one["failure"] is not None:
            failure = one["failure"]
            console.print(printed(f"{one['name']}: {failure['message']} ({failure['code']})"), soft_wrap=True)
    receiver = listed.get("receiver")
    if receiver is not None:
        state = "listens" if receiver["running"] else "does not run"
        console.print(
            printed(
                f"receiver {receiver['ae_title']} at port {receiver['port']} {state}: "
                f"{counted(receiver['received'], 'instance', 'instances')}, "
                f"{counted(receiver['waiting_studies'], 'study waits', 'studies wait')}"
            ),
            soft_wrap=True,
        )


def show_removed(console: Console, removed: Payload) -> None:
    """Which PACS was removed."""
    sentence = f"the PACS {removed['name']} is not asked any more; what came from it stays"
    console.print(printed(sentence), soft_wrap=True)


def show_echo(console: Console, echoed: Payload) -> None:
    """How long the PACS took, and what it said."""
    console.print(printed(f"answered after {echoed['seconds']:.2f} s: {echoed['about']}"), soft_wrap=True)


def show_found(console: Console, found: Payload) -> None:
    """One row for each study."""
    studies = found["studies"]
    person = ("patient_name", "patient_id") if any("patient_name" in one for one in studies) else ()
    who = person or ("patient_key",)
    columns = ("study_instance_uid", *who, "study_date", "modalities", "study_description")
    counts = ("series", "instances", "here", "images")
    rows = ([one.get(name) for name in (*columns, *counts)] for one in studies)
    print_table(console, "", (*columns, *counts), rows, numeric="series instances images")
    if found["truncated"]:
        console.print("the PACS holds more that match: narrow the question, or raise --limit")


def show_deliveries(console: Console, sent: Payload) -> None:
    """One row for each document."""
    columns = ("to", "format", "status", "attempts", "sent_at", "sop_instance_uid")
    rows = ([one[name] for name in columns] for one in sent["deliveries"])
    print_table(console, "", columns, rows, numeric="attempts")
