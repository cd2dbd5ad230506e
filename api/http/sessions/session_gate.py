"""Whose the session of a request is, checked for one server process as `auth.Gate` checks keys."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import KEY_SECONDS, Caller, Gate, address_of, admitted, authenticate, network_of
from medsiglip.api.http.cross_site import is_cross_site
from medsiglip.api.http.rate_limits import TokenBuckets
from medsiglip.index.service.api_keys import ApiKey
from medsiglip.index.service.sessions import SessionStore

_MOST_HELD = 4096
# Browsers that slept come back with a session that has ended, with many requests at once; whoever makes up
# tokens is slowed down.
_MISSES_PER_MINUTE = 600
_MISSES_AT_ONCE = 200


class SessionGate:
    """Knows the sessions that were looked up in the last `KEY_SECONDS`, and tokens that stand for none."""

    def __init__(self, sessions: SessionStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = sessions
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: OrderedDict[bytes, tuple[ApiKey, float]] = OrderedDict()
        self._ended: OrderedDict[bytes, None] = OrderedDict()
        self._misses = TokenBuckets(_MISSES_PER_MINUTE, _MISSES_AT_ONCE, clock=clock)

    def cached_caller(self, token: str) -> Caller | None:
        """The caller of a session that was looked up just now; None for any other."""
        with self._lock:
            key, until = self._cached.get(_digest(token), (None, 0.0))
        is_fresh = key is not None and self._clock() < until and key.is_live(datetime.now(UTC))
        return Caller.of(key) if key is not None and is_fresh else None

    def identify(self, token: str, address: str) -> Caller:
        """The caller of a session, looked up; raises ServiceError `session-ended` or `rate-limited`."""
        digest, network = _digest(token), network_of(address)
        with self._lock:
            if digest in self._ended:
                raise _ended()
        if wait := self._misses.wait(network):
            raise ServiceError("rate-limited", "too many unknown sessions came from this address.", wait)
        found = self._sessions.find(token)
        with self._lock:
            self._cached.pop(digest, None)
            if found is not None:
                self._cached[digest] = found.as_key, self._clock() + KEY_SECONDS
            else:
                self._ended[digest] = None
            for held in (self._cached, self._ended):
                if len(held) > _MOST_HELD:
                    held.popitem(last=False)
        if found is None:
            self._misses.take(network)
            raise _ended()
        return Caller.of(found.as_key)

    def end(self, token: str) -> None:
        """End a session, here at once and in other processes within `KEY_SECONDS`."""
        self._sessions.end(token)
        with self._lock:
            self._cached.pop(_digest(token), None)


async def authenticate_session(request: Request, token: str) -> Caller:
    """The caller of this request by its cookie, as `auth.authenticate` by its key.

    A cookie speaks for pages of this service alone, whatever origins may ask with a key: other sites, and
    other ports of this host, which is the same site to a browser, are refused. Raises ServiceError
    `cross-site`, `session-ended`, `rate-limited`.
    """
    gate: Gate = request.app.state.gate
    sessions: SessionGate = request.app.state.sessions
    caller = sessions.cached_caller(token)
    if caller is None:
        if await run_in_threadpool(gate.is_open):
            return await authenticate(request, None)
        caller = await run_in_threadpool(sessions.identify, token, address_of(request))
    refuse_other_sites(request)
    return admitted(request, caller)


def refuse_other_sites(request: Request) -> None:
    """Raise ServiceError `cross-site` for what a browser sends for a page of another origin."""
    if is_cross_site(request):
        raise ServiceError(
            "cross-site",
            "a page of another site sent this with a cookie: only the service's own pages may; programs and "
            "other pages send an API key.",
        )


def _ended() -> ServiceError:
    return ServiceError("session-ended", "the session has ended: sign in again.")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
