"""What was brought in from a PACS, and what waits, as tables."""

from __future__ import annotations

from rich.console import Console

from medsiglip.api.cli.presentation.tables import Payload, counted, print_table, printed


def show_pull(console: Console, report: Payload) -> None:
    """What came, and a line for each study that did not come whole."""
    if "found" in report:
        compared = counted(report["found"], "study", "studies")
        console.print(f"{compared} compared, {counted(report['waiting'], 'still waits', 'still wait')}")
    console.print(
        f"{report['here']} of {counted(report['asked'], 'study', 'studies')} here, "
        f"{counted(report['instances'], 'instance', 'instances')} came"
    )
    ingest = report["ingest"]
    if ingest is not None:
        embedded = counted(ingest["embedded"], "image", "images")
        console.print(f"{embedded} embedded, {counted(ingest['unchanged'], 'was', 'were')} here before")
    for one in report["incomplete"]:
        uid, received, expected = one["study_instance_uid"], one["received"], one["expected"]
        known = "an unknown number of" if expected is None else expected
        console.print(printed(f"{uid}: {received} of {known} instances"), soft_wrap=True)
    for one in report["failed"]:
        console.print(
            printed(f"{one['study_instance_uid']}: {one['message']} ({one['code']})"), soft_wrap=True
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
    console.print(f"{counted(retried['waiting'], 'study waits', 'studies wait')} again")


def show_fetch(console: Console, report: Payload) -> None:
    """Whether the files are here now."""
    came = counted(report["instances"], "instance", "instances")
    more = f"; {came} came" if report["instances"] else ""
    sentence = f"the files of {report['study_instance_uid']} are {report['files']}{more}"
    console.print(printed(sentence), soft_wrap=True)


def show_release(console: Console, report: Payload) -> None:
    """How much was deleted, and what had to stay."""
    files = counted(report["files"], "file", "files")
    console.print(f"{files} of {counted(report['studies'], 'study', 'studies')} deleted")
    if report["kept"]:
        kept = counted(report["kept"], "study keeps its", "studies keep their")
        console.print(f"{kept} files: the PACS does not list every instance")
