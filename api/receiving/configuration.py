"""What the settings say of the receiver, checked, and as words of a command line for its processes."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError
from medsiglip.ingest.receiving.options import ReceiverOptions, TlsFiles, allowed_sender, known_peer

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

# The options of `medsiglip receive` by setting.
OPTIONS = {
    "receive_aet": "--aet",
    "receive_allow": "--allow",
    "receive_peers": "--peer",
    "receive_largest_bytes": "--largest",
    "receive_associations": "--associations",
    "receive_tls_certificate_file": "--tls-certificate",
    "receive_tls_key_file": "--tls-key",
    "receive_tls_ca_file": "--tls-ca",
}


def receiver_options(settings: Settings) -> ReceiverOptions:
    """The options of the receiver's processes.

    Raises `PacsError` `bad-sender`, and ServiceError `no-senders` where anybody on a network could send,
    `incomplete-tls` and `not-found` for files of TLS.
    """
    if not settings.receive_allow and not _is_loopback(settings.receive_host):
        raise ServiceError(
            "no-senders",
            f"the receiver listens on {settings.receive_host}, beyond this machine: say who may send, with "
            "--allow AET@HOST for each sender.",
        )
    return ReceiverOptions(
        ae_title=settings.receive_aet,
        allowed=tuple(map(allowed_sender, settings.receive_allow)),
        peers=tuple(map(known_peer, settings.receive_peers)),
        largest_bytes=settings.receive_largest_bytes,
        min_free_bytes=settings.min_free_bytes,
        associations=settings.receive_associations,
        tls=_tls(settings),
    )


def words_of(settings: Settings) -> list[str]:
    """The options as words for a process that gets the listening port from this one."""
    words = []
    for name, option in OPTIONS.items():
        value = getattr(settings, name)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            words += [option, str(one)]
    return words


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(settings: Settings) -> TlsFiles | None:
    certificate, key = settings.receive_tls_certificate_file, settings.receive_tls_key_file
    authority = settings.receive_tls_ca_file
    if certificate is None and key is None and authority is None:
        return None
    if certificate is None or key is None:
        raise ServiceError("incomplete-tls", "TLS needs a certificate and its key: give both files.")
    for file in (certificate, key, authority):
        if file is not None and not Path(file).expanduser().is_file():
            raise ServiceError("not-found", f"{file}: there is no such file.")
    return TlsFiles(
        certificate.expanduser(), key.expanduser(), None if authority is None else authority.expanduser()
    )
