"""The page Label: a case at a time by keys, blind, undone; and what a reader without the scope sees."""

from __future__ import annotations

import json

from playwright.sync_api import Browser, Page, Route, expect

from tests.api.live_service import LiveService
from tests.web.browsing import violations, watched
from tests.web.filled import Filled

DESK = "/app/label?label=ulcer&order=random&where=modality%3DXC"


def study(page: Page) -> str:
    """The UID of the case that is shown, as it is shown."""
    return page.locator(".label-facts code").inner_text()


def left(page: Page) -> str:
    return page.get_by_role("region", name="What is left").inner_text()


def test_cases_are_labelled_by_keys_and_undone(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"], color_scheme="dark") as one:
        page = one.open(DESK)
        with service.client() as client:
            # Other tests of the process may have brought in more.
            cases = len(client.studies(where=["modality=XC"]))
        assert f"0 of {cases} cases labelled by you, {cases} left" in left(page)
        first = study(page)
        picture = page.locator(".label-stage img")
        expect(picture).to_be_visible()
        page.keyboard.press("1")
        expect(page.get_by_label("present")).to_be_checked()
        page.keyboard.press("Enter")
        expect(page.locator(".label-facts code")).not_to_have_text(first)
        second = study(page)
        page.keyboard.press("2")
        page.keyboard.press("Enter")
        expect(page.locator(".label-facts code")).not_to_have_text(second)
        expect(page.get_by_role("region", name="What is left")).to_contain_text(f"2 of {cases}")
        with service.client() as client:
            [summary] = [row for row in client.labels() if row.label == "ulcer"]
        assert (summary.n, summary.positive) == (2, 1)
        page.keyboard.press("z")
        expect(page.locator(".label-facts code")).to_have_text(second)
        expect(page.get_by_role("region", name="What is left")).to_contain_text(f"1 of {cases}")
        page.keyboard.press("k")
        expect(page.locator(".label-facts code")).to_have_text(first)
        expect(page.get_by_label("present")).to_be_checked()
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert study(page) not in (first, second)
        # Blind: nothing was asked of the model.
        assert not [url for url in one.requests if "/classify" in url or "/predict" in url]
        page.get_by_text("Agreement and learning curve").click()
        expect(page.get_by_role("region", name="Learning curve", exact=True)).to_contain_text("too few")
        assert violations(page) == []
        one.assert_clean()


def test_what_the_model_says_is_shown_when_asked(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/label?label=melanoma&where=modality%3DXC")
        assert page.locator(".bar").count() == 0
        page.get_by_label("Show what the model says").check()
        expect(page.locator(".bar")).to_have_count(1)
        expect(page.get_by_role("region", name="What the model says")).to_contain_text(
            "By the probe melanoma@1"
        )
        assert "score=1" in page.url
        one.assert_clean()


def test_several_labels_have_a_key_each(browser: Browser, service: LiveService) -> None:
    sent: list[object] = []

    def refuse(route: Route) -> None:
        sent.append(json.loads(route.request.post_data or ""))
        route.abort()

    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/label?label=clear&label=sharp&order=diversity")
        page.route(
            "**/v1/labels",
            refuse,
        )
        for key in ("1", "2", "2"):
            page.keyboard.press(key)
        one.allowed = ("error: Failed to load resource",)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not answer")
        [body] = sent
        assert isinstance(body, dict)
        assert [(row["label"], row["value"]) for row in body["rows"]] == [("clear", 1), ("sharp", 0)]
        one.assert_clean()


def test_a_reader_without_the_scope_sees_and_does_not_label(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open(f"/app/label?label=ulcer&where=study_instance_uid%3D{filled.withheld}")
        expect(page.locator(".label-stage .withheld")).to_contain_text("Withheld")
        expect(page.get_by_role("button", name="Save and go on")).to_be_disabled()
        assert page.get_by_text("a key that has the scope write").is_visible()
        page = one.open(f"/app/label?label=ulcer&order=diversity&where=study_instance_uid%3D{filled.ct}")
        slider = page.get_by_role("slider")
        before = slider.input_value()
        page.keyboard.press("ArrowRight")
        expect(slider).not_to_have_value(before)
        one.assert_clean()


def test_nothing_is_chosen_yet(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/label")
        assert violations(page) == []
        page.get_by_role("link", name="melanoma").click()
        one.settle()
        assert "label=melanoma" in page.url
        page.get_by_label("Filter", exact=True).fill("modality=MR")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.get_by_text("No case passes the filters")).to_be_visible()
        one.assert_clean()
