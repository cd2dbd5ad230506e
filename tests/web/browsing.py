"""Debian's Chromium, driven by Playwright, with an eye on what a page must not do: a message on the console,
an error, a request to another origin, something that the content policy refuses.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.repository import ROOT

# WebGL2 by SwiftShader: there need be no graphics card.
ARGUMENTS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-gpu-vsync",
]
# A first score loads the model and measures the archive, which takes half a minute on two busy cores.
PATIENCE_MS = 120_000
AXE = ROOT / "api" / "web" / "node_modules" / "axe-core" / "axe.min.js"
# WCAG 2.2, levels A and AA, and what axe calls good practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; without one the test is skipped."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium is installed")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and what it did that it must not; `allowed` are beginnings of messages that a test provokes."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self._console(message))
        self.page.on("pageerror", lambda error: self._note(f"error: {error}"))
        self.page.on("request", lambda request: self._requested(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        where = urlsplit(message.location["url"]).path
        self._note(f"{message.type}: {message.text} ({where})")

    def _note(self, text: str) -> None:
        if not text.startswith(self.allowed):
            self.wrong.append(text)

    def _requested(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("data", "blob"):
            return
        self.requests.append(url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.wrong.append(f"request to {url}")

    def open(self, path: str) -> Page:
        """Load a page of the service and wait until nothing is under way."""
        self.page.goto(self.origin + path)
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until what stands for something that loads is gone and no request is under way."""
        self.page.wait_for_load_state("networkidle")
        # Before there is a page nothing of it loads.
        expect(self.page.locator("main")).to_be_visible(timeout=PATIENCE_MS)
        # No script of the test's: the page's policy refuses what is evaluated.
        expect(self.page.locator("main .skeleton, [aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)
        self.page.wait_for_load_state("networkidle")

    def assert_clean(self) -> None:
        """Nothing happened that must not."""
        assert self.wrong == [], self.wrong


def violations(page: Page) -> list[str]:
    """What axe finds on the page as it is, one line for each element."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there: `make screen-install` gets it from npm")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations']})",
        RULES,
    )
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@contextmanager
def watched(
    browser: Browser, origin: str, key: str | None = None, *, allowed: tuple[str, ...] = (), **options: Any
) -> Iterator[Watched]:
    """A page in a context of its own, signed in with `key`; `options` are those of a Playwright context.

    The content policy is not bypassed: axe is put in by the debugging protocol, which it does not concern.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(PATIENCE_MS)
    try:
        if key is not None:
            sign_in(context, origin, key)
        yield Watched(context.new_page(), origin, allowed=allowed)
    finally:
        context.close()


def sign_in(context: BrowserContext, origin: str, key: str) -> None:
    """Get the session's cookie."""
    answer = context.request.post(f"{origin}/v1/session", data={"key": key}, headers={"Origin": origin})
    assert answer.ok, answer.text()


def save_screenshot(page: Page, path: Path) -> None:
    """The whole window as a PNG, without a blinking caret."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(path), animations="disabled", caret="hide")
