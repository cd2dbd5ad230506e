"""The HTTP server of one process, from the first socket to the last answer."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import uvicorn

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import proxies_are_configured
from medsiglip.api.http.http_protocol import HttpProtocol

if TYPE_CHECKING:
    from fastapi import FastAPI

FINISH_SECONDS = 10
_TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    app: FastAPI,
    sockets: Sequence[socket.socket],
    *,
    on_ready: Callable[[], None],
    on_stopping: Callable[[], None],
    on_hangup: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then accept no more requests and finish running ones, for at most
    `FINISH_SECONDS`.

    `on_ready` is called when the application has started, `on_stopping` when the signal has come, `on_hangup`
    at each SIGHUP between the two, in a thread. Raises ServiceError `start-failed` when the application did
    not start.
    """
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # By default uvicorn trusts forwarded addresses from loopback, and wrong keys are counted by address.
        proxy_headers=proxies_are_configured(),
        timeout_graceful_shutdown=FINISH_SECONDS,
    )
    server = _Server(config, on_ready, on_stopping, on_hangup)
    # uvicorn raises the signal again when it is done.
    before = {number: signal.signal(number, _ignore_signal) for number in _TAKEN}
    try:
        server.run(list(sockets))
    except SystemExit:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not server.started:
        raise ServiceError(
            "start-failed", "the service could not start; run it with --debug, or look into its log, for why."
        )


def _ignore_signal(*_: object) -> None:
    """Ignore a signal that the server has handled."""


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None],
        on_hangup: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_hangup = on_hangup
        self._on_ready = on_ready
        self._on_stopping = on_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # Objects of the start-up stay; collecting them again and again takes a twentieth of the time.
            gc.collect()
            gc.freeze()
            gc.set_threshold(20_000, 20, 20)
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, self._on_hangup))
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Removing the handler would bring back the default, which kills.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _ignore_signal)
        self._on_stopping()
        await super().shutdown(sockets)
