"""One browser's way to the provider and back.

A random secret in a cookie, good for ten minutes and one return, gives by HMAC what must fit at the end: the
`state` of the address (RFC 6749, section 10.12), the `nonce` of the ID token (OpenID Connect Core 1.0,
section 15.5.2) and the verifier of the code (PKCE, RFC 7636). The service keeps nothing of those who never
return.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_urlsafe

from fastapi import Request, Response

from medsiglip.api.errors import ServiceError

LIFETIME_SECONDS = 600
_PLAIN, _SECURE = "medsiglip_oidc", "__Host-medsiglip_oidc"
_VALUE = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})", re.ASCII)
_MOST_USED = 10_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one browser went to the provider with; `begun_at` in seconds since 1970."""

    secret: str = field(repr=False)
    begun_at: int

    @classmethod
    def begin(cls, now: float) -> Attempt:
        """A new attempt."""
        return cls(token_urlsafe(32), int(now))

    @property
    def state(self) -> str:
        """What the provider gives back with the code."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the ID token must hold."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What shows that the code was asked for by this browser's attempt: 43 characters."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier at first (S256)."""
        return _base64(hashlib.sha256(self.verifier.encode()).digest())

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        return f"{self.secret}.{self.begun_at}"

    def _derived(self, purpose: str) -> str:
        message = f"{purpose}\0{self.begun_at}".encode()
        return _base64(hmac.new(self.secret.encode(), message, hashlib.sha256).digest())


class Attempts:
    """Which attempts have returned to this process: each may once."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def returned(self, request: Request, state: str, *, secure: bool) -> Attempt:
        """The attempt that this browser began and that `state` is of.

        Raises ServiceError `sign-in-lost`: another browser's, an old one, or one that has returned before.
        """
        value = _VALUE.fullmatch(request.cookies.get(_SECURE if secure else _PLAIN, ""))
        if value is None:
            raise _lost("this browser began no sign-in, or began it more than ten minutes ago")
        attempt = Attempt(value[1], int(value[2]))
        if not hmac.compare_digest(attempt.state.encode(), state.encode("utf-8", "surrogatepass")):
            raise _lost("the answer is of a sign-in that this browser did not begin")
        if not 0 <= self.clock() - attempt.begun_at <= LIFETIME_SECONDS:
            raise _lost("it began more than ten minutes ago")
        with self._lock:
            if attempt.state in self._used:
                raise _lost("it has been used")
            self._used[attempt.state] = None
            if len(self._used) > _MOST_USED:
                self._used.popitem(last=False)
        return attempt


def set_cookie(response: Response, attempt: Attempt, *, secure: bool) -> None:
    """Give a browser its attempt. The provider's page leads back here, so it is sent with links (Lax)."""
    response.set_cookie(
        _SECURE if secure else _PLAIN,
        attempt.cookie,
        max_age=LIFETIME_SECONDS,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def remove_cookie(response: Response, *, secure: bool) -> None:
    """Have a browser forget its attempt."""
    response.delete_cookie(
        _SECURE if secure else _PLAIN, path="/", secure=secure, httponly=True, samesite="lax"
    )


def _base64(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def _lost(why: str) -> ServiceError:
    return ServiceError("sign-in-lost", f"the sign-in cannot be finished, for {why}: sign in again.")
