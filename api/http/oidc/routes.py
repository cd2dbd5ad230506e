"""`/app/session/oidc`: a browser goes to the provider, and comes back signed in.

Both answer with a redirect, since a person sees them: to the provider, to the screen, or to the page that
signs in, with the code of what went wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.audit_trail import checked_action
from medsiglip.api.errors import ServiceError, explain
from medsiglip.api.http.auth import address_of, network_of
from medsiglip.api.http.oidc.attempt import Attempt, Attempts, remove_cookie, set_cookie
from medsiglip.api.http.oidc.bearer import BearerGate
from medsiglip.api.http.oidc.configuration import OidcConfiguration, oidc_configuration
from medsiglip.api.http.oidc.provider import Provider
from medsiglip.api.http.oidc.tokens import TokenCheck, no_access, refused
from medsiglip.api.http.rate_limits import TokenBuckets
from medsiglip.api.http.sessions.cookies import put_token, token_of
from medsiglip.api.http.sessions.session_gate import SessionGate
from medsiglip.index.service.audit_log import AuditEvent

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.index.service.api_keys import ApiKey

SIGN_IN = "/app/session/oidc"
_SCREEN = "/app/"
_BEGUN_PER_MINUTE = 120
_BEGUN_AT_ONCE = 60
_AT_ONCE = 8
"""Sign-ins that may wait for the provider in a thread: the other threads are for those who have a key."""
_MOST_WAITING = 100
_LONGEST_CODE = 4096
_log = logging.getLogger("medsiglip.service")
router = APIRouter(include_in_schema=False)


class OidcSignIn:
    """What a server process knows of signing in at its provider."""

    def __init__(self, configuration: OidcConfiguration) -> None:
        self.configuration = configuration
        self.provider = Provider(configuration)
        self.check = TokenCheck(configuration, self.provider)
        self.attempts = Attempts()
        self.begun = TokenBuckets(_BEGUN_PER_MINUTE, _BEGUN_AT_ONCE)
        self.returned = TokenBuckets(_BEGUN_PER_MINUTE, _BEGUN_AT_ONCE)
        self.limiter = CapacityLimiter(_AT_ONCE)


def open_oidc(app: FastAPI, archive: Archive, settings: Settings) -> None:
    """Put what signs people in where the routes find it; raises ServiceError as `oidc_configuration`."""
    configuration = oidc_configuration(settings)
    app.state.oidc = None if configuration is None else OidcSignIn(configuration)
    app.state.bearer = None
    if configuration is not None and configuration.audience is not None:
        app.state.bearer = BearerGate(configuration, app.state.oidc.check, archive.index.people)


@router.get(SIGN_IN)
async def begin(request: Request) -> Response:
    """Send the browser to the provider, with a cookie that its return must fit."""
    return await _apart(request, lambda: _sent(request))


def _sent(request: Request) -> Response:
    try:
        oidc = _oidc(request)
        _limit(request, oidc.begun)
        known, own = oidc.provider.known(), oidc.configuration
    except ServiceError as error:
        return _back(request, error)
    attempt = Attempt.begin(oidc.attempts.clock())
    query = urlencode(
        {
            "response_type": "code",
            "client_id": own.client_id,
            "redirect_uri": own.redirect_uri,
            "scope": own.request,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
    )
    joint = "&" if "?" in known.authorization_endpoint else "?"
    answer = RedirectResponse(f"{known.authorization_endpoint}{joint}{query}", status_code=303)
    set_cookie(answer, attempt, secure=own.is_secure)
    return answer


@router.get(f"{SIGN_IN}/callback")
async def callback(
    request: Request, state: str = "", code: str = "", error: str | None = None, iss: str | None = None
) -> Response:
    """Begin the session of the person whom the provider sent back."""
    return await _apart(request, lambda: _taken(request, state=state, code=code, error=error, iss=iss))


async def _apart(request: Request, answer: Callable[[], Response]) -> Response:
    """An answer that may take as long as the provider does, in one of a few threads."""
    oidc: OidcSignIn | None = request.app.state.oidc
    if oidc is None:
        return answer()
    if oidc.limiter.statistics().tasks_waiting >= _MOST_WAITING:
        return _back(request, ServiceError("rate-limited", "too many people sign in at once.", 10.0))
    return await to_thread.run_sync(answer, limiter=oidc.limiter)


def _limit(request: Request, buckets: TokenBuckets) -> None:
    if wait := buckets.take(network_of(address_of(request))):
        raise ServiceError("rate-limited", "too many sign-ins came from this address.", wait)


def _taken(request: Request, *, state: str, code: str, error: str | None, iss: str | None) -> Response:
    found: OidcSignIn | None = request.app.state.oidc
    try:
        oidc = _oidc(request)
        _limit(request, oidc.returned)
        person = _returned(request, oidc, state=state, code=code, error=error, iss=iss)
        answer = _begun(request, person, oidc.configuration)
    except Exception as failure:
        if explain(failure) is None:
            raise
        answer = _back(request, failure)
    if found is not None:
        remove_cookie(answer, secure=found.configuration.is_secure)
    return answer


def _oidc(request: Request) -> OidcSignIn:
    oidc: OidcSignIn | None = request.app.state.oidc
    if oidc is None:
        raise ServiceError("no-provider", "people sign in here with an API key: set oidc_issuer for more.")
    return oidc


def _returned(
    request: Request, oidc: OidcSignIn, *, state: str, code: str, error: str | None, iss: str | None
) -> ApiKey:
    own = oidc.configuration
    attempt = oidc.attempts.returned(request, state, secure=own.is_secure)
    if error is not None or not 0 < len(code) <= _LONGEST_CODE:
        raise ServiceError("sign-in-refused", "the provider signed nobody in: try again, or ask there.")
    # Which provider answers, where several share a browser (RFC 9207, section 2.4).
    if (iss is not None or oidc.provider.known().names_itself) and iss != own.issuer:
        raise refused("sign-in-refused", "was announced by another provider")
    token = oidc.provider.tokens(code, attempt.verifier)
    person = oidc.check.id_token(token, attempt.nonce)
    people = request.app.state.server.archive.index.people
    if not person.scopes:
        people.lost_access(own.issuer, person.subject)
        raise no_access()
    found: ApiKey | None = people.met(own.issuer, person.subject, person.name, person.scopes, signs_in=True)
    if found is None:
        raise ServiceError("no-access", "an administrator of this service has shut you out: ask there.")
    return found


def _begun(request: Request, person: ApiKey, own: OidcConfiguration) -> Response:
    server, sessions = request.app.state.server, request.app.state.sessions
    index = server.archive.index
    _end_former(request, sessions)
    begun, token = index.sessions.begin(person, timedelta(seconds=server.settings.session_seconds))
    event = AuditEvent(
        actor=person.id,
        action=checked_action("sign-in"),
        details={"by": "oidc", "scopes": list(person.scopes)},
        request_id=getattr(request.state, "request_id", None),
    )
    index.audit.append([event])
    answer = RedirectResponse(own.public_url + _SCREEN, status_code=303)
    put_token(answer, token, begun.expires_at, secure=own.is_secure)
    return answer


def _end_former(request: Request, sessions: SessionGate) -> None:
    """A session before this one, which a browser sends on only if the provider is of the same site."""
    former = token_of(request)
    if former is not None:
        sessions.end(former)


def _back(request: Request, error: Exception) -> Response:
    """To the page that signs in, which has a sentence for each code."""
    oidc: OidcSignIn | None = request.app.state.oidc
    screen = _SCREEN if oidc is None else oidc.configuration.public_url + _SCREEN
    explained = explain(error)
    code = "error" if explained is None else explained.code
    _log.warning("nobody was signed in: %s", code if explained is None else explained.message)
    return RedirectResponse(f"{screen}?{urlencode({'sign-in': code})}", status_code=303)
