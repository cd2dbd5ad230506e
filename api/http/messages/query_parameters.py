"""Refusal of query parameters that a route does not know, as unknown fields of bodies are refused: a filter
that is misspelt would otherwise be left out in silence.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

_PREFIX = "/v1/"


async def known_query(request: Request) -> None:
    """A dependency of routes below `/v1`, which know the query parameters that they or their dependencies
    declare.

    Raises RequestValidationError, as for an unknown field of a body.
    """
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute) or not route.path.startswith(_PREFIX):
        return
    known = _query_names(route.dependant)
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        # The type and the words of pydantic.
        extra = {"type": "extra_forbidden", "msg": "Extra inputs are not permitted"}
        raise RequestValidationError([{**extra, "loc": ("query", name)} for name in unknown])


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_query_names, dependant.dependencies))
