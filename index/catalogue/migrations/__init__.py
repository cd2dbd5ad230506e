"""Migrations of the catalogue's tables, by Alembic, which is imported only when tables must change.

A revision is a file in `versions/`; the newest one is also `HEAD`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

FIRST = "0005"
"""The oldest revision that can be migrated; the ones before were never released."""
HEAD = "0018"
"""The newest revision; compared with the table `alembic_version` on every start."""
FOLDER = Path(__file__).parent


class UnknownRevisionError(Exception):
    """The catalogue has a revision that this version does not know."""


def configuration() -> Config:
    """Alembic's configuration, without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    return config


def upgrade(connection: Connection, revision: str | None = None) -> None:
    """Run the missing revisions, up to this one or the newest, inside the connection's transaction.

    Raises `UnknownRevisionError` when the catalogue is newer than this code.
    """
    from alembic import command
    from alembic.util import CommandError

    config = configuration()
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        command.upgrade(config, revision or HEAD)
    except CommandError as error:
        if "Can't locate revision" in str(error):
            raise UnknownRevisionError(str(error).rsplit(" ", 1)[-1]) from error
        raise
