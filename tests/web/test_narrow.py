"""Windows of 320 pixels, which is 400 % zoom, long words, and a session that ends in the middle."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.api.live_service import LiveService
from tests.web.addresses import PAGES
from tests.web.browsing import watched
from tests.web.filled import Filled


def test_nothing_is_wider_than_a_narrow_window(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    """WCAG 2.2, 1.4.10: to read, one scrolls in one direction; wide tables scroll in their own box."""
    narrow = {"width": 320, "height": 640}
    names = ("cases-table", "case", "draft", "pacs", "pacs-find", "pacs-studies")
    addresses = [PAGES[name](filled) for name in names]
    addresses.append(f"/app/label?label={'L' * 200}")
    with watched(browser, service.url, service.keys["admin"], viewport=narrow) as one:
        for address in addresses:
            page = one.open(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, address


def test_who_is_signed_out_in_the_middle_is_told_so(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open("/app/cases")
        page.context.clear_cookies()
        page.get_by_label("Sort").select_option("-study_date")
        expect(page.get_by_text("Your session has ended.")).to_be_visible()
        assert page.url.endswith("?sort=-study_date")
