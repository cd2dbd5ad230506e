"""Answering associations on an open port, each in a thread of its own."""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.receiving.association import Association, Receiver
from medsiglip.ingest.receiving.negotiation import prepare_codecs
from medsiglip.ingest.receiving.options import ReceiverOptions, Receiving, TlsFiles
from medsiglip.ingest.receiving.places import Places
from medsiglip.ingest.receiving.refusals import Refusals
from medsiglip.ingest.receiving.spool import Spool
from medsiglip.ingest.receiving.upper_layer import ClosedError, UpperLayer

_LOOK_SECONDS = 0.2
# A process waits so long for each association that it has, so that one with fewer takes the next.
_STEP_BACK_SECONDS = 0.01
_STOP_SECONDS = 30.0
# Connections of one process that have no association yet, beyond those that may have one.
_UNASKED = 64
# Of these, those of one address: whoever may not send cannot keep out those who may.
_UNASKED_OF_ONE = 32
_log = logging.getLogger("medsiglip.receiving")


class _Unasked:
    """Counts connections that have no association yet, by the address of the other side."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, address: str) -> bool:
        """Count one, unless there are as many as may be."""
        with self._lock:
            if self._counts[address] >= _UNASKED_OF_ONE:
                return False
            self._counts[address] += 1
            return True

    def leave(self, address: str) -> None:
        """It has an association, or has ended."""
        with self._lock:
            self._counts[address] -= 1
            self._counts += Counter()  # without those of which there is none


def serve(
    listener: socket.socket,
    incoming: Path,
    options: ReceiverOptions,
    receiving: Receiving,
    stopping: threading.Event,
) -> None:
    """Answer associations until `stopping` is set, and then until the open ones have received the instance
    that they had begun. Several processes may do so on one inherited socket and one folder `incoming`.

    Raises `PacsError` `pacs-certificate`, and OSError if the folder cannot be written.
    """
    spool = Spool(incoming, options.largest_bytes, options.min_free_bytes)
    places = Places(incoming, options.associations, options.associations_of_one)
    spool.prepare()
    places.prepare()
    prepare_codecs()
    receiver = Receiver(options, receiving, spool, places, Refusals(), stopping.is_set)
    tls = None if options.tls is None else tls_context(options.tls)
    threads: set[threading.Thread] = set()
    unasked = _Unasked()
    listener.setblocking(False)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    while not stopping.is_set():
        ready = poll.poll(1000 * _LOOK_SECONDS)
        threads = {thread for thread in threads if thread.is_alive()}
        if not ready:
            continue
        time.sleep(_STEP_BACK_SECONDS * min(len(threads), 10))
        try:
            connection, address = listener.accept()
        except OSError:  # another process has taken it, or it is gone
            continue
        caller = str(address[0])
        if len(threads) >= options.associations + _UNASKED or not unasked.enter(caller):
            connection.close()
            continue
        leave = _once(partial(unasked.leave, caller))
        thread = threading.Thread(
            target=_answer, args=(connection, caller, receiver, tls, leave), name="association", daemon=True
        )
        threads.add(thread)
        thread.start()
    until = time.monotonic() + _STOP_SECONDS
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """`call` for the first time, and nothing from then on."""
    calls = [call]

    def once() -> None:
        if calls:
            calls.pop()()

    return once


def _answer(
    connection: socket.socket,
    address: str,
    receiver: Receiver,
    tls: ssl.SSLContext | None,
    leave: Callable[[], None],
) -> None:
    """Answer a connection to its end; `leave` is called when it has an association."""
    try:
        _serve_one(connection, address, receiver, tls, leave)
    finally:
        leave()


def _serve_one(
    connection: socket.socket,
    address: str,
    receiver: Receiver,
    tls: ssl.SSLContext | None,
    leave: Callable[[], None],
) -> None:
    options = receiver.options
    try:
        connection.settimeout(options.acse_seconds)
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        layer = UpperLayer(connection, options.network_seconds)
    except OSError:
        receiver.note_refusal("", address, "tls")
        connection.close()
        return
    try:
        Association(layer, address, receiver).run(leave)
    except ClosedError:
        pass
    except Exception as error:
        _log.error(
            "an association ended by %s", type(error).__name__, exc_info=_log.isEnabledFor(logging.DEBUG)
        )


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS of a receiver, as the profile BCP 195 asks (PS3.15, B.9); raises `PacsError` `pacs-certificate`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate_file, files.key_file)
        if files.ca_file is not None:
            context.load_verify_locations(files.ca_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a PEM file"
        raise PacsError(
            "pacs-certificate",
            f"The certificate, its key or the CA of the receiver cannot be used: {reason}; check the files.",
        ) from None
    return context
