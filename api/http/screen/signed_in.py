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
async def signed_in(request: Request) -> dict[str, bool]:
    """`{"signed_in": bool}`; other refusals, such as of pages of other sites, as for every route."""
    token = token_of(request)
    try:
        if token is None:
            await authenticate(request, None)
        else:
            await authenticate_session(request, token)
    except ServiceError as error:
        if error.code not in ("no-key", "session-ended"):
            raise
        return {"signed_in": False}
    return {"signed_in": True}
