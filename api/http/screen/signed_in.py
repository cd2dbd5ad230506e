"""`/app/session`: whether somebody is signed in, for the page that then asks for more or for a key.

`GET /v1/session` answers 401 where nobody is, which a browser writes on its console as a failure of the page.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import authenticate
from medsiglip.api.http.sessions.cookies import token_of
from medsiglip.api.http.sessions.session_gate import authenticate_session

router = APIRouter(include_in_schema=False)


@router.get("/app/session")
async def signed_in(request: Request) -> dict[str, object]:
    """`{"signed_in": bool}`, and in `provider` the name of the OpenID provider by which people may sign in,
    if there is one; other refusals, such as of pages of other sites, as for every route.
    """
    token, signed_in = token_of(request), True
    try:
        if token is None:
            await authenticate(request, None)
        else:
            await authenticate_session(request, token)
    except ServiceError as error:
        if error.code not in ("no-key", "session-ended"):
            raise
        signed_in = False
    settings = request.app.state.server.settings
    provider = {"provider": settings.oidc_name} if settings.oidc_issuer else {}
    return {"signed_in": signed_in, **provider}
