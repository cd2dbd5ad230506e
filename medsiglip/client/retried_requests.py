"""Requests that are tried again, and refusals as errors: what `medsiglip.client.client` stands on."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

# 429 and 503 say that the service did nothing; 502 and 504 come from proxies before it.
_MAY_PASS = frozenset({429, 502, 503, 504})
_LONGEST_PAUSE = 30.0


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


class Requests:
    """An `httpx.Client` that tries again what may pass, and raises `ApiError` for what was refused.

    `make` builds the arguments of a request anew for each attempt, since files that were sent are at their
    end.
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


def may_pass(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _MAY_PASS


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
