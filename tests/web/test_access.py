"""Signing in and out in a browser, keys, the audit trail and health on the page of administrators."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from medsiglip.answers.access import Key
from medsiglip.client.client import Client
from tests.api.live_service import LiveService
from tests.web.browsing import Watched, violations, watched
from tests.web.filled import Filled

# What Chromium itself writes for an answer 401: nobody is signed in, or the key is wrong.
SIGNED_OUT = ("error: Failed to load resource: the server responded with a status of 401",)


def sign_in(page: Page, key: str) -> None:
    """Type a key, and press Enter."""
    page.fill("input[type=password]", key)
    page.press("input[type=password]", "Enter")


def kept(one: Watched) -> str:
    """All that the page's scripts could find of a key: addresses, cookies, storage and the page itself."""
    stored = one.page.evaluate(
        "[document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage)]"
    )
    return " ".join([*one.requests, *stored, one.page.url, one.page.content()])


def named(admin: Client, name: str) -> list[Key]:
    """The keys of this name."""
    every = admin.keys()
    return [one for one in every if one.name == name]


def test_a_person_signs_in_and_out_and_the_key_is_kept_nowhere(
    browser: Browser, service: LiveService
) -> None:
    with watched(browser, service.url, allowed=SIGNED_OUT) as one:
        page = one.open("/app/cases?sort=-added_at")
        assert violations(page) == []
        sign_in(page, "msk_wrong")
        expect(page.get_by_role("alert")).to_contain_text("wrong-key")
        assert page.evaluate("document.activeElement.id") == "api-key"
        assert violations(page) == []
        sign_in(page, service.keys["read"])
        expect(page.get_by_role("heading", level=1)).to_contain_text("Cases")
        assert page.url.endswith("/app/cases?sort=-added_at")
        expect(page.get_by_role("banner")).to_contain_text("read")
        [cookie] = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (
            "medsiglip_session",
            True,
            "Strict",
        )
        one.settle()
        told = kept(one)
        for secret in (service.keys["read"].rpartition("_")[2], cookie["value"]):
            assert secret not in told
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("input[type=password]")).to_be_visible()
        assert page.context.cookies() == []
        one.assert_clean()


def test_a_session_that_ends_leads_to_signing_in_and_back(browser: Browser, service: LiveService) -> None:
    with (
        service.client() as admin,
        watched(browser, service.url, service.keys["admin"], allowed=SIGNED_OUT) as one,
    ):
        page = one.open("/app/audit?tab=keys")
        made = admin.create_key("for an hour", ["admin"])
        page.context.clear_cookies()
        page.get_by_role("tab", name="Health").click()
        sign_in(page, made.key)
        expect(page.get_by_role("banner")).to_contain_text("for an hour")
        expect(page.get_by_role("tab", name="Health")).to_have_attribute("aria-selected", "true")
        one.settle()
        admin.revoke_key(made.id)
        page.wait_for_timeout(2100)
        page.get_by_role("tab", name="Audit trail").click()
        expect(page.locator("input[type=password]")).to_be_visible()
        one.assert_clean()


def test_keys_are_made_and_revoked_on_the_page(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one, service.client() as admin:
        page = one.open("/app/audit?tab=keys")
        page.get_by_label("Whose or what for").fill("reading room")
        page.get_by_label("Expires after").fill("30")
        page.get_by_label("report: draft and decide reports").check()
        page.get_by_role("button", name="Make the key").click()
        dialog = page.get_by_role("dialog")
        shown = re.search(r"msk_[0-9a-f]{12}_[0-9a-f]{64}", dialog.inner_text())
        assert shown is not None
        assert violations(page) == []
        [made] = named(admin, "reading room")
        assert (made.scopes, made.id) == (("read", "report"), shown[0].split("_")[1])
        assert made.expires_at is not None
        dialog.get_by_role("button", name="Done").click()
        row = page.get_by_role("row", name="reading room")
        expect(row).to_contain_text("valid")
        assert shown[0] not in page.content()
        row.get_by_role("button", name="Revoke").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()
        expect(row).to_contain_text("revoked")
        [made] = named(admin, "reading room")
        assert made.revoked_at is not None
        one.assert_clean()


def test_the_trail_is_read_by_study_and_in_pages(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    with service.client("read") as reader:
        for _ in range(3):
            reader.study(filled.ct)
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open(f"/app/audit?study={filled.ct}&action=view")
        rows = page.locator("tbody tr")
        assert rows.count() >= 3
        assert set(page.locator("tbody a").evaluate_all("links => links.map(one => one.title)")) == {
            filled.ct
        }
        page.get_by_label("What").fill("sign-in")
        page.get_by_label("Study").fill("")
        page.get_by_role("button", name="Show", exact=True).click()
        one.settle()
        assert "action=sign-in" in page.url
        expect(rows.first).to_contain_text("sign-in")
        rows.first.get_by_role("button", name="admin").click()
        one.settle()
        assert "actor=" in page.url
        page.get_by_label("What").fill("peek")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("unknown-action")
        assert [one for one in one.wrong if "422" not in one] == []


def test_tabs_are_moved_along_by_keys(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/audit")
        page.get_by_role("tab", name="Audit trail").focus()
        for name in ("Keys", "Health", "Audit trail"):
            page.keyboard.press("ArrowRight")
            chosen = page.locator("[role=tab][aria-selected=true]")
            expect(chosen).to_have_text(name)
            expect(chosen).to_be_focused()
            one.settle()
        page.keyboard.press("ArrowLeft")
        expect(page.get_by_role("tabpanel")).to_contain_text("Parts of the service")
        one.settle()
        one.assert_clean()


@pytest.mark.parametrize("tab", ["keys", "health"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_tabs_are_sound(browser: Browser, service: LiveService, tab: str, theme: str) -> None:
    with watched(browser, service.url, service.keys["admin"], color_scheme=theme) as one:
        page = one.open(f"/app/audit?tab={tab}")
        assert violations(page) == []
        page.set_viewport_size({"width": 640, "height": 480})  # 200 % of a screen of 1280
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        one.assert_clean()


def test_who_is_no_administrator_is_told_what_is_lacking(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open("/app/audit?tab=keys")
        expect(page.locator("main")).to_contain_text("This page is for administrators")
        expect(page.get_by_role("navigation")).not_to_contain_text("Audit")
        assert not any("/v1/keys" in url for url in one.requests)
        one.assert_clean()
