"""Errors as clients see them: enough to act on, and nothing about the machine."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from medsiglip.api.errors import ServiceError, explain
from medsiglip.api.http.problems import ADMINISTRATOR_PROBLEMS, STATUSES, problem_of
from medsiglip.index.errors import CatalogError

HOME = Path("/srv/ward-7/home")


@pytest.mark.parametrize("code", ADMINISTRATOR_PROBLEMS)
def test_a_problem_for_the_administrator_names_no_place(code: str) -> None:
    answer = problem_of(CatalogError(code, f"{HOME} has a defect."))
    body = json.loads(bytes(answer.body))
    assert (body["code"], body["status"]) == (code, answer.status_code)
    assert answer.status_code >= 500
    assert "ward-7" not in body["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OSError(errno.ENOSPC, "No space left", f"{HOME}/x"), 507, "disk-full"),
        (FileNotFoundError(errno.ENOENT, "No such file", f"{HOME}/x"), 500, "unexpected"),
        (ValueError(f"{HOME}"), 500, "unexpected"),
        (ServiceError("too-busy", "wait.", 2.2), 429, "too-busy"),
        (CatalogError("bad-filter", "no such field."), 422, "bad-filter"),
    ],
)
def test_statuses(error: Exception, status: int, code: str) -> None:
    answer = problem_of(error)
    body = json.loads(bytes(answer.body))
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert "ward-7" not in body["detail"]
    assert (answer.headers.get("retry-after") is not None) is (status in (429, 503))


def test_waits_are_rounded_up() -> None:
    assert problem_of(ServiceError("too-busy", "wait.", 2.2)).headers["retry-after"] == "3"
    assert problem_of(ServiceError("rate-limited", "wait.", 0.01)).headers["retry-after"] == "1"


def test_a_problem_for_the_administrator_is_a_server_error() -> None:
    assert all(STATUSES.get(code, 500) >= 500 for code in ADMINISTRATOR_PROBLEMS)
    assert explain(ServiceError("x", "y")) is not None
