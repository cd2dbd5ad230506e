"""Access tokens of the provider in `Authorization: Bearer TOKEN`, in place of an API key (RFC 9068)."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import KEY_SECONDS, Caller, address_of, admitted, network_of
from medsiglip.api.http.oidc.configuration import OidcConfiguration
from medsiglip.api.http.oidc.tokens import TokenCheck, refused
from medsiglip.api.http.rate_limits import TokenBuckets
from medsiglip.index.service.people import People

_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", re.ASCII)
_MOST_HELD = 4096
_WRONG_PER_MINUTE = 30
_WRONG_AT_ONCE = 20


def is_access_token(shown: str) -> bool:
    """Whether this has the form of a signed token (RFC 7515, section 3.1): an object, in three parts."""
    return _TOKEN.fullmatch(shown) is not None


class BearerGate:
    """Knows the tokens that were right in the last `KEY_SECONDS`, as `auth.Gate` knows keys."""

    def __init__(
        self,
        configuration: OidcConfiguration,
        check: TokenCheck,
        people: People,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = configuration.issuer
        self._check = check
        self._people = people
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: OrderedDict[bytes, tuple[Caller, float]] = OrderedDict()
        self._wrong = TokenBuckets(_WRONG_PER_MINUTE, _WRONG_AT_ONCE, clock=clock)

    def cached_caller(self, token: str) -> Caller | None:
        """The caller of a token that was right just now and has not ended."""
        with self._lock:
            caller, until = self._cached.get(_digest(token), (None, 0.0))
        if caller is None or self._clock() >= until or caller.expires_at is None:
            return None
        return caller if datetime.now(UTC) < caller.expires_at else None

    def identify(self, token: str, address: str) -> Caller:
        """The caller of a token; raises ServiceError `wrong-token`, `no-access`, `rate-limited`,
        `provider-unreachable`, `wrong-provider`.
        """
        try:
            person = self._check.access_token(token)
        except ServiceError as error:
            # Nobody guesses a signature, so a right token is let in whatever else comes from its address.
            if error.code == "wrong-token" and (wait := self._wrong.take(network_of(address))):
                raise ServiceError(
                    "rate-limited", "too many wrong tokens came from this address.", wait
                ) from None
            raise
        found = self._people.met(self._issuer, person.subject, person.name, person.scopes, signs_in=False)
        if found is None:
            raise refused("wrong-token", "is of somebody whom an administrator has shut out here")
        ends = datetime.fromtimestamp(person.expires_at, UTC)
        caller = Caller(found.id, found.name, frozenset(person.scopes), ends)
        with self._lock:
            self._cached[_digest(token)] = caller, self._clock() + KEY_SECONDS
            if len(self._cached) > _MOST_HELD:
                self._cached.popitem(last=False)
        return caller


async def authenticate_token(request: Request, gate: BearerGate, token: str) -> Caller:
    """The caller of this request by its access token, as `auth.authenticate` by its key."""
    caller = gate.cached_caller(token)
    if caller is None:
        caller = await run_in_threadpool(gate.identify, token, address_of(request))
    return admitted(request, caller)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii", "replace")).digest()
