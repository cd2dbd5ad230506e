"""Every page in every state, light and dark: axe finds nothing, the console is empty, nothing leaves the
origin, and the content policy refuses nothing.

`make test` tries each page once and the page of the cases in every state; the rest is a campaign
(`make screen-test`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.api.live_service import LiveService
from tests.web.addresses import PAGES, WITHHELD
from tests.web.browsing import Watched, violations, watched
from tests.web.filled import Filled

STATES = ("filled", "empty", "error", "slow", "signed-out", "withheld")
THEMES = ("light", "dark")
# What Chromium itself writes for an answer that a test makes an error, and for what an empty archive lacks.
_FAILED_LOAD = ("error: Failed to load resource: the server responded with a status of 500",)
_NOT_THERE = ("error: Failed to load resource: the server responded with a status of 404",)
_PROBLEM = {
    "type": "about:blank",
    "title": "Something broke",
    "status": 500,
    "code": "internal-error",
    "detail": "This answer is made by a test.",
}


def quick() -> list[Any]:
    """Each page filled, by turns light and dark, and two other states of one page."""
    turns = [(page, "filled", THEMES[n % 2]) for n, page in enumerate(PAGES)]
    return [*turns, ("cases", "empty", "light"), ("cases", "error", "dark")]


def all_others() -> list[Any]:
    """Every other page, state and theme."""
    done = quick()
    every = [(page, state, theme) for page in PAGES for state in STATES for theme in THEMES]
    return [pytest.param(*one, marks=pytest.mark.campaign) for one in every if one not in done]


@contextmanager
def shown(
    browser: Browser,
    services: tuple[LiveService, LiveService],
    filled: Filled,
    page: str,
    state: str,
    theme: str,
) -> Iterator[Watched]:
    """A page in a state: loaded, and settled unless it is kept waiting."""
    service, empty = services
    asked = empty if state == "empty" else service
    key = {"signed-out": None, "withheld": asked.keys["read"]}.get(state, asked.keys["admin"])
    lacks = state == "empty" and page in ("case", "draft")
    allowed = _FAILED_LOAD if state == "error" else _NOT_THERE if lacks else ()
    address = (WITHHELD if state == "withheld" else PAGES)[page](filled)
    with watched(browser, asked.url, key, allowed=allowed, color_scheme=theme) as one:
        held: list[Route] = []
        if state == "error":
            answer = {"status": 500, "content_type": "application/problem+json", "body": json.dumps(_PROBLEM)}
            one.page.route(_is_asked, lambda route: route.fulfill(**answer))
        elif state == "slow":
            one.page.route(_is_asked, lambda route: held.append(route))
        if state == "slow":
            one.page.goto(one.origin + address)
            one.page.wait_for_selector("h1, .skeleton, [aria-busy=true]")
            one.page.wait_for_timeout(300)
        else:
            one.open(address)
        yield one
        for route in held:
            route.abort()
        one.page.unroute_all(behavior="ignoreErrors")


def _is_asked(url: str) -> bool:
    """Whether a request is about cases; who is signed in is answered in every state."""
    path = "/" + url.split("/", 3)[3]
    return path.startswith(("/v1/", "/dicom-web/")) and not path.startswith(
        ("/v1/session", "/v1/info", "/v1/jobs")
    )


@pytest.mark.long(every=3)
@pytest.mark.parametrize(("page", "state", "theme"), [*quick(), *all_others()])
def test_a_page_is_sound(
    browser: Browser,
    service: LiveService,
    empty_service: LiveService,
    filled: Filled,
    page: str,
    state: str,
    theme: str,
) -> None:
    with shown(browser, (service, empty_service), filled, page, state, theme) as one:
        if state not in ("signed-out", "empty"):
            expect(one.page.locator("footer")).to_contain_text("Demonstration model")
        text = one.page.inner_text("body")
        assert "Research use. Not a medical device." in text
        if state == "error":
            assert "internal-error" in text, text
        if state == "signed-out":
            assert one.page.is_visible("input[type=password]")
        else:
            assert one.page.locator("h1, h2").count() > 0
        assert violations(one.page) == []
        one.assert_clean()
