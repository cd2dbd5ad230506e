"""The connection to the service: JSON, files and events, retried where that is safe."""

from __future__ import annotations

import contextlib
import json
import operator
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from pydantic import ValidationError

from medsiglip.answers.answer import Answer

AnyPath = str | os.PathLike[str]
Json = dict[str, Any]
Kind = TypeVar("Kind", bound=Answer)
# 429 and 503 say that the service did nothing; 502 and 504 come from proxies in front of it.
_TEMPORARY = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = 30.0


class TruncatedTextWarning(UserWarning):
    """A text was longer than what the model reads of it."""


class ApiError(Exception):
    """The service refused a request, or could not be reached.

    `code` is the stable code of the problem (RFC 9457 members of the answer), `status` the HTTP status or 0
    when there was no answer, `request_id` what to look for in the service's log. `str()` is the service's
    own sentence.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 0,
        request_id: str | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.request_id = request_id
        self.members = dict(members or {})


class _Requests:
    """An `httpx.Client` that retries temporary failures, and raises `ApiError` for refusals.

    `make` builds the arguments of each attempt, since files that were sent are at their end.
    """

    def __init__(self, http: httpx.Client, retries: int, pause: Callable[[float], None] = time.sleep) -> None:
        self.http = http
        self._retries = retries
        self.pause = pause

    def send(self, method: str, path: str, make: Callable[[], dict[str, Any]] = dict) -> httpx.Response:
        """The answer to a request that may be sent twice without harm."""
        for attempt in range(self._retries + 1):
            is_last = attempt == self._retries
            wait = None
            try:
                answer = self.http.request(method, path, **make())
            except httpx.TransportError as error:
                if is_last:
                    raise unreachable(error) from error
            else:
                if answer.is_success:
                    return answer
                if is_last or not may_pass(answer.status_code):
                    raise refusal(answer)
                wait = _retry_after(answer)
            self.pause(pause_before(attempt + 1) if wait is None else wait)
        raise AssertionError("unreachable")


class Connection:
    """The requests of a `Client`. Every method may raise `ApiError`."""

    def __init__(self, http: httpx.Client, retries: int) -> None:
        self._http = http
        self._retries = retries
        self._requests = _Requests(http, retries)

    def close(self) -> None:
        """Close the sockets."""
        self._http.close()

    def answers(self, path: str) -> bool:
        """Whether a GET succeeds now."""
        try:
            return self._http.get(path).is_success
        except httpx.TransportError:
            return False

    def get(self, path: str, /, **query: Any) -> Json:
        """The JSON object at a path."""
        found: Json = self._requests.send("GET", path, lambda: {"params": given(query)}).json()
        return found

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """The content at a path."""
        return self._requests.send("GET", path, lambda: {"params": given(query)}).content

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False) -> Json:
        """The answer to a JSON object; `once` adds an idempotency key, for what must not begin twice."""
        content = {} if body is None else _json(body)
        content["headers"] = {**content.get("headers", {}), **(_key() if once else {})}
        found: Json = self._requests.send("POST", path, lambda: content).json()
        return found

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """The answer to a JSON object that takes the place of what was there."""
        content = _json(body)
        found: Json = self._requests.send("PUT", path, lambda: content).json()
        return found

    def delete(self, path: str) -> Json:
        """The answer to a deletion, empty if there is none."""
        answer = self._requests.send("DELETE", path)
        found: Json = answer.json() if answer.content else {}
        return found

    def send_files(
        self,
        path: str,
        files: Sequence[AnyPath],
        form: Mapping[str, Any],
        *,
        once: bool = False,
        **others: AnyPath | None,
    ) -> Json:
        """The answer to files as fields `file`, `others` as fields of their own names, and form fields."""
        if not files:
            raise TypeError("give at least one file")
        parts = [("file", Path(file)) for file in files]
        parts += [(name, Path(file)) for name, file in others.items() if file is not None]
        headers = _key() if once else {}
        with contextlib.ExitStack() as opened:

            def make() -> dict[str, Any]:
                opened.close()
                sent = [(name, (_name(file), opened.enter_context(file.open("rb")))) for name, file in parts]
                return {"files": sent, "data": _form(form), "headers": headers}

            found: Json = self._requests.send("POST", path, make).json()
            return found

    def events(self, path: str) -> Iterator[Json]:
        """The JSON objects of a stream of server-sent events, resumed where it broke, until the caller stops
        reading.
        """
        failures, seen = 0, ""
        while True:
            try:
                for event_id, event in self._stream(path, seen):
                    failures, seen = 0, event_id
                    yield event
                reason = ApiError("unreachable", "The stream of events ended before the job did.")
            except httpx.TransportError as error:
                reason = unreachable(error)
            except ApiError as error:
                if not may_pass(error.status):
                    raise
                reason = error
            failures += 1
            if failures > self._retries:
                raise reason
            self._requests.pause(pause_before(failures))

    def _stream(self, path: str, seen: str) -> Iterator[tuple[str, Json]]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": seen} if seen else {})}
        with self._http.stream("GET", path, headers=headers) as answer:
            if not answer.is_success:
                answer.read()
                raise refusal(answer)
            for line in answer.iter_lines():
                if line.startswith("id:"):
                    seen = line[3:].strip()
                elif line.startswith("data:"):
                    yield seen, json.loads(line[5:])


def read(kind: type[Kind], answer: Json) -> Kind:
    """The answer as its model; raises `ApiError` `unexpected-answer`."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        message = "The service's answer has another form than this client expects; update the client."
        raise ApiError("unexpected-answer", message) from error


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in values.items() if value is not None}


def _json(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request's content and header. Integers, numbers and truth values of numpy are those of Python."""
    text = json.dumps(given(body), ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    return {"content": text.encode("utf-8"), "headers": {"Content-Type": "application/json"}}


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's arrays, which have an __index__ too, numbers and truth values
        return value.tolist()
    if hasattr(value, "__index__"):
        return operator.index(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} of type {type(value).__name__} has no form in JSON")


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def _name(file: Path) -> str:
    """The name of a file as a form holds it: UTF-8, with U+FFFD for bytes that are not."""
    return file.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Form fields as text; a list repeats its field."""
    return {
        name: [str(one) for one in value] if isinstance(value, list) else _text(value)
        for name, value in given(values).items()
    }


def _text(value: Any) -> str:
    plain = value if isinstance(value, str | bool) or not hasattr(value, "tolist") else value.tolist()
    return str(plain).lower() if isinstance(plain, bool) else str(plain)


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _TEMPORARY


def pause_before(attempt: int) -> float:
    """Seconds to wait before an attempt, doubling from a quarter of one, spread by chance."""
    longest: float = min(0.25 * 2**attempt, _LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)


def unreachable(error: httpx.TransportError) -> ApiError:
    """The error of a service that did not answer; the text of httpx says why."""
    reason = str(error) or type(error).__name__
    return ApiError("unreachable", f"The service did not answer ({reason}); check that it runs, and its URL.")


def refusal(answer: httpx.Response) -> ApiError:
    """The error that an answer stands for; `answer` must have been read."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    problem = body if isinstance(body, dict) else {}
    detail = problem.get("detail") or f"The service answered {answer.status_code} {answer.reason_phrase}."
    return ApiError(
        str(problem.get("code") or "http-error"),
        str(detail),
        answer.status_code,
        answer.headers.get("x-request-id"),
        problem,
    )


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds of the header (RFC 9110, section 10.2.3); a date is not read."""
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_PAUSE) if value.isdecimal() else None
