"""In a browser: from a page to the provider, back to that page, and out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.api.archive.syslog.receivers import free_port
from tests.api.http.oidc.provider import CLIENT, SECRET, running_provider
from tests.api.service_processes import Started
from tests.web.browsing import violations, watched


@pytest.mark.long
def test_a_person_goes_to_the_provider_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    port = free_port()
    secret = tmp_path / "client-secret"
    secret.write_text(SECRET)
    url = f"http://127.0.0.1:{port}"
    with running_provider() as provider:
        provider.reset()
        environment = {
            "MEDSIGLIP_OIDC_ISSUER": provider.issuer,
            "MEDSIGLIP_OIDC_CLIENT_ID": CLIENT,
            "MEDSIGLIP_OIDC_CLIENT_SECRET_FILE": str(secret),
            "MEDSIGLIP_OIDC_PUBLIC_URL": url,
            "MEDSIGLIP_OIDC_NAME": "St. Example",
            "MEDSIGLIP_OIDC_SCOPES": "admin=radiology",
        }
        words = ("serve", "--port", str(port), "--no-worker")
        server = Started(tmp_path / "home", words, environment=environment)
        try:
            assert server.answer()["url"] == url
            with watched(browser, url) as one:
                page = one.open("/app/cases?sort=-added_at")
                link = page.get_by_role("link", name="Sign in with St. Example")
                expect(link).to_be_visible()
                assert violations(page) == []
                link.click()
                expect(page.get_by_role("heading", level=1)).to_have_text("Cases")
                assert page.url == f"{url}/app/cases?sort=-added_at"
                [cookie] = page.context.cookies()
                assert (cookie["name"], cookie["sameSite"]) == ("medsiglip_session", "Strict")
                provider.claims["groups"] = []
                page.goto(f"{url}/app/session/oidc")
                assert page.url.startswith(f"{url}/app/?sign-in=no-access")
        finally:
            server.process.terminate()
            server.process.wait(30)
            server.end()
