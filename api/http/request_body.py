"""Requests that come as a JSON object or, with files, as a form: read into the same model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.uploads import Received, receive_form

_BY_COMMAS = ("labels",)
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Model]):
    """A request: its fields, and the files that came with it, if it was a form."""

    fields: Model
    files: Sequence[Path] = ()
    received: Received | None = None

    @property
    def folder(self) -> Path | None:
        """Where the files lie."""
        return None if self.received is None else self.received.folder


@asynccontextmanager
async def asked(
    request: Request, model: type[Model], *, others: tuple[str, ...] = ()
) -> AsyncIterator[Asked[Model]]:
    """The request as `model`: of a JSON object, or of the fields of a form, whose files are gone afterwards
    unless they are kept. `others` are fields of a form that may hold a file besides `file`.

    Raises what `receive_form` raises, `bad-json`, and RequestValidationError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with receive_form(request, others=others) as received:
            yield Asked(_of_form(model, received.fields), received.files, received)
        return
    if kind != "application/json":
        raise ServiceError(
            "wrong-content-type",
            "the body must be JSON (application/json) or, with files, a form (multipart/form-data).",
        )
    try:
        fields = model.model_validate_json(await request.body())
    except ValidationError as error:
        raise _invalid(error) from None
    yield Asked(fields)


def _of_form(model: type[Model], fields: Mapping[str, list[str]]) -> Model:
    """Repeated fields are lists, and so are those with commas where the model has a list."""
    values: dict[str, Any] = {}
    for name, given in fields.items():
        known = model.model_fields.get(name)
        if known is not None and _is_list(known.annotation):
            by_commas = name in _BY_COMMAS
            parts = [part for value in given for part in (value.split(",") if by_commas else [value])]
            values[name] = [part.strip() for part in parts if part.strip()] if by_commas else parts
        elif len(given) == 1:
            values[name] = given[0]
        else:
            values[name] = given
    try:
        return model.model_validate(values, strict=False)
    except ValidationError as error:
        raise _invalid(error) from None


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_is_list(one) for one in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _is_list(annotation.__origin__)
    return get_origin(annotation) is list


def _invalid(error: ValidationError) -> RequestValidationError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found])


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "the client's own id of this request, for the answer and the log: at most 64 letters, "
    "digits and `._-`, or it gets another",
    "schema": {"type": "string"},
}


def described(model: type[BaseModel], *, files: str | None, others: Mapping[str, str] | None = None) -> Any:
    """`openapi_extra` of a route that reads `model` by `asked`; `files` says what the field `file` holds."""
    whole = model.model_json_schema()
    schema: dict[str, Any] = _inlined(whole, whole.pop("$defs", {}))
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if files is not None:
        binary = {"type": "string", "format": "binary"}
        properties = {name: _in_form(name, one) for name, one in schema["properties"].items()}
        properties["file"] = {"type": "array", "items": binary, "description": files}
        for name, meaning in (others or {}).items():
            properties[name] = {**binary, "description": meaning}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": properties}}
    # Told here for a reason beside its own: openapi-python-client (0.28 to 0.29) forgets an import for a body
    # of two kinds unless some parameter is optional.
    return {"requestBody": {"required": True, "content": content}, "parameters": [_REQUEST_ID]}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


def _in_form(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    if name in _BY_COMMAS:
        return {"type": "string", "description": "separated by commas"}
    return {key: value for key, value in schema.items() if key != "default"}
