"""Keys, saved views, the audit trail, and how the service does, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from os import fspath

from medsiglip.answers.access import (
    AuditPage,
    FolderListing,
    Health,
    Key,
    KeyList,
    MadeKey,
    SavedView,
    SavedViewList,
    SessionAnswer,
)
from medsiglip.answers.answer import RemovedName
from medsiglip.arguments import several
from medsiglip.client.connection import AnyPath, Connection, read
from medsiglip.client.paths import checked, path_of


class AccessMethods:
    """Methods of `Client`."""

    _service: Connection

    def session(self) -> SessionAnswer:
        """Whose key this is, what it may do, and until when."""
        return read(SessionAnswer, self._service.get("/v1/session"))

    def keys(self) -> list[Key]:
        """All API keys, oldest first, without their secrets."""
        return list(read(KeyList, self._service.get("/v1/keys")).keys)

    def create_key(self, name: str, scopes: Sequence[str], *, expires_days: int | None = None) -> MadeKey:
        """Make an API key, whose secret is in this answer alone, as `key`."""
        body = {"name": name, "scopes": several("scopes", scopes), "expires_days": expires_days}
        return read(MadeKey, self._service.post("/v1/keys", body))

    def revoke_key(self, key_id: str) -> Key:
        """End an API key for good, with the sessions of its browsers."""
        return read(Key, self._service.delete(path_of("keys", ("key_id", "identifier", key_id))))

    def views(self) -> list[SavedView]:
        """The saved views of this key."""
        return list(read(SavedViewList, self._service.get("/v1/views")).views)

    def save_view(self, name: str, page: str, query: str = "") -> SavedView:
        """Keep a page of the screen with the query of its address, in place of the view of this name."""
        body = {"page": page, "query": query}
        return read(SavedView, self._service.put(_view(name), body))

    def remove_view(self, name: str) -> None:
        """Remove a saved view."""
        read(RemovedName, self._service.delete(_view(name)))

    def audit_events(
        self,
        *,
        study: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> AuditPage:
        """Events of the audit trail, the newest first; `before` of one page gives the next."""
        query = {"study": checked("study", "uid", study), "actor": actor, "action": action}
        found = self._service.get("/v1/audit/events", **query, before=_number(before), limit=index(limit))
        return read(AuditPage, found)

    def study_audit(self, uid: str, *, before: int | None = None, limit: int = 100) -> AuditPage:
        """Who has seen or changed a study, the newest first."""
        path = path_of("studies", ("uid", "uid", uid), "audit")
        return read(AuditPage, self._service.get(path, before=_number(before), limit=index(limit)))

    def health(self) -> Health:
        """How the service does: every part tried, what waits, what is full, and its settings."""
        return read(Health, self._service.get("/v1/health"))

    def ingest_roots(self, path: AnyPath | None = None) -> FolderListing:
        """The folders below which `ingest` may name a path, and the names of those in one of them."""
        named = None if path is None else fspath(path)
        return read(FolderListing, self._service.get("/v1/ingest/roots", path=named))


def _number(value: int | None) -> int | None:
    return None if value is None else index(value)


def _view(name: str) -> str:
    return path_of("views", ("name", "view", name))
