"""What the OpenID provider says: its addresses, its keys, and the tokens that a code stands for.

OpenID Connect Discovery 1.0, sections 3 and 4; RFC 7517; OpenID Connect Core 1.0, section 3.1.3. Answers are
bounded, redirects are not followed, and all its addresses are reached by TLS where the issuer is.
"""

from __future__ import annotations

import json
import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.oidc.configuration import OidcConfiguration
from medsiglip.api.loopback import is_loopback

if TYPE_CHECKING:
    import httpx

FRESH_SECONDS = 600.0
"""How long keys are used before they are asked for again: for so long a withdrawn one may still sign."""
USABLE_SECONDS = 3600.0
"""How long keys are used while the provider does not answer."""
PAUSE_SECONDS = 10.0
"""The shortest time between two questions for keys, whatever keys tokens name."""
_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 1 << 20
_DISCOVERY = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Known:
    """The provider's addresses and keys, as JSON Web Keys, and when they were asked for."""

    authorization_endpoint: str
    token_endpoint: str
    secret_in_body: bool
    names_itself: bool
    keys: tuple[Mapping[str, Any], ...]
    asked_at: float


class Provider:
    """One provider, for one server process; safe for several threads."""

    def __init__(
        self, configuration: OidcConfiguration, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._configuration = configuration
        self._clock = clock
        self._known: Known | None = None
        self._failed_at = -math.inf
        self._asking = threading.Lock()

    def known(self, *, key_id: str | None = None) -> Known:
        """Addresses and keys, asked for again when they are old, or hold no key of that id.

        Raises ServiceError `provider-unreachable`, `wrong-provider`.
        """
        known = self._known
        if known is not None and self._is_enough(known, key_id):
            return known
        # Whoever is unknown can come here, so nobody waits in a thread for another's question.
        if not self._asking.acquire(blocking=False):
            if known is None or not self._is_usable(known):
                raise _unreachable("another request still waits for it")
            return known
        try:
            known = self._known
            if known is not None and self._is_enough(known, key_id):
                return known
            return self._asked_again(known)
        finally:
            self._asking.release()

    def tokens(self, code: str, verifier: str) -> str:
        """The ID token that a code stands for, unchecked (OpenID Connect Core 1.0, section 3.1.3; RFC 7636).

        Raises ServiceError `sign-in-refused`, `provider-unreachable`, `wrong-provider`.
        """
        known, own = self.known(), self._configuration
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": own.redirect_uri,
            "code_verifier": verifier,
        }
        basic = None
        if own.secret is None:
            form["client_id"] = own.client_id
        elif known.secret_in_body:
            form |= {"client_id": own.client_id, "client_secret": own.secret}
        else:
            basic = quote(own.client_id, safe=""), quote(own.secret, safe="")
        status, answer = self._exchange("POST", known.token_endpoint, form=form, basic=basic)
        if status >= 500:
            raise _unreachable(f"it answered {status}")
        found = answer.get("id_token") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(found, str):
            raise ServiceError(
                "sign-in-refused",
                "the provider did not take the code that the browser brought, which is good for one sign-in: "
                "sign in again.",
            )
        return found

    def _is_enough(self, known: Known, key_id: str | None) -> bool:
        now = self._clock()
        if not self._is_usable(known):
            return False
        has_key = key_id is None or any(one.get("kid") == key_id for one in known.keys)
        is_fresh = has_key and now - known.asked_at < FRESH_SECONDS
        return is_fresh or now - max(known.asked_at, self._failed_at) < PAUSE_SECONDS

    def _is_usable(self, known: Known) -> bool:
        return self._clock() - known.asked_at < USABLE_SECONDS

    def _asked_again(self, former: Known | None) -> Known:
        usable = former is not None and self._is_usable(former)
        if not usable and self._clock() - self._failed_at < PAUSE_SECONDS:
            raise _unreachable("nor did it a moment ago")
        try:
            self._known = found = self._ask()
        except ServiceError:
            self._failed_at = self._clock()
            if former is None or not usable:
                raise
            return former
        return found

    def _ask(self) -> Known:
        issuer = self._configuration.issuer
        found = self._json(issuer.rstrip("/") + _DISCOVERY)
        if found.get("issuer") != issuer:
            raise ServiceError(
                "wrong-provider",
                "the provider calls itself otherwise than oidc_issuer: set it as its tokens name it, to the "
                "last slash.",
            )
        keys = self._json(self._address(found, "jwks_uri")).get("keys")
        if not isinstance(keys, list):
            raise _wrong("jwks_uri")
        ways = found.get("token_endpoint_auth_methods_supported")
        return Known(
            authorization_endpoint=self._address(found, "authorization_endpoint"),
            token_endpoint=self._address(found, "token_endpoint"),
            secret_in_body=isinstance(ways, list) and "client_secret_basic" not in ways,
            names_itself=found.get("authorization_response_iss_parameter_supported") is True,
            keys=tuple(one for one in keys if isinstance(one, dict)),
            asked_at=self._clock(),
        )

    def _address(self, found: Mapping[str, Any], name: str) -> str:
        value = found.get(name)
        if not isinstance(value, str):
            raise _wrong(name)
        try:
            parts = urlsplit(value)
            host = parts.hostname
        except ValueError:
            raise _wrong(name) from None
        plain_is_enough = self._configuration.issuer.startswith("http://") and is_loopback(host or "")
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and plain_is_enough)):
            raise _wrong(name)
        return value

    def _json(self, url: str) -> dict[str, Any]:
        status, answer = self._exchange("GET", url)
        if status != 200 or not isinstance(answer, dict):
            raise _unreachable(f"it answered {status} without what was asked for")
        return answer

    def _exchange(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, Any]:
        import httpx

        body = None if form is None else urlencode(form).encode()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            with (
                httpx.Client(verify=_trusted(), timeout=_TIMEOUT_SECONDS, trust_env=False) as client,
                client.stream(method, url, content=body, headers=headers, auth=basic) as response,
            ):
                content = _bounded(response)
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _unreachable(type(error).__name__) from None
        try:
            return status, json.loads(content)
        except (ValueError, RecursionError):
            return status, None


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that this machine trusts; reading them takes longer than asking."""
    return ssl.create_default_context()


def _bounded(response: httpx.Response) -> bytes:
    """The body, of at most 1 MiB, within a time that a slow sender cannot stretch."""
    content, until = b"", time.monotonic() + _TIMEOUT_SECONDS
    for piece in response.iter_bytes(65536):
        content += piece
        if len(content) > _MOST_BYTES or time.monotonic() > until:
            raise OSError
    return content


def _unreachable(reason: str) -> ServiceError:
    return ServiceError(
        "provider-unreachable",
        f"the provider by which people sign in does not answer ({reason}): try again, or sign in with an API "
        "key.",
        PAUSE_SECONDS,
    )


def _wrong(name: str) -> ServiceError:
    return ServiceError(
        "wrong-provider", f"the provider's {name} is not one that this service can use: look at its set-up."
    )
