"""What was brought in from a PACS, and what waits, as tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from medsiglip.api.cli.presentation.tables import Payload, print_table


def show_pull(console: Console, report: Payload) -> None:
    """What came, and a line for each study that did not come whole."""
    if "found" in report:
        console.print(f"{report['found']} studies compared, {report['waiting']} still wait")
    console.print(
        f"{report['here']} of {report['asked']} studies are here, with {report['instances']} instances"
    )
    ingest = report["ingest"]
    if ingest is not None:
        console.print(f"{ingest['embedded']} images embedded, {ingest['unchanged']} were here")
    for one in report["incomplete"]:
        uid, received, expected = one["study_instance_uid"], one["received"], one["expected"]
        console.print(escape(f"{uid}: {received} of {expected} instances"), soft_wrap=True)
    for one in report["failed"]:
        console.print(
            escape(f"{one['study_instance_uid']}: {one['message']} ({one['code']})"), soft_wrap=True
        )


def show_ledger(console: Console, page: Payload) -> None:
    """One row for each study."""
    columns = ("study_instance_uid", "status", "received", "expected", "attempts", "not_before", "why")
    rows = (
        [*(one[name] for name in columns[:-1]), (one["failure"] or {}).get("code")] for one in page["studies"]
    )
    print_table(console, "", columns, rows, numeric="received expected attempts")
    if page["cursor"] is not None:
        console.print(f"more: --cursor {page['cursor']}")


def show_retried(console: Console, retried: Payload) -> None:
    """How many studies wait again."""
    console.print(f"{retried['waiting']} studies wait again")


def show_fetch(console: Console, report: Payload) -> None:
    """Whether the files are here now."""
    came = f", {report['instances']} instances came" if report["instances"] else ""
    console.print(f"the files of {report['study_instance_uid']} are {report['files']}{came}", soft_wrap=True)


def show_release(console: Console, report: Payload) -> None:
    """How much was deleted, and what had to stay."""
    console.print(f"{report['files']} files of {report['studies']} studies deleted")
    if report["kept"]:
        console.print(f"{report['kept']} studies keep their files: the PACS does not have all of them")
