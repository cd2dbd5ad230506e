"""Sessions of browsers: a random token in a cookie stands for an API key until its end.

Of a token, only a hash is stored, and a session can do what its key can: it ends with the key. Rows of
sessions that have ended are deleted; who signed in is in the audit trail.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import Row, delete, insert, select

from medsiglip.index.catalogue.browsing.schema import sessions
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.service_schema import api_keys
from medsiglip.index.service.api_keys import ApiKey, key_of

MOST_OF_A_KEY = 100
"""Sessions that one key may have: beyond, the oldest ends."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has not ended: its key, and when it ends, which is never later than its key."""

    key: ApiKey
    expires_at: datetime

    @property
    def as_key(self) -> ApiKey:
        """The key, which ends when the session does."""
        return replace(self.key, expires_at=self.expires_at)


class SessionStore:
    """The sessions of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, key: ApiKey, lifetime: timedelta) -> tuple[Session, str]:
        """Begin a session of a live key, and return it with its token, which is shown this once.

        Sessions that have ended are swept away.
        """
        token, now = token_urlsafe(32), datetime.now(UTC)
        end = now + lifetime if key.expires_at is None else min(now + lifetime, key.expires_at)
        row = {"token_hash": _hash(token), "key_id": key.id, "created_at": now, "expires_at": end}
        of_key = sessions.c.key_id == key.id
        newest_first = select(sessions.c.token_hash).where(of_key)
        newest_first = newest_first.order_by(sessions.c.created_at.desc(), sessions.c.token_hash)
        with self._database.write_service_tables() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
            connection.execute(insert(sessions).values(**row))
            too_many = sessions.c.token_hash.in_(newest_first.offset(MOST_OF_A_KEY))
            connection.execute(delete(sessions).where(of_key, too_many))
        return Session(key, end), token

    def find(self, token: str) -> Session | None:
        """The session of a token, or None where it, or its key, has ended or never was."""
        if not is_token(token):
            return None
        asked = select(api_keys, sessions.c.expires_at.label("ends_at")).join(
            sessions, sessions.c.key_id == api_keys.c.id
        )
        with self._database.read() as connection:
            row = connection.execute(asked.where(sessions.c.token_hash == _hash(token))).one_or_none()
        return None if row is None else _live(row)

    def end(self, token: str) -> None:
        """End a session; nothing happens where there is none."""
        with self._database.write_service_tables() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == _hash(token)))

    def end_of_key(self, key_id: str) -> None:
        """End all sessions of a key."""
        with self._database.write_service_tables() as connection:
            connection.execute(delete(sessions).where(sessions.c.key_id == key_id))


def is_token(text: str) -> bool:
    """Whether a text may be a token: 256 random bits in base64."""
    return _TOKEN.fullmatch(text) is not None


def _live(row: Row[Any]) -> Session | None:
    now, key = datetime.now(UTC), key_of(row)
    return Session(key, row.ends_at) if key.is_live(now) and now < row.ends_at else None


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
