"""A service whose people sign in at a provider of the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.http.oidc.routes import open_oidc
from medsiglip.api.settings import Settings
from tests.api.http.oidc.provider import AUDIENCE, CLIENT, SECRET, OpenIdProvider, running_provider
from tests.api.http.oidc.way import Way

ADDRESS = "https://archive.example"
SCOPES = "read=radiology,write=pacs-team,admin=imaging-admins"


@pytest.fixture(scope="session")
def running() -> Iterator[OpenIdProvider]:
    with running_provider() as made:
        yield made


@pytest.fixture
def provider(running: OpenIdProvider) -> OpenIdProvider:
    """The provider as it was at first, with a person whom no other test has met."""
    running.reset()
    return running


@pytest.fixture(scope="session")
def settings(running: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("oidc")
    secret = folder / "client-secret"
    secret.write_text(f"{SECRET}\n")
    return Settings(
        home=folder / "home",
        oidc_issuer=running.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret_file=secret,
        oidc_public_url="https://archive.example/",
        oidc_name="St. Example",
        oidc_scopes=SCOPES,
        oidc_audience=AUDIENCE,
    )


@pytest.fixture(scope="session")
def served(settings: Settings) -> Iterator[FastAPI]:
    app = create_app(settings)
    with TestClient(app, base_url=ADDRESS):
        yield app


@pytest.fixture
def app(served: FastAPI, settings: Settings, provider: OpenIdProvider) -> FastAPI:
    """The service, which remembers nothing of the provider and of those who tried."""
    open_oidc(served, served.state.server.archive, settings)
    return served


@pytest.fixture
def way(app: FastAPI, provider: OpenIdProvider) -> Way:
    return Way(app, provider, TestClient(app, base_url=ADDRESS))
