"""Request bodies that are a JSON object or, with files, a form: both are read into the same model."""

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
from medsiglip.api.http.multipart import Received
from medsiglip.api.http.uploads import receive_form

_COMMA_SEPARATED = ("labels",)
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class RequestBody(Generic[Model]):
    """A request's body: its fields, and its files, if it is a form."""

    fields: Model
    files: Sequence[Path] = ()
    received: Received | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the files."""
        return None if self.received is None else self.received.folder


@asynccontextmanager
async def read_request_body(
    request: Request, model: type[Model], *, others: tuple[str, ...] = ()
) -> AsyncIterator[RequestBody[Model]]:
    """The body as `model`, of a JSON object or of the fields of a form, whose files are removed afterwards
    unless they are kept. `others` are fields of a form, besides `file`, that may hold a file.

    Raises what `receive_form` raises, `bad-json`, and RequestValidationError.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with receive_form(request, others=others) as received:
            yield RequestBody(_from_form(model, received.fields), received.files, received)
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
    yield RequestBody(fields)


def _from_form(model: type[Model], fields: Mapping[str, list[str]]) -> Model:
    """The model of form fields: repeated fields are lists, and so are comma-separated ones of
    `_COMMA_SEPARATED`. A label that holds a comma comes in a field `label` of its own.
    """
    values: dict[str, Any] = {}
    single = fields.get("label", []) if "labels" in model.model_fields else []
    for name, given in fields.items():
        if name == "label" and single:
            continue
        known = model.model_fields.get(name)
        if known is not None and _is_list(known.annotation):
            by_commas = name in _COMMA_SEPARATED
            parts = [part for value in given for part in (value.split(",") if by_commas else [value])]
            values[name] = [part.strip() for part in parts if part.strip()] if by_commas else parts
        elif len(given) == 1:
            values[name] = given[0]
        else:
            values[name] = given
    if single:
        values["labels"] = values.get("labels", []) + single
    try:
        return model.model_validate(values, strict=False, context={"is_form": True})
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


def request_body_schema(
    model: type[BaseModel],
    *,
    files: str | None,
    others: Mapping[str, str] | None = None,
    in_form: Mapping[str, dict[str, Any] | None] | None = None,
) -> Any:
    """`openapi_extra` of a route that reads `model` by `read_request_body`; `files` describes the field
    `file`. `in_form` are schemas of fields that a form holds otherwise, None for those that it cannot hold.
    """
    whole = model.model_json_schema()
    schema: dict[str, Any] = _inlined(whole, whole.pop("$defs", {}))
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if files is not None:
        binary = {"type": "string", "format": "binary"}
        properties = {name: _in_form(name, one) for name, one in schema["properties"].items()}
        properties |= {name: one for name, one in (in_form or {}).items() if one is not None}
        for name in [name for name, one in (in_form or {}).items() if one is None]:
            del properties[name]
        if "labels" in properties:
            one = {"type": "string", "description": "one label, which may hold commas; repeatable"}
            properties["label"] = {"type": "array", "items": one}
        properties["file"] = {"type": "array", "items": binary, "description": files}
        for name, meaning in (others or {}).items():
            properties[name] = {**binary, "description": meaning}
        content["multipart/form-data"] = {"schema": {"type": "object", "properties": properties}}
    # The optional parameter also works around a bug of openapi-python-client (0.28 to 0.29), which forgets an
    # import for a body of two kinds if no parameter is optional.
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
    if name in _COMMA_SEPARATED:
        return {"type": "string", "description": "separated by commas"}
    return {key: value for key, value in schema.items() if key != "default"}
