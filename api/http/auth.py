"""Authentication: API keys in `Authorization: Bearer KEY`, and the scopes that a route requires.

While no key was ever made, everybody who can reach the loopback interface may do everything; the server
refuses to listen elsewhere. Pages of other sites in a browser on this machine are kept out by their Host
header, here, and by the headers that browsers add, in `medsiglip.api.http.cross_site`. What a proxy on this
machine passes on from the network is told by the headers that proxies add.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from anyio import CapacityLimiter, fail_after, to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.rate_limits import TokenBuckets
from medsiglip.api.loopback import is_loopback
from medsiglip.api.settings import Settings
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.api_keys import SCOPES, ApiKey, ApiKeys

Scope = Literal["read", "write", "train", "report", "admin"]

# A key is looked up again after this time: for so long a revoked key may still be accepted.
KEY_SECONDS = 2.0
# How long figures wait for the database to say whose key this is; Prometheus itself waits for 10 seconds.
_PATIENCE_SECONDS = 2.0
_WRONG_KEYS_PER_MINUTE = 30
_WRONG_KEYS_AT_ONCE = 20
_CACHED_KEYS = 4096
# What proxies add, besides all that begins with X-Forwarded: RFC 7239, RFC 9110, section 7.6.3, and the
# habits of nginx, Akamai, Cloudflare, Envoy and others.
_FORWARDING = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "x-original-host",
        "x-envoy-external-address",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
    }
)
_bearer = HTTPBearer(auto_error=False, description="an API key, made with `medsiglip keys create`")


@dataclass(frozen=True, slots=True)
class Caller:
    """The key that a request carries, or its session stands for; `anonymous` while there is no key.

    `expires_at` is when the key ends, or the session.
    """

    key_id: str
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None

    @classmethod
    def of(cls, key: ApiKey) -> Caller:
        """The caller of a key."""
        return cls(key.id, key.name, frozenset(key.scopes), key.expires_at)

    def may(self, scope: Scope) -> bool:
        """Whether the caller has a scope; `admin` includes all."""
        return scope in self.scopes or "admin" in self.scopes


ANONYMOUS = Caller("anonymous", "anonymous", frozenset(SCOPES))


class Gate:
    """Checks the keys of one server process, which it caches for `KEY_SECONDS`, and limits request rates."""

    def __init__(
        self, keys: ApiKeys, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: OrderedDict[bytes, tuple[ApiKey, float]] = OrderedDict()
        # Where people sign in at a provider, the service is closed before the first key is made.
        self._any_made = settings.oidc_issuer is not None
        self._open_until = -1.0
        self._requests = TokenBuckets(settings.rate_limit, settings.rate_burst, clock=clock)
        self._wrong = TokenBuckets(_WRONG_KEYS_PER_MINUTE, _WRONG_KEYS_AT_ONCE, clock=clock)

    def limit(self, settings: Settings) -> None:
        """Take over other rates."""
        self._requests.limit(settings.rate_limit, settings.rate_burst)

    def is_open(self) -> bool:
        """Whether no key was ever made; may query the database."""
        with self._lock:
            if self._any_made or self._clock() < self._open_until:
                return not self._any_made
        return not self._query_any_made()

    def cached_caller(self, shown: str | None) -> Caller | None:
        """The caller, if it is known without a query of the database; raises ServiceError `no-key`."""
        now = self._clock()
        with self._lock:
            if not self._any_made:
                return ANONYMOUS if now < self._open_until else None
            if shown is None:
                raise _no_key()
            key, until = self._cached.get(_digest(shown), (None, 0.0))
        return Caller.of(key) if key is not None and now < until and key.is_live(datetime.now(UTC)) else None

    def identify(self, shown: str | None, address: str) -> Caller:
        """The caller, looked up in the database; raises ServiceError `no-key`, `wrong-key` or
        `rate-limited`.
        """
        if not self._any_made and not self._query_any_made():
            return ANONYMOUS
        if shown is None:
            raise _no_key()
        digest, name = _digest(shown), network_of(address)
        wait = 0.0 if digest in self._cached else self._wrong.wait(name)
        if wait:
            raise ServiceError(
                "rate-limited",
                "too many wrong API keys came from this address: wait, and check the key.",
                wait,
            )
        key = self._keys.find(shown)
        with self._lock:
            self._cached.pop(digest, None)
            if key is not None:
                self._cached[digest] = key, self._clock() + KEY_SECONDS
                if len(self._cached) > _CACHED_KEYS:
                    self._cached.popitem(last=False)
        if key is None:
            self._wrong.take(name)
            raise ServiceError("wrong-key", "the API key is unknown, revoked or expired: ask for a new one.")
        return Caller.of(key)

    def last_known(self, shown: str | None) -> Caller | None:
        """The caller as it was when the database last answered; None for one that was never right."""
        with self._lock:
            if not self._any_made:
                return ANONYMOUS if self._open_until > 0 else None
            if shown is None:
                raise _no_key()
            key, _ = self._cached.get(_digest(shown), (None, 0.0))
        return Caller.of(key) if key is not None and key.is_live(datetime.now(UTC)) else None

    def admit(self, caller: Caller) -> None:
        """Count a request of the caller; raises ServiceError `rate-limited`."""
        wait = self._requests.take(caller.key_id)
        if wait:
            raise ServiceError(
                "rate-limited",
                f"the key {caller.name!r} exceeds its rate limit: wait before the next request.",
                wait,
            )

    def _query_any_made(self) -> bool:
        made = self._keys.any_made()
        with self._lock:
            # Rows of keys are never deleted.
            self._any_made = self._any_made or made
            self._open_until = self._clock() + KEY_SECONDS
        return made


def open_gate(app: FastAPI, keys: ApiKeys, settings: Settings) -> None:
    """Put the application's `Gate` where `requires` finds it."""
    app.state.gate = Gate(keys, settings)


