"""Who asks: API keys in `Authorization: Bearer KEY`, and the scopes that a route requires.

While no key was ever made, everybody who can reach the loopback interface may do everything; the server
refuses to listen elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.errors import ServiceError
from index.api_keys import SCOPES
from index.case_index import CaseIndex

Scope = Literal["read", "write", "train", "report", "admin"]
_bearer = HTTPBearer(auto_error=False, description="an API key, made with `medsiglip keys create`")


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that asks: its id, its name, and what it may do; `anonymous` while there is no key."""

    key_id: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        """Whether the caller has a scope; `admin` includes all."""
        return scope in self.scopes or "admin" in self.scopes


ANONYMOUS = Caller("anonymous", "anonymous", frozenset(SCOPES))


def requires(scope: Scope) -> Callable[..., Caller]:
    """A dependency that gives the caller, if he has `scope`.

    Raises ServiceError `no-key`, `wrong-key` or `missing-scope`.
    """

    def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        caller = _identified(request.app.state.server.archive.index, credentials)
        if not caller.may(scope):
            raise ServiceError(
                "missing-scope", f"the key {caller.name!r} lacks the scope {scope}: ask its giver for one."
            )
        request.state.caller = caller
        return caller

    return check


def _identified(index: CaseIndex, credentials: HTTPAuthorizationCredentials | None) -> Caller:
    if credentials is None:
        if index.api_keys.any_made():
            raise ServiceError("no-key", "send an API key in the header Authorization: Bearer KEY.")
        return ANONYMOUS
    key = index.api_keys.find(credentials.credentials)
    if key is None:
        raise ServiceError("wrong-key", "the API key is unknown, revoked or over: ask for a new one.")
    return Caller(key.id, key.name, frozenset(key.scopes))
