"""Associations with a PACS: opened, kept, bounded, and said in one sentence why there is none."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.bounded_socket import BoundedTlsSocket, Bounds, PlainContext, bound
from medsiglip.ingest.pacs.tls import certificate_problem, tls_context

LONGEST_PDU_TAKEN = 1 << 17
# What an answer to a question may bring, and what an instance may.
MOST_OF_ANSWERS = 1 << 28
MOST_OF_AN_INSTANCE = 1 << 31
# How long no association is waited for before a connection that failed is looked at more closely.
_PROBE_SECONDS = 2.0


class Conversation:
    """An established association, and the operations on it, one after the other."""

    def __init__(self, connection: Connection, association: Association, bounds: Bounds) -> None:
        self.association = association
        self.bounds = bounds
        self._connection = connection
        self._message_id = 0

    @property
    def is_open(self) -> bool:
        """Whether operations can still be asked for."""
        return bool(self.association.is_established)

    @property
    def accepted(self) -> set[tuple[str, str]]:
        """SOP class and transfer syntax of each context that the PACS accepted."""
        return {
            (str(one.abstract_syntax), str(one.transfer_syntax[0]))
            for one in self.association.accepted_contexts
        }

    def accepts(self, sop_class_uid: str) -> bool:
        """Whether the PACS accepted a context for a class."""
        return any(uid == sop_class_uid for uid, _ in self.accepted)

    def next_message_id(self) -> int:
        """The ID of the next request, from 1 to 65535."""
        self._message_id = self._message_id % 65535 + 1
        return self._message_id

    @contextmanager
    def operation(self, patience: float, most: int = MOST_OF_ANSWERS) -> Iterator[None]:
        """While an operation is on: it may be silent for `patience` seconds and bring `most` bytes. Whatever
        ends it in the middle aborts the association.
        """
        self.bounds.begin(patience, most)
        # Above the patience, so that the bounds end what stands still.
        self.association.dimse_timeout = patience + 10
        try:
            yield
        except BaseException:
            self.abort()
            raise
        finally:
            self.bounds.rest()

    def lost(self) -> PacsError:
        """The error of an operation that got no answer."""
        name = self._connection.name
        if self.bounds.is_exceeded:
            return PacsError(
                "pacs-bad-answer",
                f"{name} sends more than is waited for: ask it for less at once, or look into its log.",
            )
        if self.bounds.is_silent:
            return PacsError(
                "pacs-timeout",
                f"{name} did not answer in time: try again, or raise timeout_seconds.",
                may_pass=True,
            )
        return PacsError(
            "pacs-unreachable", f"{name} ended the association while it was asked: try again.", may_pass=True
        )

    def abort(self) -> None:
        """End at once."""
        self.bounds.end()
        if self.is_open:
            self.association.abort()

    def release(self) -> None:
        """End as PS3.8 has it."""
        if self.is_open:
            self.association.release()
        self.bounds.end()


def open_association(
    connection: Connection,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[Any] = (),
) -> Conversation:
    """A new association with a PACS, on which at least one context is accepted. Raises `PacsError`."""
    quieten()
    context = tls_context(connection) if connection.tls else None
    wrapping: Any = context or PlainContext()
    if context is not None:
        context.sslsocket_class = BoundedTlsSocket
    entity = AE(connection.calling_ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    seconds = connection.timeout_seconds
    entity.acse_timeout = entity.connection_timeout = entity.dimse_timeout = seconds
    # A kept association rests between operations for as long as the PACS lets it.
    entity.network_timeout = None
    bounds = Bounds(seconds, MOST_OF_ANSWERS)
    begun = time.monotonic()
    try:
        association = entity.associate(
            connection.host or "",
            connection.port or 0,
            contexts=list(contexts),
            ae_title=connection.ae_title or "",
            max_pdu=LONGEST_PDU_TAKEN,
            ext_neg=list(roles),
            tls_args=(wrapping, connection.host or ""),
            evt_handlers=[(evt.EVT_CONN_OPEN, _bind, [bounds]), *handlers],
        )
    except OSError:  # the name is unknown
        raise _unknown_host(connection) from None
    if not association.is_established:
        bounds.end()
        raise _refusal(connection, association, context, time.monotonic() - begun)
    return Conversation(connection, association, bounds)


def _bind(event: evt.Event, bounds: Bounds) -> None:
    bound(event.assoc.dul.socket, bounds)


def quieten() -> None:
    """pynetdicom logs the data sets of questions and answers, and tracebacks of what peers send; pydicom
    values of both that are wrong, in each thread that reads them.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    for logger in map(logging.getLogger, ("pydicom", "pynetdicom")):
        if logger.level <= logging.CRITICAL:
            logger.setLevel(logging.CRITICAL + 1)


