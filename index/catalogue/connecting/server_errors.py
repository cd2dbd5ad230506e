"""Errors of a database server as `CatalogError`: what heals by itself, what does not, and the server's own
reason.

Codes that heal: `database-unreachable`, `database-read-only` (a standby may be promoted),
`too-many-connections`. `database-refused` does not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc
from sqlalchemy.engine import URL

from medsiglip.index.errors import CatalogError

# PostgreSQL, appendix A: error codes.
_REFUSED = ("28", "3D", "3F", "42501")
_AWAY = ("08", "53", "57")
# A refused login has no code in libpq, only the server's sentence.
_LOGIN_FULL = ("too many clients", "remaining connection slots", "too many connections")
_LOGIN_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
)
# Deadlock, serialization failure.
_UNDONE = {"40P01", "40001"}
_CURES = {
    "database-unreachable": "does not answer{why}; check that it runs and can be reached.",
    "database-refused": (
        "refuses this service{why}; correct the URL, the user or the password, or what the user may do there."
    ),
    "too-many-connections": (
        "has no connection left{why}; end some of its clients, or raise its max_connections."
    ),
    "database-read-only": ("can only be read{why}; name the primary server in the URL, or promote this one."),
}


def from_server(error: exc.DBAPIError, url: URL) -> CatalogError | None:
    """The error for a person, with the server's own reason; None for a defect."""
    code = _code(error)
    return None if code is None else server_error(code, url, _reason(error.orig))


def server_error(code: str, url: URL, reason: str = "") -> CatalogError:
    """The error of one of the codes of this module."""
    place = URL.create(
        url.drivername, url.username, None, url.host, url.port, url.database
    ).render_as_string()
    cure = _CURES[code].format(why=f" ({reason})" if reason else "")
    return CatalogError(code, f"The database {place} {cure}")


def was_undone(error: BaseException) -> bool:
    """Whether the server undid a transaction in favour of another, so that it may be repeated at once."""
    original = getattr(error.__cause__ or error, "orig", None)
    return getattr(original, "sqlstate", None) in _UNDONE


def _code(error: exc.DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == "25006":
        return "database-read-only"
    if state == "53300":
        return "too-many-connections"
    if state.startswith(_REFUSED):
        return "database-refused"
    if error.connection_invalidated or state.startswith(_AWAY):
        return "database-unreachable"
    return None if state or not isinstance(error, exc.OperationalError) else _code_of_login(str(error.orig))


def _code_of_login(message: str) -> str:
    if any(part in message for part in _LOGIN_FULL):
        return "too-many-connections"
    fatal = _fatal(message)
    is_unknown = fatal.startswith(("database ", "role ")) and fatal.endswith("does not exist")
    if is_unknown or any(part in message for part in _LOGIN_REFUSED):
        return "database-refused"
    return "database-unreachable"


def _reason(original: Any) -> str:
    """The server's own sentence, or the driver's, in one line; it quotes no row and no password."""
    said = getattr(getattr(original, "diag", None), "message_primary", None)
    message = said or _fatal(str(original)) or str(original).strip().partition("\n")[0]
    return " ".join(message.split()).rstrip(".")


def _fatal(message: str) -> str:
    """What the server answered to a login: the first line that has a severity before its text."""
    for line in message.splitlines():
        _, severity, said = line.partition("FATAL:")
        if severity:
            return said.strip()
    return ""