def requires(scope: Scope) -> Callable[..., object]:
    """A dependency that returns the `Caller`, if it has `scope`.

    Raises ServiceError `no-key`, `wrong-key`, `missing-scope`, `rate-limited`; while no key was ever made
    `foreign-host`, `forwarded`.
    """

    return _checker(scope, authenticate)


def requires_if_known(scope: Scope) -> Callable[..., object]:
    """As `requires`; while the database does not answer, a caller that it knew is let through, so that what
    watches the service sees the outage. For figures alone: a key may have been revoked meanwhile.
    """
    return _checker(scope, _authenticate_as_last_known)


async def any_caller(
    request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    """A dependency that returns the `Caller` of a route below `/v1`, whatever its scopes."""
    caller: Caller = request.state.caller
    return caller


def _checker(
    scope: Scope, authenticate: Callable[[Request, str | None], Awaitable[Caller]]
) -> Callable[..., object]:
    async def check(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        caller = getattr(request.state, "caller", None)
        if caller is None:
            caller = await authenticate(request, None if credentials is None else credentials.credentials)
        if not caller.may(scope):
            raise ServiceError(
                "missing-scope",
                f"the key {caller.name!r} lacks the scope {scope}: ask the administrator for a key with it.",
            )
        return caller

    check.required_scope = scope  # type: ignore[attr-defined]
    return check


async def authenticate(request: Request, shown: str | None) -> Caller:
    """The caller of this request, stored at `request.state.caller` and counted; raises as `requires` does."""
    gate: Gate = request.app.state.gate
    caller = gate.cached_caller(shown)
    if caller is None:
        caller = await run_in_threadpool(gate.identify, shown, address_of(request))
    return admitted(request, caller)


async def _authenticate_as_last_known(request: Request, shown: str | None) -> Caller:
    gate: Gate = request.app.state.gate
    caller = gate.cached_caller(shown)
    if caller is None:
        limiter: CapacityLimiter = request.app.state.identifications
        try:
            with fail_after(_PATIENCE_SECONDS):
                caller = await to_thread.run_sync(
                    gate.identify, shown, address_of(request), limiter=limiter, abandon_on_cancel=True
                )
        except (TimeoutError, CatalogError) as error:
            caller = gate.last_known(shown)
            if caller is None and isinstance(error, CatalogError):
                raise
            if caller is None:
                message = "the database, which knows the keys, does not answer: try again later."
                raise ServiceError("database-unreachable", message) from None
    return admitted(request, caller)


def address_of(request: Request) -> str:
    """The address that a request came from, as far as proxies are believed; empty if unknown."""
    return request.client.host if request.client else ""


def admitted(request: Request, caller: Caller) -> Caller:
    """The caller of this request, stored at `request.state.caller` and counted; raises ServiceError
    `rate-limited`, `foreign-host`, `forwarded`.
    """
    gate: Gate = request.app.state.gate
    request.state.caller = caller
    if caller is ANONYMOUS:
        refuse_foreign_host(request)
        refuse_forwarded(request)
    gate.admit(caller)
    return caller


def refuse_foreign_host(request: Request) -> None:
    """Refuse pages of a host name that was pointed at 127.0.0.1 (DNS rebinding), while there is no key.

    To the browser they belong to this site, but the Host header has their name. Raises ServiceError
    `foreign-host`.
    """
    if not is_loopback(name_of(request.headers.get("host", ""))):
        raise ServiceError(
            "foreign-host",
            "without any API key this service answers to localhost, 127.0.0.1 and [::1] only: ask by one of "
            "these names, or make a key with `medsiglip keys create`.",
        )


def refuse_forwarded(request: Request) -> None:
    """Refuse what a proxy on this machine passes on from elsewhere, while there is no key.

    Such a request comes from the loopback interface, and often with its name as the Host (nginx's default).
    Where a proxy is configured, all addresses in X-Forwarded-For must be this machine's own.
    Raises ServiceError `forwarded`.
    """
    names = {name.lower() for name in request.headers}
    is_forwarded = not names.isdisjoint(_FORWARDING) or any(name.startswith("x-forwarded") for name in names)
    given = ",".join(request.headers.getlist("x-forwarded-for"))
    senders = [address_of(request), *(one.strip() for one in given.split(","))]
    if is_forwarded and not (proxies_are_configured() and all(map(is_loopback, senders))):
        raise ServiceError(
            "forwarded",
            "a proxy passed this request on, and without any API key this service answers to its own machine "
            "only: make a key with `medsiglip keys create` before you put a proxy in front of it.",
        )


def proxies_are_configured() -> bool:
    """Whether the environment names proxies whose word about addresses is taken."""
    return bool(os.environ.get("FORWARDED_ALLOW_IPS"))


def name_of(host: str) -> str:
    """The name or address in a Host header, without its port; empty if it has none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _no_key() -> ServiceError:
    return ServiceError(
        "no-key", "send an API key in the header Authorization: Bearer KEY; a browser signs in at /app/."
    )


def _digest(shown: str) -> bytes:
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest()


def network_of(address: str) -> str:
    """The network that wrong keys are counted by: one user gets a whole /64 network of IPv6 (RFC 6177)."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
