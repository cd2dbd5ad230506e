"""`receive`: the receiver, to which a PACS sends by C-STORE."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medsiglip.api.cli.commands.invocation import Invocation, invocation
from medsiglip.api.cli.commands.service import logged

if TYPE_CHECKING:
    from rich.console import Console

    from medsiglip.api.cli.presentation.tables import Payload
    from medsiglip.api.settings import Settings


def receive(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on [this machine]; 0.0.0.0 for all.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port [11112]; 0 takes a free one.")
    ] = None,
    aet: Annotated[
        str | None,
        typer.Option("--aet", help="AE title that senders must call [MEDSIGLIP].", metavar="TITLE"),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Who may send; beyond this machine it must be said.", metavar="AET[@HOST]"),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(help="Where a sender takes reports of storage commitment.", metavar="AET=HOST:PORT"),
    ] = None,
    quiet: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long nothing of a study comes before it is ingested [60]."),
    ] = None,
    longest: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long a study that keeps growing waits at most [3600]."),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that receive [2].")] = None,
    largest: Annotated[int | None, typer.Option(metavar="BYTES", help="Largest instance [4 GiB].")] = None,
    associations: Annotated[
        int | None, typer.Option(metavar="N", help="Associations that may be open at once [100].")
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Certificate of the receiver (PEM): it then speaks TLS only.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Key of the certificate (PEM).")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Certificates (PEM) of which senders must show one.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Start nothing: say whether a receiver lives, for health checks.")
    ] = False,
    until_input_ends: Annotated[bool, typer.Option("--until-input-ends", hidden=True)] = False,
    inherit: Annotated[str | None, typer.Option("--inherit", hidden=True)] = None,
) -> None:
    """Receive what a PACS or a modality sends (C-STORE), and hand studies to the ingest when they are quiet.

    Success is answered once an instance is on the disk. A worker ingests: `medsiglip worker`, or `serve`.
    Ctrl-C or SIGTERM ends it; nothing that was received is lost, whatever ends it.

    \b
    Example: medsiglip receive
             medsiglip receive --host 0.0.0.0 --aet MEDSIGLIP --allow PACS@10.1.0.5
    """
    if check:
        _check(context)
        return
    given = {
        "receive_host": host,
        "receive_port": port,
        "receive_aet": aet,
        "receive_allow": tuple(allow) if allow else None,
        "receive_peers": tuple(peer) if peer else None,
        "receive_quiet_seconds": quiet,
        "receive_longest_seconds": longest,
        "receive_processes": processes,
        "receive_largest_bytes": largest,
        "receive_associations": associations,
        "receive_tls_certificate_file": tls_certificate,
        "receive_tls_key_file": tls_key,
        "receive_tls_ca_file": tls_ca,
    }
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = invocation(context)
    with logged(run):
        if inherit is None:
            _receive(run, given, until_input_ends=until_input_ends)
        else:
            _receive_as_child(run, given, inherit)


def _receive(run: Invocation, given: dict[str, Any], *, until_input_ends: bool) -> None:
    from medsiglip.api.jobs.supervision import call_when_input_ends
    from medsiglip.api.receiving.configuration import receiver_options, words_of
    from medsiglip.api.receiving.program import Receiver
    from medsiglip.ingest.receiving.listening import bind
    from medsiglip.ingest.receiving.server import tls_context

    settings = run.settings(**given)
    options = receiver_options(settings)
    if options.tls is not None:
        tls_context(options.tls)  # else each of the processes would end at once, and nobody be told
    with run.archive(**given) as archive, bind(settings.receive_host, settings.receive_port) as listener:

        def words(place: str) -> Sequence[str]:
            inherit = f"{listener.fileno()}:{place}"
            return [*run.global_words(), "receive", "--inherit", inherit, *words_of(settings)]

        receiver = Receiver(archive, options, listener, words)
        receiver.prepare()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: receiver.stop())
        if until_input_ends:
            call_when_input_ends(receiver.stop)
        run.answer(_listens(settings, listener.getsockname()[1]), _show_listening)
        receiver.run()


def _receive_as_child(run: Invocation, given: dict[str, Any], inherit: str) -> None:
    from medsiglip.api.jobs.supervision import call_when_input_ends
    from medsiglip.api.receiving.configuration import receiver_options
    from medsiglip.api.receiving.process import receive_on

    descriptor, _, place = inherit.partition(":")
    stopping = threading.Event()
    # Only the parent ends it: a signal to the whole group would end open associations too early.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    call_when_input_ends(stopping.set)
    with run.archive(**given) as archive:
        receive_on(archive, receiver_options(archive.settings), int(descriptor), place, stopping)


def _listens(settings: Settings, port: int) -> dict[str, Any]:
    return {"ae_title": settings.receive_aet, "host": settings.receive_host, "port": port}


def _show_listening(console: Console, payload: Payload) -> None:
    sentence = f"{payload['ae_title']} receives at {payload['host']}:{payload['port']}; Ctrl-C ends it"
    console.print(sentence, markup=False, soft_wrap=True)


def _check(context: typer.Context) -> None:
    from medsiglip.api.receiving.state import receiver_state

    run = invocation(context)
    state = receiver_state(run.settings().home)
    is_running = state is not None and state.running
    receiver = None if state is None else state.to_json()
    run.answer({"receiver": receiver, "ok": is_running}, _show_state)
    if not is_running:
        raise typer.Exit(1)


def _show_state(console: Console, payload: Payload) -> None:
    state = payload["receiver"]
    if state is None:
        console.print("no receiver ever ran on this home", markup=False)
        return
    console.print(
        f"{state['ae_title']} {'receives' if payload['ok'] else 'received'} at port {state['port']}: "
        f"{state['received']} instances, {state['failed']} refused, {state['associations']} associations, "
        f"{state['waiting_studies']} studies wait",
        markup=False,
        soft_wrap=True,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(receive)
