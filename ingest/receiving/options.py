"""Who may send to the receiver, what it takes, and what it tells the program that runs it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from medsiglip.index.pacs.commitment_records import CommitmentRequest
from medsiglip.ingest.errors import PacsError

# PS3.5, section 6.2: 16 characters of the default repertoire, without backslash and controls.
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:-]{0,252}")
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class AllowedSender:
    """An AE title that may open associations, from anywhere or only from a network such as 10.1.0.0/16.

    `host` names a machine whose addresses are looked up at every association.
    """

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """Where the SCP of an AE listens: storage commitment is reported there (PS3.4, J.3.3)."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The receiver's own certificate with its key, and the certificates that senders' must be signed by; with
    `ca_file`, a sender without such a certificate is refused.
    """

    certificate_file: Path
    key_file: Path
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ReceiverOptions:
    """What a receiver takes. Without `allowed`, it takes from any AE that names its AE title.

    `largest_bytes` is of one instance. `associations` is how many may be open in all its processes, and
    `associations_of_one` how many of one AE title. An association that is silent for `idle_seconds`, that is
    not begun within `acse_seconds`, or that stops in the middle of a message for `network_seconds`, is ended.
    An instance is refused while the disk would keep fewer than `min_free_bytes`.
    """

    ae_title: str = "MEDSIGLIP"
    allowed: tuple[AllowedSender, ...] = ()
    peers: tuple[Peer, ...] = ()
    largest_bytes: int = 4 * GIB
    min_free_bytes: int = GIB
    associations: int = 100
    associations_of_one: int = 32
    idle_seconds: float = 300.0
    acse_seconds: float = 30.0
    network_seconds: float = 60.0
    tls: TlsFiles | None = None

    def peer(self, ae_title: str) -> Peer | None:
        """Where an AE takes reports, if that is known."""
        return next((one for one in self.peers if one.ae_title == ae_title), None)


@dataclass(frozen=True, slots=True)
class CommitmentOutcome:
    """Which instances are kept; of the others each with its Failure Reason (PS3.3, C.14.1.1)."""

    committed: Sequence[tuple[str, str]]
    failed: Sequence[tuple[str, str, int]]


class Receiving(Protocol):
    """What the program that runs a receiver does with what comes. Called from the thread of an association;
    an exception is answered to the sender as a failure, and logged without what it says.
    """

    def on_stored(self, folder: Path, file: Path, calling_ae: str) -> None:
        """An instance is on the disk, and its sender is about to hear so."""

    def on_failed(self, calling_ae: str, status: int) -> None:
        """An instance was refused with this status of C-STORE (PS3.4, table B.2-1)."""

    def on_commitment(self, request: CommitmentRequest) -> None:
        """Keep a request until `on_reported`, before it is answered; the same may come twice. Raises
        `PacsError` where nothing is committed to.
        """

    def commitment_outcome(self, request: CommitmentRequest) -> CommitmentOutcome | None:
        """What of it is kept, None while that is not yet known."""

    def on_reported(self, request: CommitmentRequest) -> None:
        """The sender has taken the report of a request."""

    def on_refused(self, calling_ae: str, reason: str) -> None:
        """An association was refused: `calling-ae`, `called-ae`, `application-context`, `limit`, or `tls`
        before anything was said.
        """


def allowed_sender(text: str) -> AllowedSender:
    """The sender of `AET`, `AET@HOST` or `AET@NETWORK`; raises `PacsError` `bad-sender`."""
    title, at, place = text.partition("@")
    title = title.strip()
    if _AE_TITLE.fullmatch(title) is None or (at and _HOST.fullmatch(place.partition("/")[0]) is None):
        raise PacsError(
            "bad-sender",
            "Who may send must be AET, AET@HOST or AET@NETWORK, such as CT1@10.1.0.0/16, and an AE title has "
            "at most 16 characters.",
        )
    if not at:
        return AllowedSender(title)
    try:
        return AllowedSender(title, network=ipaddress.ip_network(place, strict=False))
    except ValueError:
        if "/" in place:
            raise PacsError("bad-sender", f"{place} is no network such as 10.1.0.0/16.") from None
    return AllowedSender(title, host=place)


def known_peer(text: str) -> Peer:
    """The peer of `AET=HOST:PORT`; raises `PacsError` `bad-sender`."""
    title, _, place = text.partition("=")
    host, _, port = place.rpartition(":")
    host = host.strip("[]")
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
    if _AE_TITLE.fullmatch(title.strip()) is None or _HOST.fullmatch(host) is None or not is_port:
        raise PacsError("bad-sender", "A peer must be AET=HOST:PORT, such as CT1=10.1.0.7:104.")
    return Peer(title.strip(), host, int(port))
