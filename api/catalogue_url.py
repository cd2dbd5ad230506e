"""The URL of the catalogue's database: that of the settings, with the password from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_MOST_BYTES = 4096


def catalogue_url(settings: Settings) -> str | None:
    """The URL with its password, which must not be shown; None for SQLite in the home.

    The file of `database_password_file` is read anew at each call. Raises ServiceError `bad-database-url`,
    `no-database-driver` and `bad-database-password`; none quotes the URL or the password.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    file = settings.database_password_file
    if settings.database_url is None:
        if file is not None:
            raise _bad_password(file, "is the password of no database: give MEDSIGLIP_DATABASE_URL, too")
        return None
    try:
        url = make_url(settings.database_url)
        url.get_dialect().import_dbapi()
    except (ArgumentError, ValueError):
        raise ServiceError(
            "bad-database-url",
            "MEDSIGLIP_DATABASE_URL is no URL of a database: give one such as "
            "postgresql+psycopg://medsiglip@localhost:5432/medsiglip.",
        ) from None
    except ImportError:
        raise ServiceError(
            "no-database-driver",
            f"the driver that {url.drivername} needs is not installed: install medsiglip[postgresql] and let "
            "MEDSIGLIP_DATABASE_URL begin with postgresql+psycopg.",
        ) from None
    if file is None:
        return settings.database_url
    if url.password is not None:
        raise _bad_password(file, "is a second password: take the one in MEDSIGLIP_DATABASE_URL out")
    if url.username is None:
        raise _bad_password(file, "is nobody's password: put a user into MEDSIGLIP_DATABASE_URL")
    return url.set(password=_read_password(file)).render_as_string(hide_password=False)


def _read_password(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            # Only line ends are removed, as PostgreSQL's own image does with the same file.
            password = stream.read(_MOST_BYTES).decode("utf-8").rstrip("\n")
    except OSError as error:
        raise _bad_password(
            file, f"cannot be read ({(error.strerror or 'no reason given').lower()})"
        ) from None
    except UnicodeDecodeError:
        raise _bad_password(file, "is not UTF-8: put one line of printable characters there") from None
    if not password or not password.isprintable():
        raise _bad_password(file, "does not hold one line of printable characters: put a password there")
    return password


def _bad_password(file: Path, what: str) -> ServiceError:
    return ServiceError("bad-database-password", f"{file} (MEDSIGLIP_DATABASE_PASSWORD_FILE) {what}.")
