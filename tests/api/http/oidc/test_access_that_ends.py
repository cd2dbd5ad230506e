"""Who may do nothing any more is signed out, and whoever is unknown takes little from those who are known."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.oidc.attempt import Attempt
from tests.api.http.oidc.way import CALLBACK, OWN, Way
from tests.clocks import Clock


def test_who_has_no_role_any_more_is_signed_out_everywhere(way: Way, app: FastAPI) -> None:
    way.provider.claims["groups"] = ["imaging-admins"]
    assert way.sign_in() == "ok"
    key_id = way.session().json()["key_id"]
    other = Way(app, way.provider, TestClient(app, base_url="https://archive.example"))
    way.provider.claims["groups"] = []
    assert other.sign_in() == "no-access"
    app.state.sessions._cached.clear()
    assert way.code("/v1/keys") == "session-ended"
    [row] = [one for one in app.state.server.archive.index.api_keys.listed() if one.id == key_id]
    assert row.scopes == ()
    way.provider.claims["groups"] = ["radiology"]
    assert way.sign_in() == "ok"
    assert way.session().json()["scopes"] == ["read"]


def test_who_never_had_a_role_leaves_no_row(way: Way, app: FastAPI) -> None:
    keys = app.state.server.archive.index.api_keys
    before = len(keys.listed())
    way.provider.claims["groups"] = []
    assert way.sign_in() == "no-access"
    assert len(keys.listed()) == before


def test_who_comes_back_too_often_waits_and_the_provider_is_not_asked(way: Way, app: FastAPI) -> None:
    app.state.oidc.returned._clock = Clock(1000.0)
    for _ in range(60):
        assert app.state.oidc.returned.take("testclient") == 0
    assert way.sign_in() == "rate-limited"
    assert way.provider.bodies == []


def test_those_who_sign_in_leave_threads_to_others(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes up an attempt can have the provider asked, which may take long."""
    answers, waiting = threading.Event(), threading.Semaphore(0)

    def slow(*_: Any) -> str:
        waiting.release()
        answers.wait(30)
        raise ServiceError("provider-unreachable", "gone")

    monkeypatch.setattr(app.state.oidc.provider, "tokens", slow)

    async def visits() -> tuple[int, set[str]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="https://archive.example") as browser:

            async def come_back() -> str:
                attempt = Attempt.begin(time.time())
                cookie = {"Cookie": f"__Host-medsiglip_oidc={attempt.cookie}"}
                brought = {"state": attempt.state, "code": "made-up"}
                return (await browser.get(CALLBACK, params=brought, headers=cookie)).headers["location"]

            tasks = [asyncio.create_task(come_back()) for _ in range(50)]
            try:
                for _ in range(2):
                    await asyncio.to_thread(waiting.acquire, timeout=10)
                other = await asyncio.wait_for(browser.get("/v1/session", headers=OWN), 20)
            finally:
                answers.set()
            return other.status_code, set(await asyncio.gather(*tasks))

    status, locations = asyncio.run(visits())
    assert status == 401
    assert locations == {"https://archive.example/app/?sign-in=provider-unreachable"}


def test_nobody_waits_for_the_question_of_another(way: Way, app: FastAPI) -> None:
    provider = app.state.oidc.provider
    with provider._asking:  # by another request
        answer = way.browser.get("/app/session/oidc", follow_redirects=False)
    assert answer.headers["location"] == "https://archive.example/app/?sign-in=provider-unreachable"
    assert way.provider.asked == []
    assert way.sign_in() == "ok"