# PS3.8, table 9-21: source and reason of a rejection.
_REASONS = {
    (1, 3): "it does not know the calling AE title {calling}: add it there, with this machine's address",
    (1, 7): "it has another AE title than {called}: correct ae_title",
    (1, 2): "it does not know the application context",
    (3, 1): "it is busy: try again later",
    (3, 2): "it has as many associations as it may have: try again later",
}


def _refusal(
    connection: Connection, association: Association, context: ssl.SSLContext | None, waited: float
) -> PacsError:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        reason = _REASONS.get(
            (answer.result_source or 0, answer.diagnostic or 0), "it gives no reason: look into its log"
        ).format(calling=connection.calling_ae_title, called=connection.ae_title)
        is_busy = answer.result == 2 or answer.result_source == 3
        sentence = f"{connection.name} refuses the association: {reason}."
        return PacsError("pacs-refused", sentence, may_pass=is_busy)
    if association.rejected_contexts and not association.accepted_contexts:
        return PacsError(
            "pacs-refused",
            f"{connection.name} offers none of what is asked for to {connection.calling_ae_title}: allow "
            "it there to query, to retrieve or to store, or reach the PACS in another way.",
        )
    return _unreachable(connection, context) or _no_answer(connection, waited)


def _no_answer(connection: Connection, waited: float) -> PacsError:
    if waited >= connection.timeout_seconds:
        return PacsError(
            "pacs-timeout",
            f"{connection.name} takes connections and does not answer them: check its port, whether it "
            "speaks TLS, and whether it runs.",
            may_pass=True,
        )
    return PacsError(
        "pacs-refused",
        f"{connection.name} ended the connection instead of answering: check its port, whether it speaks "
        "TLS, and whether it knows this machine.",
        may_pass=True,
    )


def _unreachable(connection: Connection, context: ssl.SSLContext | None) -> PacsError | None:
    """What is wrong below the association, found by a connection of its own."""
    place = f"{connection.host}, port {connection.port}"
    try:
        address = (connection.host or "", connection.port or 0)
        plain = socket.create_connection(address, connection.timeout_seconds)
    except socket.gaierror:
        return _unknown_host(connection)
    except TimeoutError:
        return _away(connection, f"nothing answers at {place}")
    except OSError:
        return _away(connection, f"nothing listens at {place}")
    with plain:
        return None if context is None else _handshake_problem(connection, plain, context)


def _handshake_problem(
    connection: Connection, plain: socket.socket, context: ssl.SSLContext
) -> PacsError | None:
    try:
        with context.wrap_socket(plain, server_hostname=connection.host) as wrapped:
            # Under TLS 1.3 a certificate of this side is refused after the handshake (RFC 8446, 4.4.2). A
            # PACS that takes it waits for an association, and says nothing.
            wrapped.settimeout(min(_PROBE_SECONDS, connection.timeout_seconds))
            wrapped.recv(1)
    except ssl.SSLError as error:
        return certificate_problem(connection, error)
    except OSError:
        return None
    return None


def _unknown_host(connection: Connection) -> PacsError:
    return _away(connection, f"the name {connection.host} is unknown here")


def _away(connection: Connection, problem: str) -> PacsError:
    return PacsError(
        "pacs-unreachable",
        f"{connection.name} cannot be reached: {problem}. Check host, port and firewall, and that it runs.",
        may_pass=True,
    )
