"""Keeps a syslog receiver in step with the audit trail, beside the service and never in its way.

How far the trail was brought is in the catalogue: each event is sent once, whichever process sends, and sent
again only where a process was killed between sending a portion and noting it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING

from medsiglip.api.archive.syslog.delivery import Receiver
from medsiglip.api.archive.syslog.message import messages
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.service.audit_log import ChainedEvent

PORTION = 500
LEASE = timedelta(seconds=60)
"""After this a portion that a process was killed in is another's; longer than a delivery can take."""
_LOOK_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_log = logging.getLogger("medsiglip.audit")


class Forwarder:
    """Brings the events of one home to one receiver, portion by portion."""

    def __init__(self, index: CaseIndex, url: str, *, lease: timedelta = LEASE) -> None:
        self._index = index
        self._receiver = Receiver.of(url)
        self.position_name = _position_name(self._receiver)
        self._holder = token_hex(8)
        self._lease = lease
        self._host, self._process = socket.gethostname(), str(os.getpid())

    def forward(self) -> int:
        """Send the next portion; the number of events, 0 where nothing waits or another process sends.

        Raises OSError where the receiver did not take it, and CatalogError.
        """
        positions, name = self._index.audit_positions, self.position_name
        if self._index.audit.head()[0] <= positions.position(name):
            return 0
        after = positions.take(name, self._holder, self._lease)
        if after is None:
            return 0
        try:
            portion = list(self._index.audit.events(after=after, limit=PORTION))
            if portion:
                self._send(portion)
                positions.move(name, self._holder, portion[-1].sequence)
        finally:
            positions.release(name, self._holder)
        return len(portion)

    def _send(self, portion: list[ChainedEvent]) -> None:
        written = [text for one in portion for text in messages(one, self._host, self._process)]
        self._receiver.deliver(written)


def forward_trail(archive: OpenedArchive) -> dict[str, object]:
    """Send all that waits, now: `{"receiver", "events", "sequence"}`.

    Raises ServiceError `no-receiver` where no receiver is set, `receiver-unreachable`, `receiver-busy` where
    another process sends.
    """
    url = archive.settings.audit_syslog
    if url is None:
        raise ServiceError(
            "no-receiver", "no receiver of the audit trail is set: set audit_syslog, as tcp://HOST:PORT."
        )
    forwarder, sent = Forwarder(archive.index, url), 0
    head = archive.index.audit.head()[0]
    try:
        while count := forwarder.forward():
            sent += count
    except OSError as error:
        raise ServiceError(
            "receiver-unreachable",
            f"{url} did not take the audit trail ({_reason(error)}): it is sent from the same event on when "
            "you try again.",
        ) from None
    sequence = archive.index.audit_positions.position(forwarder.position_name)
    if sequence < head:
        raise ServiceError(
            "receiver-busy",
            f"another process, such as a running service, sends the audit trail to {url}: it is at event "
            f"{sequence} of {head}. Look again in a minute.",
        )
    return {"receiver": url, "events": sent, "sequence": sequence}


@contextmanager
def forwarding(index: CaseIndex, url: str | None) -> Iterator[None]:
    """A thread that sends what is new until the context ends; none where `url` is None."""
    if url is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(
        target=_follow, args=(Forwarder(index, url), url, ended), name="audit-syslog", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_LOOK_SECONDS)


def _follow(forwarder: Forwarder, url: str, ended: threading.Event) -> None:
    pause = 0.0
    while not ended.wait(pause):
        try:
            pause = 0.0 if forwarder.forward() else _LOOK_SECONDS
        except Exception as error:  # a thread that ends would end without a word
            pause = min(max(2 * pause, _LOOK_SECONDS), _LONGEST_PAUSE_SECONDS)
            _log.warning("the audit trail waits for %s (%s)", url, _reason(error))


def _position_name(receiver: Receiver) -> str:
    """The name of the position at a receiver: another one gets the trail from its beginning."""
    return f"syslog-{hashlib.sha256(receiver.address.lower().encode('utf-8', 'replace')).hexdigest()[:16]}"


def _reason(error: Exception) -> str:
    """Why it failed; of an error that nobody expects only its type, for its text may hold an event."""
    if isinstance(error, CatalogError):
        return error.code
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
