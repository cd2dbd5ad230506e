"""`pacs add`, `list`, `remove`, `echo`: connections to PACS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medsiglip.api.cli.commands.invocation import invocation

Name = Annotated[str, typer.Argument(metavar="NAME", help="What this home calls the PACS.")]


def add(
    context: typer.Context,
    name: Name,
    url: Annotated[str | None, typer.Option(help="Root of its DICOMweb service.")] = None,
    host: Annotated[str | None, typer.Option(help="Where it listens for DIMSE.")] = None,
    port: Annotated[int | None, typer.Option(help="Its DIMSE port.")] = None,
    ae_title: Annotated[str | None, typer.Option(help="Its AE title.")] = None,
    calling_ae_title: Annotated[str | None, typer.Option(help="AE title of this side [MEDSIGLIP].")] = None,
    retrieve: Annotated[str | None, typer.Option(help="By DIMSE: get or move [get].")] = None,
    move_destination: Annotated[
        str | None, typer.Option(help="For move: the AE title by which it knows the receiver here.")
    ] = None,
    changes_url: Annotated[str | None, typer.Option(help="Root of Orthanc's REST API, for a sync.")] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS, by DIMSE.")] = False,
    ca_file: Annotated[
        Path | None, typer.Option(help="Certificates that are trusted, in place of the system's.")
    ] = None,
    certificate_file: Annotated[Path | None, typer.Option(help="Certificate of this side.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Holds a bearer token.")] = None,
    token_command: Annotated[str | None, typer.Option(help="Prints a bearer token.")] = None,
    username: Annotated[str | None, typer.Option(help="For basic authentication.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="Holds its password.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Most queries and instances a second of a pull or a sync.")
    ] = None,
    hours: Annotated[str | None, typer.Option(help="When a sync may work, as 20:00-06:00.")] = None,
    timeout_seconds: Annotated[float | None, typer.Option(help="Without any answer [30].")] = None,
    drop_files: Annotated[
        bool, typer.Option("--drop-files", help="Keep no files once their pictures are embedded.")
    ] = False,
    send_accepted: Annotated[
        list[str] | None, typer.Option(help="sr, pdf: sent here when a draft is accepted.")
    ] = None,
) -> None:
    """Add a PACS, or change how it is reached; nothing is sent to it yet.

    By DICOMweb it has a --url, by DIMSE --host, --port and --ae-title. What is not given has its default,
    also where the PACS was added before. Secrets stay in their files, which are read when they are needed.

    \b
    Example: medsiglip pacs add main --url https://pacs.example/dicom-web --token-file /etc/pacs.token
             medsiglip pacs add old --host 10.0.0.7 --port 104 --ae-title PACS --rate 20
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.pacs import show_connection

    values: dict[str, Any] = {
        "url": url,
        "host": host,
        "port": port,
        "ae_title": ae_title,
        "calling_ae_title": calling_ae_title,
        "retrieve": retrieve,
        "move_destination": move_destination,
        "changes_url": changes_url,
        "tls": tls,
        "ca_file": ca_file,
        "certificate_file": certificate_file,
        "key_file": key_file,
        "token_file": token_file,
        "token_command": token_command,
        "username": username,
        "password_file": password_file,
        "rate": rate,
        "hours": hours,
        "timeout_seconds": timeout_seconds,
        "keep_files": not drop_files,
        "send_accepted": send_accepted,
    }
    run = invocation(context)
    with run.archive() as archive:
        added = archive.add_pacs(name, **values)
        record_local(archive.index, "pacs-connection", connection=name, change="put")
        run.answer(added, show_connection)


def list_(context: typer.Context) -> None:
    """List the PACS of the home with their state, and the receiver.

    \b
    Example: medsiglip pacs list
    """
    from medsiglip.api.cli.presentation.pacs import show_connections
    from medsiglip.api.receiving.state import receiver_state

    run = invocation(context)
    with run.archive() as archive:
        listed = archive.pacs_connections()
        receiver = receiver_state(archive.home)
        run.answer(listed.model_copy(update={"receiver": receiver}), show_connections)


def remove(context: typer.Context, name: Name) -> None:
    """Forget how a PACS is reached; what came from it stays.

    \b
    Example: medsiglip pacs remove main
    """
    from medsiglip.api.archive.audit_trail import record_local
    from medsiglip.api.cli.presentation.pacs import show_removed

    run = invocation(context)
    with run.archive() as archive:
        removed = archive.remove_pacs(name)
        record_local(archive.index, "pacs-connection", connection=name, change="remove")
        run.answer(removed, show_removed)


def echo(context: typer.Context, name: Name) -> None:
    """Ask a PACS for a sign of life.

    \b
    Example: medsiglip pacs echo main
    """
    from medsiglip.api.cli.presentation.pacs import show_echo

    run = invocation(context)
    with run.archive() as archive:
        run.answer(archive.pacs_echo(name), show_echo)
