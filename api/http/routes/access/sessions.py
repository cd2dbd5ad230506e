"""`/v1/session`: a browser signs in with an API key, and keeps a cookie instead of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from pydantic import ConfigDict, Field, SecretStr

from medsiglip.answers.access import SessionAnswer
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import ANONYMOUS, Caller, Gate, address_of, admitted
from medsiglip.api.http.routes.dependencies import AnyCaller, ServedArchive
from medsiglip.api.http.schemas import Question
from medsiglip.api.http.sessions.cookies import remove_token, require_private_line, set_token, token_of
from medsiglip.api.http.sessions.session_gate import SessionGate, refuse_other_sites
from medsiglip.index.service.api_keys import SCOPES

router = APIRouter(prefix="/v1/session", tags=["access"])


class SignIn(Question):
    """The key to sign in with; it is neither stored nor logged."""

    model_config = ConfigDict(json_schema_extra={"example": {"key": "msk_0123456789ab_0123"}})

    key: Annotated[SecretStr, Field(min_length=1, max_length=600)]


@router.post("", operation_id="sign_in")
def sign_in(
    request: Request, response: Response, archive: ServedArchive, body: Annotated[SignIn, Body()]
) -> SessionAnswer:
    """Begin a session of this browser, which can do what the key can, until it ends or is ended."""
    refuse_other_sites(request)
    gate: Gate = request.app.state.gate
    shown = body.key.get_secret_value()
    caller = admitted(request, gate.identify(shown, address_of(request)))
    if caller is ANONYMOUS:
        return _answer(caller)
    require_private_line(request)
    sessions: SessionGate = request.app.state.sessions
    key = archive.index.api_keys.find(shown)
    if key is None:
        raise ServiceError("wrong-key", "the API key is unknown, revoked or expired: ask for a new one.")
    former = token_of(request)
    if former is not None:
        sessions.end(former)
    lifetime = timedelta(seconds=request.app.state.server.settings.session_seconds)
    begun, token = archive.index.sessions.begin(key, lifetime)
    auditing.record(request, "sign-in")
    set_token(request, response, token, begun.expires_at)
    return _answer(Caller.of(begun.as_key))


@router.get("", operation_id="get_session")
def get_session(caller: AnyCaller) -> SessionAnswer:
    """Whose the session is, or the key that was sent; 401 `no-key` where nobody is signed in."""
    return _answer(caller)


@router.delete("", operation_id="sign_out", status_code=204)
def sign_out(request: Request, response: Response, _caller: AnyCaller) -> None:
    """End the session of this browser; a request without one ends nothing."""
    token = None if "authorization" in request.headers else token_of(request)
    if token is not None:
        sessions: SessionGate = request.app.state.sessions
        sessions.end(token)
        auditing.record(request, "sign-out")
    remove_token(request, response)


def _answer(caller: Caller) -> SessionAnswer:
    return SessionAnswer(
        key_id=caller.key_id,
        name=caller.name,
        scopes=tuple(scope for scope in SCOPES if scope in caller.scopes),
        expires_at=caller.expires_at,
        open=caller is ANONYMOUS,
    )
