"""Access tokens of the provider in place of API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from medsiglip.api.http.auth import KEY_SECONDS
from tests.api.http.oidc.provider import CLIENT
from tests.api.http.oidc.way import Way
from tests.clocks import Clock


def test_a_token_does_what_its_roles_allow(way: Way, app: FastAPI) -> None:
    token = way.provider.access_token(sub="robot-1", client_id="robot", preferred_username=None)
    assert way.code("/v1/studies", token) == "ok"
    assert way.code("/v1/keys", token) == "missing-scope"
    answer = way.browser.get("/v1/session", headers={"Authorization": f"Bearer {token}"}).json()
    assert (answer["name"], answer["scopes"]) == ("robot", ["read"])
    assert datetime.fromisoformat(answer["expires_at"]) > datetime.now(UTC)
    admin = way.provider.access_token(sub="robot-1", groups=["imaging-admins"])
    assert way.code("/v1/keys", admin) == "ok"
    assert way.code("/v1/keys", token) == "missing-scope"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"aud": CLIENT},
        {"aud": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": None},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"nonce": "of-a-sign-in"},
        {"typ": "ID"},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_this_api_is_refused(way: Way, claims: dict[str, Any]) -> None:
    assert way.code("/v1/session", way.provider.access_token(**claims)) == "wrong-token"


def test_a_token_without_a_role_is_refused_and_an_id_token_is_none(way: Way) -> None:
    assert way.code("/v1/session", way.provider.access_token(groups=[])) == "no-access"
    assert way.code("/v1/session", way.provider.id_token(None)) == "wrong-token"


def test_a_spoilt_token_is_refused_and_who_tries_many_waits(way: Way) -> None:
    head, body, signature = way.provider.access_token().split(".")
    for spoilt in (f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", f"{head}..{signature}", "eyJ.e.e"):
        assert way.code("/v1/session", spoilt) == "wrong-token"
    codes = [way.code("/v1/session", f"{head}.{body}.A{number}") for number in range(20)]
    assert (codes[0], codes[-1]) == ("wrong-token", "rate-limited")
    assert way.code("/v1/session", way.provider.access_token(jti="of another at this address")) == "ok"


def test_a_token_is_checked_again_and_ends_in_time(way: Way, app: FastAPI) -> None:
    clock = Clock(1000.0)
    app.state.bearer._clock = clock
    token = way.provider.access_token()
    assert way.code("/v1/session", token) == "ok"
    way.provider.rotate("first")
    app.state.oidc.provider._known = None
    assert way.code("/v1/session", token) == "ok"  # known for two seconds
    clock.now += KEY_SECONDS
    assert way.code("/v1/session", token) == "wrong-token"


def test_keys_go_on_beside_tokens(way: Way, app: FastAPI) -> None:
    _, shown = app.state.server.archive.index.api_keys.create("boss", ["admin"])
    assert way.code("/v1/keys", shown) == "ok"
    assert way.code("/v1/keys", "msk_0123456789ab_" + "0" * 64) == "wrong-key"
