"""An end for answers that do not begin: httpcore bounds each read of their headers, and not all together, so
that a service may dribble them, or say 100 Continue, for ever.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_CONNECTED = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})
_READING = "http11.receive_response_headers."


class HeaderWatch:
    """Ends the connection on which the headers of an answer have not come within `seconds`; `is_late` then.
    For one connection at a time.
    """

    def __init__(self, seconds: float) -> None:
        self.is_late = False
        self._seconds = seconds
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def follow(self, event: str, details: Mapping[str, Any]) -> None:
        """What httpcore tells of a request: its extension `trace`."""
        if event in _CONNECTED:
            self._socket = details["return_value"].get_extra_info("socket")
        elif event == f"{_READING}started":
            self._timer = threading.Timer(self._seconds, self._end)
            self._timer.daemon = True
            self._timer.start()
        elif event.startswith(_READING) and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.is_late = True
        if self._socket is not None:
            with suppress(OSError):
                # Of the plain socket also under TLS: who reads then sees an end.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
