"""API keys: `msk_<id>_<secret>`, of which only the id and a hash of the secret are stored.

A key may also come from elsewhere: any secret that fits in `Authorization: Bearer` (RFC 6750, section 2.1)
and cannot be guessed. Its id is then derived from it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.service_schema import api_keys
from medsiglip.index.errors import CatalogError

SCOPES = ("read", "write", "train", "report", "admin")
_KEY = re.compile(r"msk_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_GIVEN = re.compile(r"[A-Za-z0-9._~+/-]{32,512}={0,2}", re.ASCII)
_DISTINCT = 8


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret; `scopes` are of `SCOPES`."""

    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class ApiKeys:
    """The keys of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, name: str, scopes: Sequence[str], *, expires_at: datetime | None = None, key: str | None = None
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret form, which is shown this once.

        `key` is a secret from elsewhere: 32 to 512 letters, digits and `._~+/-`. If it exists already, it is
        not changed, and stays revoked if it was. Raises `CatalogError` `bad-key`, `bad-scope`.
        """
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            what = f"{unknown[0]!r} is no scope" if unknown else "A key needs a scope"
            raise CatalogError("bad-scope", f"{what}; choose among {', '.join(SCOPES)}.")
        shown = key or f"msk_{token_hex(6)}_{token_hex(32)}"
        parts = _parts(shown)
        if parts is None or len(set(shown)) < _DISTINCT:
            raise CatalogError(
                "bad-key",
                "The given key is not 32 to 512 letters, digits and ._~+/- with some variety; make one with "
                "`openssl rand -hex 32`.",
            )
        key_id, secret = parts
        row = {
            "id": key_id,
            "name": name,
            "secret_hash": _hash(secret),
            "scopes": [scope for scope in SCOPES if scope in scopes],
            "created_at": datetime.now(UTC),
            "expires_at": expires_at,
        }
        with self._database.write_service_tables() as connection:
            if connection.execute(select(api_keys.c.id).where(api_keys.c.id == row["id"])).first() is None:
                connection.execute(insert(api_keys).values(**row))
            stored = connection.execute(select(api_keys).where(api_keys.c.id == row["id"])).one()
        return key_of(stored), shown

    def find(self, shown: str) -> ApiKey | None:
        """The live key of this secret form, or None; the comparison takes the same time for every secret."""
        parts = _parts(shown)
        if parts is None:
            return None
        key_id, secret = parts
        with self._database.read() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        stored = "0" * 64 if row is None else row.secret_hash
        if not hmac.compare_digest(stored, _hash(secret)) or row is None:
            return None
        found = key_of(row)
        return found if found.is_live(datetime.now(UTC)) else None

    def listed(self) -> list[ApiKey]:
        """All keys, oldest first."""
        statement = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        with self._database.read() as connection:
            return [key_of(row) for row in connection.execute(statement)]

    def any_made(self) -> bool:
        """Whether a key was ever made; one that was revoked still closes the door."""
        with self._database.read() as connection:
            return bool(connection.execute(select(func.count()).select_from(api_keys)).scalar_one())

    def revoke(self, key_id: str) -> ApiKey:
        """End a key for good; raises `CatalogError` `unknown-key`."""
        with self._database.write_service_tables() as connection:
            live = (api_keys.c.id == key_id) & api_keys.c.revoked_at.is_(None)
            connection.execute(update(api_keys).where(live).values(revoked_at=datetime.now(UTC)))
            row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
        if row is None:
            raise CatalogError("unknown-key", f"There is no key {key_id}; `keys list` shows them.")
        return key_of(row)


def _parts(shown: str) -> tuple[str, str] | None:
    """Id and secret of a key, or None for a text that cannot be one."""
    matched = _KEY.fullmatch(shown)
    if matched is not None:
        return matched[1], matched[2]
    if _GIVEN.fullmatch(shown) is None:
        return None
    return hashlib.sha256(b"id of the API key " + shown.encode("ascii")).hexdigest()[:12], shown


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def key_of(row: Row[Any]) -> ApiKey:
    """The key of a row of `api_keys`."""
    return ApiKey(row.id, row.name, tuple(row.scopes), row.created_at, row.expires_at, row.revoked_at)
