"""The page learns whether somebody is signed in without an answer that a browser calls a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.http.auth import Gate
from medsiglip.api.settings import Settings

URL = "http://127.0.0.1:8000"
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return create_app(Settings(home=tmp_path / "home"))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=URL) as client:
        yield client


def test_it_is_said_whether_somebody_is_signed_in(app: FastAPI, client: TestClient) -> None:
    assert client.get("/app/session", headers=OWN).json() == {"signed_in": True}  # no key was ever made
    server = app.state.server
    _, shown = server.archive.index.api_keys.create("anna", ["read"])
    app.state.gate = Gate(server.archive.index.api_keys, server.settings)  # which has not looked yet
    assert client.get("/app/session", headers=OWN).json() == {"signed_in": False}
    assert client.post("/v1/session", json={"key": shown}, headers=OWN).status_code == 200
    assert client.get("/app/session", headers=OWN).json() == {"signed_in": True}
    other = client.get("/app/session", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    assert (other.status_code, other.json()["code"]) == (403, "cross-site")
    assert client.delete("/v1/session", headers=OWN).status_code == 204
    assert client.get("/app/session", headers=OWN).json() == {"signed_in": False}
