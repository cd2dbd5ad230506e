"""A browser on its way to the provider and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.api.http.oidc.provider import OpenIdProvider

OWN = {"Sec-Fetch-Site": "same-origin"}
CALLBACK = "/app/session/oidc/callback"


@dataclass
class Way:
    """A browser with its cookies, at the service's address."""

    app: FastAPI
    provider: OpenIdProvider
    browser: TestClient

    def begin(self) -> str:
        """Where the service sends the browser."""
        answer = self.browser.get("/app/session/oidc", follow_redirects=False)
        assert answer.status_code == 303
        return str(answer.headers["location"])

    def back(self, **brought: str) -> str:
        """`ok`, or the code of the problem that the screen is given."""
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        answer = self.browser.get(CALLBACK, params=brought, headers=headers, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        parts = urlsplit(answer.headers["location"])
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://archive.example/app/"
        return parse_qs(parts.query).get("sign-in", ["ok"])[0]

    def sign_in(self, **brought: str) -> str:
        """The whole way."""
        return self.back(**{**self.provider.authorized(self.begin()), **brought})

    def session(self) -> Any:
        """`GET /v1/session` as the screen asks."""
        return self.browser.get("/v1/session", headers=OWN)

    def code(self, path: str, token: str | None = None) -> str:
        """`ok`, or the code of the problem of a request, by cookie or with a token."""
        headers = OWN if token is None else {"Authorization": f"Bearer {token}"}
        answer = self.browser.get(path, headers=headers)
        return "ok" if answer.is_success else str(answer.json()["code"])
