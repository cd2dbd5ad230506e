"""TLS towards a PACS: whose certificates are trusted, and which one is shown."""

from __future__ import annotations

import ssl

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection


def tls_context(connection: Connection) -> ssl.SSLContext:
    """The context of a connection: TLS 1.2 or later (BCP 195, PS3.15 B.9 and B.12), the certificate of the
    PACS must name its host. Raises `PacsError` `pacs-certificate` for files that cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=connection.ca_file)
    except (OSError, ValueError):
        raise _unusable(connection, "ca_file holds no certificates that can be read") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if connection.certificate_file is not None and connection.key_file is not None:
        try:
            context.load_cert_chain(connection.certificate_file, connection.key_file, password=_no_password)
        except (OSError, ValueError):
            problem = "certificate_file and key_file cannot be read, are none, or do not go together"
            raise _unusable(connection, problem) from None
    return context


def certificate_problem(connection: Connection, error: ssl.SSLError) -> PacsError:
    """What a handshake that failed means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return PacsError(
            "pacs-certificate",
            f"The certificate of {connection.name} is not trusted ({error.verify_message}): give the "
            "certificate of its authority as ca_file, and the host by the name that the certificate holds.",
        )
    reason = (error.reason or "").replace("_", " ").lower() or "the handshake failed"
    return PacsError(
        "pacs-certificate",
        f"{connection.name} and this machine agree on no TLS ({reason}): check that it speaks TLS on this "
        "port, and that certificate_file is one that it accepts.",
    )


def _no_password() -> str:
    # Without it OpenSSL would ask on the terminal.
    return ""


def _unusable(connection: Connection, problem: str) -> PacsError:
    return PacsError("pacs-certificate", f"The connection {connection.name} cannot use TLS: {problem}.")
