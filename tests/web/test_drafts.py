"""The page of drafts: sentences are decided by keys and by mouse, and what is decided is what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.api.live_service import LiveService
from tests.web.browsing import Watched, violations, watched
from tests.web.filled import Filled

TEXT = (
    "FINDINGS: There is a large pleural effusion. The heart is enlarged. No pneumothorax.\n"
    "IMPRESSION: Follow-up is advised."
)


@pytest.fixture(scope="module")
def draft(service: LiveService, filled: Filled) -> Iterator[str]:
    """A draft of the plain study with two contradictions; each test of this module goes on with it."""
    with service.http() as http:
        job = http.post("/v1/reports", json={"study_instance_uid": filled.plain}).json()["id"]
        with service.client() as client:
            client.wait(client.job(job))
        http.post(f"/v1/reports/{job}/edit", json={"text": TEXT}).raise_for_status()
        yield job


def stored(service: LiveService, draft: str) -> dict[str, Any]:
    with service.http() as http:
        found: dict[str, Any] = http.get(f"/v1/reports/{draft}").json()
        return found


def test_a_reader_sees_verdicts_and_cannot_decide(browser: Browser, service: LiveService, draft: str) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open(f"/app/drafts/{draft}")
        expect(page.get_by_role("list", name="Sentences of the draft").locator("> li")).to_have_count(4)
        assert page.locator(".sentence .sign-contradict").count() == 2
        assert page.get_by_text("needs a key with the scope report").is_visible()
        assert page.get_by_role("button", name="Accept").count() == 0
        one.assert_clean()


def test_it_is_accepted_only_when_each_contradiction_was_decided(
    browser: Browser, service: LiveService, draft: str
) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open(f"/app/drafts/{draft}")
        accept = page.get_by_role("button", name="Accept")
        expect(accept).to_be_disabled()
        page.keyboard.press("3")  # the first that must be decided is selected
        page.keyboard.press("n")
        page.keyboard.press("2")
        expect(page.get_by_label("Words of sentence 2")).to_be_focused()
        page.keyboard.press("Control+A")
        page.keyboard.type("The heart is of normal size.")
        assert draft in page.url
        page.keyboard.press("Escape")
        assert draft in page.url, "Escape leaves the field, and not the draft"
        expect(page.get_by_role("region", name="What your decisions change")).to_contain_text("+")
        for box in page.locator(".asked input[type=checkbox]").all():
            box.check()
        expect(accept).to_be_enabled()
        assert violations(page) == []
        assert stored(service, draft)["status"] == "edited", "nothing is stored until it is accepted"
        kept_away(one, draft)
        expect(accept).to_be_enabled()
        accept.click()
        expect(page.get_by_role("heading", name="Report", exact=False).first).to_contain_text("accepted")
        one.assert_clean()
    done = stored(service, draft)
    assert (done["status"], done["history"][-1]["by"]) == ("accepted", done["history"][-2]["by"])
    assert done["text"].startswith("FINDINGS: The heart is of normal size. No pneumothorax.\n")
    assert [one["choice"] for one in done["history"][-1]["decisions"]] == ["cut", "edit"]


def kept_away(one: Watched, draft: str) -> None:
    """Decisions are there again after another page was looked at, in the same browser."""
    one.page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models").click()
    expect(one.page.get_by_role("heading", name="Models")).to_be_visible()
    one.page.go_back()
    expect(one.page.get_by_role("button", name="Forget 2 decisions")).to_be_visible()
    assert draft in one.page.url


def test_the_list_is_filtered_by_status_and_verdict(
    browser: Browser, service: LiveService, draft: str
) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/drafts?status=accepted")
        expect(page.locator("a.draft-link")).to_have_count(1)
        assert draft in (page.locator("a.draft-link").get_attribute("href") or "")
        page.get_by_label("With a sentence that is").select_option("contradict")
        assert "verdict=contradict" in page.url
        expect(page.get_by_role("heading", name="No draft passes these filters")).to_be_visible()
        page.get_by_role("button", name="Drop all filters").click()
        expect(page.locator("a.draft-link").first).to_be_visible()
        page.keyboard.press("j")
        expect(page.locator("a.draft-link").first).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="History")).to_be_visible()
        one.assert_clean()
