"""`serve` and `worker`: the HTTP service, and the processes that do its long work."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from medsiglip.api.cli.commands.invocation import Invocation, invocation

if TYPE_CHECKING:
    import socket

    from rich.console import Console

    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.cli.presentation.tables import Payload


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Leave the jobs to `medsiglip worker` processes.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a database that does not answer yet, as workers do.")
    ] = False,
    receive: Annotated[
        bool, typer.Option("--receive", help="Also run `medsiglip receive`, by its settings.")
    ] = False,
) -> None:
    """Answer HTTP requests until Ctrl-C or SIGTERM, and run the jobs that they start.

    The home is made if it is not there yet. Beyond this machine it listens only once there is an API key.
    SIGHUP opens the log anew and takes over the settings that may change while it runs.

    \b
    Example: medsiglip serve
             medsiglip serve --host 0.0.0.0 --port 8443 --no-worker
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can be answered: the imports take seconds
    import time

    from medsiglip.api.archive.keys import take_bootstrap_key
    from medsiglip.api.http.app import create_app
    from medsiglip.api.http.listening import open_sockets, url_of
    from medsiglip.api.http.oidc.configuration import oidc_configuration
    from medsiglip.api.http.reloading import reload
    from medsiglip.api.http.routes.jobs import followers
    from medsiglip.api.http.serving import serve as answer_requests
    from medsiglip.api.jobs.patience import when_it_answers
    from medsiglip.api.jobs.supervision import SupervisedProcess
    from medsiglip.api.jobs.worker import GRACE_SECONDS
    from medsiglip.api.tracing.process import traced

    run = invocation(context)
    settings = run.settings()

    by_provider = oidc_configuration(settings) is not None

    def listen() -> tuple[list[socket.socket], str]:
        with run.archive() as archive:
            archive.make()
            if settings.bootstrap_key_file is not None:
                take_bootstrap_key(archive.index, settings.bootstrap_key_file)
            next_step = _next_step(archive)
            return open_sockets(host, port, archive.index.api_keys, is_closed=by_provider), next_step

    with logged(run), traced(settings, "api"):
        sockets, next_step = when_it_answers(listen, time.sleep) if wait else listen()
        url = url_of(host, sockets)
        beside = [() if no_worker else _WORKER, _RECEIVER if receive else ()]
        children = [
            SupervisedProcess("medsiglip.api.cli", [*run.global_words(), *words]) for words in beside if words
        ]
        app = create_app(settings)

        def on_ready() -> None:
            for child in children:
                child.start()
            run.answer({"url": url}, partial(_show_url, next_step=next_step.format(url=url)))

        def on_stopping() -> None:
            followers(app).close()
            for child in children:
                child.request_stop()

        def on_hangup() -> None:
            reload(app, run.settings)
            for child in children:
                child.send(signal.SIGHUP)

        try:
            answer_requests(app, sockets, on_ready=on_ready, on_stopping=on_stopping, on_hangup=on_hangup)
        finally:
            for child in children:
                child.stop(within_s=GRACE_SECONDS + 2)


def worker(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End when no job waits.")] = False,
    poll: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, help="How often to look for jobs when idle.")
    ] = 1.0,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Start nothing: say whether a worker of this machine lives, for health checks."
        ),
    ] = False,
    until_input_ends: Annotated[bool, typer.Option("--until-input-ends", hidden=True)] = False,
) -> None:
    """Run the jobs of the service: ingests, probes, reports. As many workers may run as there is work for.

    Ctrl-C or SIGTERM ends it; a job in hand is handed back, and another worker goes on with it.

    \b
    Example: medsiglip worker
             medsiglip worker --once
    """
    if check:
        _check_workers(context)
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from medsiglip.api.http.reloading import reloaded
    from medsiglip.api.jobs.supervision import call_when_input_ends
    from medsiglip.api.jobs.worker import Worker
    from medsiglip.api.tracing.process import traced

    run = invocation(context)
    with logged(run), traced(run.settings(), "worker"), run.archive() as archive:
        works = Worker(
            archive, poll_seconds=poll, renew_settings=lambda current: reloaded(current, run.settings)
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: works.stop())
        signal.signal(signal.SIGHUP, lambda *_: works.reload())
        if until_input_ends:
            call_when_input_ends(works.stop)
        works.run(once=once)
    run.answer({"worker": works.name, "jobs": dict(works.ended)}, _show_ended)


def _check_workers(context: typer.Context) -> None:
    from medsiglip.answers.service import WorkerCheck
    from medsiglip.api.jobs.heartbeat import heartbeats, on_this_machine

    run = invocation(context)
    workers = on_this_machine(heartbeats(run.settings().home))
    checked = WorkerCheck(workers=tuple(workers), ok=any(one.ok for one in workers))
    run.answer(checked, _show_workers)
    if not checked.ok:
        raise typer.Exit(1)


def _show_workers(console: Console, payload: Payload) -> None:
    for one in payload["workers"]:
        doing = f"{one['state']} (job {one['job']})" if one["job"] else one["state"]
        seen = f"last seen {one['beat_seconds_ago']:.0f} s ago"
        console.print(f"{one['worker']}: {doing}, {seen}{'' if one['ok'] else ', late'}", markup=False)
    if not payload["workers"]:
        console.print("no worker of this machine has a heartbeat in this home", markup=False)


_WORKER = ("worker", "--until-input-ends")
_RECEIVER = ("receive", "--until-input-ends")


@contextmanager
def logged(run: Invocation) -> Iterator[None]:
    """Send the logs of a server to standard error or to a file, also without --debug.

    Whatever is on standard error with them has their format. A person at a terminal gets an error as usual.
    """
    from medsiglip.api.http.request_log import configure_logging, unhandled_errors_logged

    settings = run.settings()
    logging.disable(logging.NOTSET)  # until the command ends, for its last error is logged too
    configure_logging(settings.log_format, file=settings.log_file)
    run.log_is_elsewhere = settings.log_file is not None
    if run.log_is_elsewhere or not sys.stderr.isatty():
        run.log = logging.getLogger("medsiglip.service")
    with unhandled_errors_logged():
        yield


def _show_url(console: Console, payload: Payload, next_step: str) -> None:
    url = payload["url"]
    sentence = f"medsiglip answers at {url}/: open it in a browser (its API is at {url}/docs); Ctrl-C ends it"
    console.print(sentence, markup=False, soft_wrap=True)
    console.print(f"next: {next_step}", markup=False, soft_wrap=True)


def _next_step(archive: Archive) -> str:
    """What a person should do once the service runs at `{url}`."""
    if not archive.index.info().images:
        return "fill the archive with `medsiglip ingest FOLDER`, or by {url}/app/ingest"
    if not archive.index.api_keys.any_made():
        return "make a key with `medsiglip keys create NAME`; until then only this machine is answered"
    return "sign in at {url}/ with a key; programs send it as `Authorization: Bearer KEY`"


def _show_ended(console: Console, payload: Payload) -> None:
    counts = ", ".join(f"{count} {how}" for how, count in sorted(payload["jobs"].items()))
    console.print(f"jobs: {counts or 'none'}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(serve)
    app.command()(worker)
