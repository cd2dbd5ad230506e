"""Answering associations on an open port, each in a thread of its own."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from medsiglip.ingest.receiving.options import ReceiverOptions, Receiving


def serve(
    listener: socket.socket,
    incoming: Path,
    options: ReceiverOptions,
    receiving: Receiving,
    stopping: threading.Event,
) -> None:
    """Answer associations until `stopping` is set, and then until the open ones have ended an instance that
    they were receiving. Several processes may do so on one inherited socket and one folder `incoming`.
    """
    raise NotImplementedError
