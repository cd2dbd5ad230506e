"""Errors over HTTP: `application/problem+json` (RFC 9457) with a stable `code`.

One table maps codes to statuses. Another code is 422 if the caller can act on the error, and 500 without any
detail if it is a defect of the service.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from http import HTTPStatus
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from medsiglip.api.errors import ServiceError, explain
from medsiglip.api.http.request_log import request_id
from medsiglip.errors import ModelError
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.ingest.errors import IngestError
from medsiglip.medgemma.errors import ConcernsError, DraftError

MEDIA_TYPE = "application/problem+json"
STATUSES = {
    "no-key": 401,
    "wrong-key": 401,
    "wrong-token": 401,
    "session-ended": 401,
    "no-access": 403,
    "insecure-sign-in": 403,
    "missing-scope": 403,
    "foreign-host": 403,
    "forwarded": 403,
    "cross-site": 403,
    "path-not-allowed": 403,
    "burned-in": 403,
    "unknown-study": 404,
    "unknown-model": 404,
    "unknown-image": 404,
    "unknown-series": 404,
    "unknown-instance": 404,
    "unknown-frame": 404,
    "unknown-bulk-data": 404,
    "no-viewer": 404,
    "unknown-viewer": 404,
    "instance-gone": 410,
    "unknown-patient": 404,
    "unknown-job": 404,
    "nothing-to-undo": 409,
    "unknown-key": 404,
    "unknown-view": 404,
    "unknown-collection": 404,
    "too-many-collections": 409,
    "too-many-views": 409,
    "unknown-calibration": 404,
    "no-map": 404,
    "unknown-map": 404,
    "map-gone": 409,
    "unknown-probe": 404,
    "unknown-space": 404,
    "space-in-use": 409,
    "space-needed": 409,
    "changed-meanwhile": 409,
    "space-switched": 409,
    "space-dropped": 409,
    "no-evaluation": 409,
    "not-retryable": 409,
    "unknown-draft": 404,
    "unknown-route": 404,
    "not-found": 404,
    "draft-changed": 409,
    "draft-settled": 409,
    "draft-rejected": 409,
    "draft-concerns": 409,
    "font-missing": 409,
    "draft-incomplete": 409,
    "route-changed": 409,
    "no-space": 409,
    "no-archive": 409,
    "other-catalogue": 503,
    "older-catalogue": 503,
    "older-home": 503,
    "space-mismatch": 409,
    "upload-too-large": 413,
    "body-too-large": 413,
    "wrong-content-type": 415,
    "not-acceptable": 406,
    "bad-multipart": 400,
    "bad-json": 400,
    "bad-dicomweb-query": 400,
    "upload-incomplete": 400,
    "body-incomplete": 400,
    "upload-too-slow": 408,
    "body-too-slow": 408,
    "too-many-files": 413,
    "too-busy": 429,
    "rate-limited": 429,
    "unknown-pacs": 404,
    "not-accepted": 409,
    "report-superseded": 409,
    "strict-home": 409,
    "pacs-secrets": 403,
    "too-many-pacs": 409,
    "pacs-unreachable": 424,
    "pacs-refused": 424,
    "pacs-certificate": 424,
    "pacs-timeout": 424,
    "pacs-failed": 424,
    "pacs-bad-answer": 424,
    "catalog-busy": 503,
    "key-rotated": 503,
    "database-read-only": 503,
    "database-refused": 503,
    "database-unreachable": 503,
    "bad-engine": 503,
    "engine-refused": 503,
    "engine-unreachable": 503,
    "no-pgvector": 503,
    "bad-object-url": 503,
    "no-object-client": 503,
    "object-exists": 503,
    "object-store-refused": 503,
    "object-store-unreachable": 503,
    "other-object-store": 503,
    "versions-remain": 503,
    "wrong-engine": 503,
    "too-many-connections": 503,
    "encoder-restarting": 503,
    "worker-start-failed": 503,
    "out-of-memory": 503,
    "shutting-down": 503,
    "provider-unreachable": 503,
    "wrong-provider": 503,
    "disk-full": 507,
}
_ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_IN_LOG = ": the administrator finds the reason in the log"
# Errors that only the administrator can fix: their own messages, which name folders and databases, go to the
# log.
ADMINISTRATOR_PROBLEMS = {
    "catalog-busy": "the catalogue is busy: try again",
    "database-read-only": f"the service's database takes no changes now{_IN_LOG}",
    "database-refused": f"the database refuses the service{_IN_LOG}",
    "database-unreachable": "the database does not answer: try again later",
    "too-many-connections": "the database has no connection left: try again later",
    "bad-engine": f"the service cannot use its vector engine{_IN_LOG}",
    "engine-refused": f"the vector engine refuses the service{_IN_LOG}",
    "engine-unreachable": "the vector engine does not answer: try again later",
    "no-pgvector": f"the service cannot use its vector engine{_IN_LOG}",
    "wrong-engine": f"the vector engine is not that of the service's archive{_IN_LOG}",
    "bad-object-url": f"the service cannot use its object store{_IN_LOG}",
    "no-object-client": f"the service cannot use its object store{_IN_LOG}",
    "object-exists": f"the object store holds something else{_IN_LOG}",
    "object-store-refused": f"the object store refuses the service{_IN_LOG}",
    "object-store-unreachable": "the object store does not answer: try again later",
    "other-object-store": f"the object store is not that of the service's archive{_IN_LOG}",
    "versions-remain": "the archive holds none of this any more, but its object store keeps versions"
    f"{_IN_LOG}",
    "disk-full": "the service's disk is full: the administrator must free some space",
    "disk-error": f"the service's disk failed{_IN_LOG}",
    "read-only-home": f"the service's archive cannot be written{_IN_LOG}",
    "no-permission": f"the service may not use a file of its own{_IN_LOG}",
    "catalog-corrupt": f"the service's archive is damaged{_IN_LOG}",
    "other-catalogue": f"the service's database is not its own{_IN_LOG}",
    "older-home": f"the service's archive is of another version{_IN_LOG}",
    "older-catalogue": f"the service's database is an older one{_IN_LOG}",
    "not-a-catalog": f"the service's archive is damaged{_IN_LOG}",
    "missing-shard": f"the service's archive is damaged{_IN_LOG}",
    "newer-shard": f"the service's archive is of another version{_IN_LOG}",
    "corrupt-shard": f"the service's archive is damaged{_IN_LOG}",
}
_log = logging.getLogger("medsiglip.http")


def problem(
    status: int, code: str, detail: str, *, retry_after: float | None = None, **members: Any
) -> JSONResponse:
    """The response; `members` are extension members (RFC 9457, section 3.2)."""
    headers = {} if retry_after is None else {"Retry-After": str(max(1, ceil(retry_after)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, section 15.5.2, and RFC 6750, section 3
    if status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is not read (RFC 9110, section 15.5.9)
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code}
    if (known := request_id.get()) is not None:
        members["request_id"] = known
    errors = members.get("errors")
    members["error"] = error_member(status, code, detail, errors[0]["field"] if errors else None)
    return JSONResponse({**body, "detail": detail, **members}, status, headers, MEDIA_TYPE)


def error_member(status: int, code: str, detail: str, field: str | None = None) -> dict[str, str | None]:
    """The member that clients of OpenAI's API read instead of those of RFC 9457.

    `param` is the field of the body or the query that is wrong, if it is one.
    """
    kind = "server_error" if status >= 500 else _ERROR_TYPES.get(status, "invalid_request_error")
    return {"message": detail, "type": kind, "param": field, "code": code}


def problem_of(error: Exception) -> JSONResponse:
    """The response to an error that a route raised; an error that no caller can act on is only logged."""
    explanation = explain(error)
    # An OSError here is a defect of the service: paths that clients name were checked before.
    is_defect = (
        isinstance(error, OSError)
        and explanation is not None
        and explanation.code not in ADMINISTRATOR_PROBLEMS
    )
    if explanation is None or is_defect:
        _log.exception("a request failed", exc_info=error)
        return problem(
            500, "unexpected", "The service failed; its log has the reason under this request's id."
        )
    detail = explanation.message
    if explanation.code in ADMINISTRATOR_PROBLEMS:
        detail = ADMINISTRATOR_PROBLEMS[explanation.code] + "."
        # What a server of a database says of itself quotes no row, and the administrator needs it.
        is_server = explanation.code in OUTAGES or explanation.code == "database-refused"
        said = f"{explanation.message} ({explanation.code})" if is_server else explanation.code
        _log.error("%s", said, exc_info=error)
    status = STATUSES.get(explanation.code, 500 if explanation.code in ADMINISTRATOR_PROBLEMS else 422)
    wait = getattr(error, "retry_after", None) or (1.0 if status in (429, 503) else None)
    members = {"concerns": list(map(asdict, error.concerns))} if isinstance(error, ConcernsError) else {}
    return problem(status, explanation.code, detail, retry_after=wait, **members)


def _methods(request: Request) -> list[str]:
    """The methods of the path (RFC 9110, section 10.2.1)."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    path = request.url.path
    found = [item for template, item in paths.items() if compile_path(template)[0].fullmatch(path)]
    methods = {method.upper() for item in found[:1] for method in item}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
        first = errors[0] if errors else {"field": "request", "message": "cannot be read"}
        return problem(422, "bad-request", f"{first['field']}: {first['message']}.", errors=errors)

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, ServiceError):  # of a body (medsiglip.api.http.messages.body_limit)
            return problem_of(error.__cause__)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        answer = problem(error.status_code, code, str(error.detail))
        answer.headers.update(error.headers or {})
        if error.status_code == 405:  # the router names the methods of the first route of a path alone
            answer.headers["Allow"] = ", ".join(_methods(request))
        return answer

    async def expected(_request: Request, error: Exception) -> JSONResponse:
        return problem_of(error)

    # One by one: starlette raises an error again, into the server's log, after the handler of Exception.
    for kind in (ServiceError, CatalogError, IngestError, DraftError, ModelError, OSError, MemoryError):
        app.add_exception_handler(kind, expected)

    @app.exception_handler(Exception)
    def failed(_request: Request, error: Exception) -> JSONResponse:
        return problem_of(error)
