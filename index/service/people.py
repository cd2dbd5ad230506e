"""People who sign in elsewhere: each has a row among the API keys, which no secret opens.

So whoever has a session, labels, views and events of the audit trail is one kind of caller, and is ended as
a key is. The id comes of the provider and of what it calls the person, so it is the same at each sign-in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from medsiglip.index.catalogue.browsing.schema import sessions
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.service_schema import api_keys
from medsiglip.index.service.api_keys import SCOPES, ApiKey, key_of

NO_SECRET = ""
"""In place of a hash: no secret has this one."""
_LONGEST_NAME = 100


class People:
    """The people of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def met(
        self, issuer: str, subject: str, name: str, scopes: Sequence[str], *, signs_in: bool
    ) -> ApiKey | None:
        """The person's row, made at the first meeting; None where an administrator has ended it.

        `signs_in` makes the scopes those of all the person's sessions. The name stays as it was at first, and
        is no other caller's: labels are told apart by it.
        """
        key_id = person_id(issuer, subject)
        chosen = [scope for scope in SCOPES if scope in scopes]
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        if row is None:
            row = self._made(key_id, _printable(name), chosen)
        elif signs_in and list(row.scopes) != chosen:
            with self._database.write_service_tables() as connection:
                changed = update(api_keys).where(api_keys.c.id == key_id).values(scopes=chosen)
                connection.execute(changed)
                row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one()
        return None if row.revoked_at is not None else key_of(row)

    def lost_access(self, issuer: str, subject: str) -> None:
        """The person may do nothing any more: all sessions end. Nothing happens where they never met."""
        key_id = person_id(issuer, subject)
        with self._database.write_service_tables() as connection:
            connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(scopes=[]))
            connection.execute(delete(sessions).where(sessions.c.key_id == key_id))

    def _made(self, key_id: str, name: str, scopes: list[str]) -> Row[Any]:
        values = {"id": key_id, "secret_hash": NO_SECRET, "scopes": scopes, "created_at": datetime.now(UTC)}
        asked = select(api_keys).where(api_keys.c.id == key_id)
        try:
            with self._database.write_service_tables() as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(5064664)"))
                taken = select(api_keys.c.id).where(api_keys.c.name == name)
                if connection.execute(taken.limit(1)).first() is not None:
                    name = f"{name[: _LONGEST_NAME - 11]} ({key_id[:8]})"
                connection.execute(insert(api_keys).values(name=name, **values))
                return connection.execute(asked).one()
        except IntegrityError:  # another request of the person was first
            with self._database.read() as connection:
                return connection.execute(asked).one()


def person_id(issuer: str, subject: str) -> str:
    """16 hex characters, which keys, of 12, never have."""
    return hashlib.sha256(f"person\0{issuer}\0{subject}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _printable(name: str) -> str:
    kept = "".join(sign for sign in name if sign.isprintable()).strip()[:_LONGEST_NAME]
    return kept or "person"
