"""One connection to the service: JSON, files and events, sent in ways that may be tried again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from medsiglip.client.retried_requests import (
    ApiError,
    Requests,
    may_pass,
    pause_before,
    refusal,
    unreachable,
)

AnyPath = str | os.PathLike[str]
Answer = dict[str, Any]


class Connection:
    """What `medsiglip.client.client.Client` says everything through. Every method may raise `ApiError`."""

    def __init__(self, http: httpx.Client, retries: int) -> None:
        self._http = http
        self._retries = retries
        self._requests = Requests(http, retries)

    def close(self) -> None:
        """Let go of the sockets."""
        self._http.close()

    def answers(self, path: str) -> bool:
        """Whether a GET succeeds now."""
        try:
            return self._http.get(path).is_success
        except httpx.TransportError:
            return False

    def get(self, path: str, **query: Any) -> Answer:
        """The JSON object at a path."""
        found: Answer = self._requests.send("GET", path, lambda: {"params": given(query)}).json()
        return found

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """The content at a path."""
        return self._requests.send("GET", path, lambda: {"params": given(query)}).content

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False) -> Answer:
        """The answer to a JSON object; `once` adds an idempotency key, for what must not begin twice."""
        content: dict[str, Any] = {} if body is None else {"json": given(body)}
        content["headers"] = _key() if once else {}
        found: Answer = self._requests.send("POST", path, lambda: content).json()
        return found

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """The answer to a JSON object that takes the place of what was there."""
        found: Answer = self._requests.send("PUT", path, lambda: {"json": given(body)}).json()
        return found

    def delete(self, path: str) -> Answer:
        """The answer to a deletion, empty if there is none."""
        answer = self._requests.send("DELETE", path)
        found: Answer = answer.json() if answer.content else {}
        return found

    def send_files(
        self,
        path: str,
        files: Sequence[AnyPath],
        form: Mapping[str, Any],
        *,
        once: bool = False,
        **others: AnyPath | None,
    ) -> Answer:
        """The answer to files as fields `file`, `others` as fields of their own names, and form fields."""
        parts = [("file", Path(file)) for file in files]
        parts += [(name, Path(file)) for name, file in others.items() if file is not None]
        headers = _key() if once else {}
        with contextlib.ExitStack() as opened:

            def make() -> dict[str, Any]:
                opened.close()
                sent = [(name, (file.name, opened.enter_context(file.open("rb")))) for name, file in parts]
                return {"files": sent, "data": _form(form), "headers": headers}

            found: Answer = self._requests.send("POST", path, make).json()
            return found

    def events(self, path: str) -> Iterator[Answer]:
        """The JSON objects of a stream of server-sent events, taken up again where it broke, until the reader
        has seen enough.
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

    def _stream(self, path: str, seen: str) -> Iterator[tuple[str, Answer]]:
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


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in values.items() if value is not None}


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def _form(values: Mapping[str, Any]) -> dict[str, Any]:
    """Form fields as text; a list repeats its field."""
    return {
        name: [str(one) for one in value] if isinstance(value, list) else _text(value)
        for name, value in given(values).items()
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
