"""The way to a provider that others made (oidc-provider-mock, on Authlib's server), whole."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from tests.api.http.oidc.way import CALLBACK, OWN


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of its own libraries, by one another
def test_a_person_of_another_provider_signs_in(tmp_path: Path) -> None:
    import oidc_provider_mock  # type: ignore[import-untyped]

    claims = {"preferred_username": "clara", "groups": ["radiology"]}
    user = oidc_provider_mock.User(sub="clara-1", claims=claims)
    with oidc_provider_mock.run_server_in_thread(user_claims=[user], require_nonce=True) as server:
        issuer = f"http://localhost:{server.server_port}"
        secret = tmp_path / "secret"
        secret.write_text("any")
        settings = Settings(
            home=tmp_path / "home",
            oidc_issuer=issuer,
            oidc_client_id="archive",
            oidc_client_secret_file=secret,
            oidc_public_url="https://archive.example",
            oidc_scopes=("report=radiology",),
        )
        with TestClient(create_app(settings), base_url="https://archive.example") as browser:
            begun = browser.get("/app/session/oidc", follow_redirects=False)
            agreed = httpx.post(begun.headers["location"], data={"sub": "clara-1"})
            location = httpx.URL(agreed.headers["location"])
            assert str(location).startswith(f"https://archive.example{CALLBACK}?")
            back = browser.get(f"{location.path}?{location.query.decode()}", follow_redirects=False)
            assert back.headers["location"] == "https://archive.example/app/"
            session = browser.get("/v1/session", headers=OWN).json()
            assert (session["name"], session["scopes"]) == ("clara", ["report"])
            token = browser.get("/v1/session", headers={"Authorization": "Bearer eyJ.e.e"})
            assert token.json()["code"] == "wrong-key"  # no audience, so no token is taken
