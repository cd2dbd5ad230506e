"""`pacs`: the commands about PACS, put together."""

from __future__ import annotations

import typer

from medsiglip.api.cli.commands.pacs import connections, files, finding, sending, syncing


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    pacs = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""PACS: asked for studies, which are brought in, and sent reports.

        \b
        Example: medsiglip pacs add main --url https://pacs.example/dicom-web
                 medsiglip pacs find main --modality CT
        """,
    )
    pacs.command("add")(connections.add)
    pacs.command("list")(connections.list_)
    pacs.command("remove")(connections.remove)
    pacs.command("echo")(connections.echo)
    pacs.command("find")(finding.find)
    pacs.command("pull")(syncing.pull)
    pacs.command("sync")(syncing.sync)
    pacs.command("status")(syncing.status)
    pacs.command("retry")(syncing.retry)
    pacs.command("fetch")(files.fetch)
    pacs.command("release")(files.release)
    pacs.command("send")(sending.send)
    app.add_typer(pacs, name="pacs")
