"""Signing in at an OpenID provider: what opens a session, and everything that must not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc.jwk import OctKey

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.oidc.configuration import oidc_configuration
from medsiglip.api.http.oidc.provider import PAUSE_SECONDS
from medsiglip.api.http.oidc.routes import open_oidc
from medsiglip.api.settings import Settings, read_settings
from tests.api.http.oidc.provider import CLIENT
from tests.api.http.oidc.way import CALLBACK, OWN, Way
from tests.clocks import Clock


def test_a_person_signs_in_and_out(way: Way, app: FastAPI) -> None:
    assert way.code("/v1/session") == "no-key"
    said = way.browser.get("/app/session", headers=OWN).json()
    assert said == {"signed_in": False, "provider": "St. Example"}
    assert way.sign_in() == "ok"
    session = way.session().json()
    assert (session["name"], session["scopes"], session["open"]) == (
        way.provider.claims["preferred_username"],
        ["read"],
        False,
    )
    assert way.code("/v1/studies") == "ok"
    assert way.code("/v1/keys") == "missing-scope"
    newest = app.state.server.archive.index.audit.newest(limit=10)
    signed_in = next(one.event for one in newest if one.event.action == "sign-in")
    assert (signed_in.actor, signed_in.details["by"]) == (session["key_id"], "oidc")
    assert way.browser.delete("/v1/session", headers=OWN).status_code == 204
    assert way.code("/v1/session") == "no-key"


def test_the_cookies_are_of_this_host_alone(way: Way) -> None:
    begun = way.browser.get("/app/session/oidc", follow_redirects=False)
    brought = way.provider.authorized(begun.headers["location"])
    back = way.browser.get(CALLBACK, params=brought, follow_redirects=False)
    cookies: dict[str, Any] = {}
    for answer in (begun, back):
        for header in answer.headers.get_list("set-cookie"):
            cookies |= {name: one for name, one in SimpleCookie(header).items() if one.value}
    assert set(cookies) == {"__Host-medsiglip_oidc", "__Host-medsiglip_session"}
    for name, samesite in (("__Host-medsiglip_oidc", "lax"), ("__Host-medsiglip_session", "strict")):
        one = cookies[name]
        assert (one["secure"], one["httponly"], one["path"], one["domain"]) == (True, True, "/", "")
        assert one["samesite"].lower() == samesite
    assert "__Host-medsiglip_oidc" not in way.browser.cookies


def test_what_leaves_by_the_address_is_no_secret(way: Way) -> None:
    location = way.begin()
    secret = way.browser.cookies["__Host-medsiglip_oidc"].partition(".")[0]
    way.back(**way.provider.authorized(location))
    verifier = way.provider.bodies[0]["code_verifier"][0]
    assert secret not in location
    assert verifier not in location
    assert len(verifier) == 43


def test_the_secret_of_the_client_goes_where_the_provider_takes_it(way: Way) -> None:
    assert way.sign_in() == "ok"
    assert way.provider.authorizations[-1] is not None
    assert "client_secret" not in way.provider.bodies[-1]


def test_the_secret_goes_into_the_body_where_the_provider_takes_it_there_alone(way: Way) -> None:
    way.provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert way.sign_in() == "ok"
    assert way.provider.authorizations[-1] is None
    assert "client_secret" in way.provider.bodies[-1]


@pytest.mark.parametrize(
    "spoilt",
    [
        {"iss": "https://other.example"},
        {"aud": "another-client"},
        {"aud": [CLIENT, "another-client"]},
        {"aud": [CLIENT, "another-client"], "azp": "another-client"},
        {"azp": "another-client"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
        {"nonce": None},
        {"nonce": "another"},
        {"nonce": 7},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_that_is_not_of_this_sign_in_opens_nothing(way: Way, spoilt: dict[str, Any]) -> None:
    way.provider.spoil = spoilt
    assert way.sign_in() == "sign-in-refused"
    assert way.code("/v1/session") == "no-key"
    way.provider.spoil = {}
    assert way.sign_in() == "ok"


def test_several_audiences_are_right_where_the_token_was_made_for_this_one(way: Way) -> None:
    way.provider.spoil = {"aud": [CLIENT, "another-client"], "azp": CLIENT}
    assert way.sign_in() == "ok"


@pytest.mark.parametrize(("seconds", "expected"), [(-45, "ok"), (-90, "sign-in-refused")])
def test_clocks_may_be_a_minute_apart(way: Way, seconds: int, expected: str) -> None:
    way.provider.spoil = {"exp": int(time.time()) + seconds, "iat": int(time.time()) + seconds - 60}
    assert way.sign_in() == expected
    way.provider.spoil = {"iat": int(time.time()) - seconds, "nbf": int(time.time()) - seconds}
    assert way.sign_in() == expected


def test_signatures_that_anybody_could_make_open_nothing(way: Way) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    provider = way.provider
    now = int(time.time())
    public = provider.keys["first"].as_pem(private=False)
    for header, secret in (({"alg": "none"}, None), ({"alg": "HS256"}, public)):
        location = way.begin()
        nonce = dict(one.split("=") for one in location.partition("?")[2].split("&"))["nonce"]
        claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        body = f"{part({**header, 'kid': 'first'})}.{part({**claims, **provider.claims})}"
        signature = b""
        if secret is not None:  # the public key as if it were a shared secret
            signature = hmac.new(secret, body.encode(), hashlib.sha256).digest()
        provider.raw_token = f"{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert way.back(**provider.authorized(location)) == "sign-in-refused"
    provider.keys["shared"] = OctKey.generate_key(256)
    provider.raw_token = None
    assert way.sign_in() == "ok"


def test_another_key_of_the_same_name_opens_nothing(way: Way) -> None:
    assert way.sign_in() == "ok"
    way.provider.rotate("first")
    assert way.sign_in() == "sign-in-refused"


def test_keys_are_asked_for_again_when_a_token_names_another(way: Way, app: FastAPI) -> None:
    clock = Clock(1000.0)
    app.state.oidc.provider._clock = clock
    assert way.sign_in() == "ok"
    way.provider.rotate("second", kind="EC")
    assert way.sign_in() == "sign-in-refused"  # asked a moment ago: nobody makes us ask at every token
    asked = way.provider.asked.count("/realm/keys")
    clock.now += PAUSE_SECONDS
    assert way.sign_in() == "ok"
    assert way.provider.asked.count("/realm/keys") == asked + 1


def test_a_state_opens_once_and_in_the_browser_that_began(way: Way, app: FastAPI) -> None:
    brought = way.provider.authorized(way.begin())
    cookie = way.browser.cookies["__Host-medsiglip_oidc"]
    other = Way(app, way.provider, TestClient(app, base_url="https://archive.example"))
    assert other.back(**brought) == "sign-in-lost"
    other.begin()
    assert other.back(**brought) == "sign-in-lost"
    assert way.back(**brought) == "ok"
    assert way.back(**brought) == "sign-in-lost"
    way.browser.cookies.set("__Host-medsiglip_oidc", cookie)
    assert way.back(**brought) == "sign-in-lost"


def test_a_code_opens_once_even_in_another_process(way: Way, app: FastAPI) -> None:
    brought = way.provider.authorized(way.begin())
    cookie = way.browser.cookies["__Host-medsiglip_oidc"]
    assert way.back(**brought) == "ok"
    app.state.oidc.attempts._used.clear()
    way.browser.cookies.set("__Host-medsiglip_oidc", cookie)
    assert way.back(**brought) == "sign-in-refused"


def test_an_old_attempt_is_lost(way: Way, app: FastAPI) -> None:
    clock = Clock(time.time())
    app.state.oidc.attempts.clock = clock
    brought = way.provider.authorized(way.begin())
    clock.now += 601
    assert way.back(**brought) == "sign-in-lost"


def test_a_code_of_another_attempt_is_refused_by_its_verifier(way: Way) -> None:
    stolen = way.provider.authorized(way.begin())["code"]
    assert way.sign_in(code=stolen) == "sign-in-refused"


@pytest.mark.parametrize("brought", [{"error": "access_denied"}, {"code": ""}, {"state": ""}, {"iss": "x"}])
def test_what_the_provider_refuses_opens_nothing(way: Way, brought: dict[str, str]) -> None:
    expected = "sign-in-lost" if "state" in brought else "sign-in-refused"
    assert way.sign_in(**brought) == expected
    assert way.code("/v1/session") == "no-key"


def test_the_provider_must_name_itself_where_it_says_that_it_does(way: Way) -> None:
    way.provider.discovery = {"authorization_response_iss_parameter_supported": True}
    assert way.sign_in() == "sign-in-refused"
    assert way.sign_in(iss=way.provider.issuer) == "ok"


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "http://127.0.0.1:1/realm"},
        {"token_endpoint": "http://login.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
    ids=str,
)
def test_a_provider_that_leads_elsewhere_is_not_followed(way: Way, said: dict[str, Any]) -> None:
    way.provider.discovery = said
    answer = way.browser.get("/app/session/oidc", follow_redirects=False)
    assert answer.headers["location"] == "https://archive.example/app/?sign-in=wrong-provider"


def test_a_provider_that_is_away_is_asked_again_and_its_keys_stay_of_use(way: Way, app: FastAPI) -> None:
    clock = Clock(1000.0)
    app.state.oidc.provider._clock = clock
    way.provider.is_away = True
    first = way.browser.get("/app/session/oidc", follow_redirects=False)
    assert first.headers["location"] == "https://archive.example/app/?sign-in=provider-unreachable"
    way.provider.is_away = False
    clock.now += PAUSE_SECONDS
    assert way.sign_in() == "ok"
    way.provider.is_away = True
    clock.now += 1800
    token = way.provider.access_token()
    assert way.code("/v1/session", token) == "ok"
    clock.now += 1800
    assert way.code("/v1/session", way.provider.access_token(jti="another")) == "provider-unreachable"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"groups": ["radiology", "pacs-team"]}, ["read", "write"]),
        ({"groups": "imaging-admins other"}, ["admin"]),
        ({"groups": ["Radiology"]}, None),
        ({"groups": {"radiology": True}}, None),
        ({"groups": [["radiology"]]}, None),
        ({"groups": None}, None),
    ],
    ids=str,
)
def test_groups_say_what_a_person_may_do(way: Way, claims: dict[str, Any], expected: Any) -> None:
    way.provider.claims |= claims
    assert way.sign_in() == ("no-access" if expected is None else "ok")
    if expected is not None:
        assert way.session().json()["scopes"] == expected


def test_what_a_person_may_do_is_what_the_last_sign_in_said(way: Way, app: FastAPI) -> None:
    way.provider.claims["groups"] = ["imaging-admins"]
    assert way.sign_in() == "ok"
    assert way.code("/v1/keys") == "ok"
    other = Way(app, way.provider, TestClient(app, base_url="https://archive.example"))
    way.provider.claims["groups"] = ["radiology"]
    assert other.sign_in() == "ok"
    app.state.sessions._cached.clear()
    assert way.code("/v1/keys") == "missing-scope"


def test_names_are_kept_apart_and_an_ended_person_stays_out(way: Way, app: FastAPI) -> None:
    index = app.state.server.archive.index
    name = way.provider.claims["preferred_username"]
    index.api_keys.create(name, ["read"])
    assert way.sign_in() == "ok"
    session = way.session().json()
    assert session["name"] == f"{name} ({session['key_id'][:8]})"
    way.provider.claims["preferred_username"] = "boris"
    assert way.sign_in() == "ok"
    assert way.session().json()["name"] == session["name"]
    _, admin = index.api_keys.create("boss", ["admin"])
    ended = way.browser.delete(f"/v1/keys/{session['key_id']}", headers={"Authorization": f"Bearer {admin}"})
    assert ended.status_code == 200
    app.state.sessions._cached.clear()
    assert way.code("/v1/session") == "session-ended"
    assert way.sign_in() == "no-access"
    assert way.code("/v1/session", way.provider.access_token()) == "wrong-token"


def test_who_begins_too_often_waits(way: Way, app: FastAPI) -> None:
    app.state.oidc.begun._clock = Clock(1000.0)
    for _ in range(60):
        assert app.state.oidc.begun.take("testclient") == 0
    answer = way.browser.get("/app/session/oidc", follow_redirects=False)
    assert answer.headers["location"] == "https://archive.example/app/?sign-in=rate-limited"


def test_roles_may_lie_in_a_claim_and_a_client_may_have_no_secret(
    way: Way, app: FastAPI, settings: Settings
) -> None:
    changed = {"oidc_claim": "realm_access.roles", "oidc_client_secret_file": None}
    open_oidc(app, app.state.server.archive, settings.model_copy(update=changed))
    roles = {"realm_access": {"roles": ["pacs-team"]}}
    way.provider.claims = {"sub": way.provider.subject, "email": "b@x", **roles}
    assert way.sign_in() == "ok"
    assert way.session().json()["scopes"] == ["write"]
    assert way.provider.bodies[-1]["client_id"] == [CLIENT]
    assert way.provider.authorizations[-1] is None


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"oidc_client_id": None}, "oidc_client_id"),
        ({"oidc_public_url": None}, "oidc_public_url"),
        ({"oidc_scopes": ()}, "oidc_scopes"),
        ({"oidc_audience": CLIENT}, "oidc_audience"),
        ({"oidc_request": "profile"}, "openid"),
        ({"oidc_client_secret_file": Path("/nowhere")}, "oidc_client_secret_file"),
    ],
    ids=str,
)
def test_a_provider_that_is_named_by_half_is_refused(
    settings: Settings, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ServiceError, match=named) as raised:
        oidc_configuration(settings.model_copy(update=changed))
    assert raised.value.code == "bad-setting"


@pytest.mark.parametrize(
    "given",
    [
        {"oidc_issuer": "http://login.example"},
        {"oidc_issuer": "https://user:word@login.example"},
        {"oidc_public_url": "archive.example"},
        {"oidc_scopes": "see=radiology"},
        {"oidc_scopes": "read"},
    ],
    ids=str,
)
def test_addresses_and_scopes_are_checked(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match=r"oidc[-_]") as raised:
        read_settings(None, home=tmp_path, **given)
    assert raised.value.code == "bad-setting"
