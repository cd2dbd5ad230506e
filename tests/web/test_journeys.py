"""What people come for, from beginning to end, by keyboard alone: no test here points at anything.

Each thing is reached by Tab, by arrows or by the screen's keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.api.live_service import LiveService
from tests.web.browsing import Watched, watched
from tests.web.filled import Filled

MOST_STEPS = 150
"""Presses of Tab within which everything that a page holds must be reached."""


class Keyboard:
    """A person without a mouse."""

    def __init__(self, one: Watched) -> None:
        self.one = one
        self.page = one.page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        self.page.keyboard.type(text)

    def to(self, there: Locator) -> None:
        """Press Tab until something has the focus; it must be drawn, and stand out by its outline."""
        for _ in range(MOST_STEPS):
            if there.count() == 1 and there.evaluate("one => one === document.activeElement"):
                return
            self.press("Tab")
        raise AssertionError(f"{there} is not reached by {MOST_STEPS} presses of Tab")

    def named(self, role: str, name: str | re.Pattern[str], **options: bool) -> Locator:
        """Something by its role and its name, as a screen reader tells it."""
        return self.page.get_by_role(role, name=name, **options)  # type: ignore[arg-type]

    def use(self, role: str, name: str | re.Pattern[str], key: str = "Enter", **options: bool) -> None:
        """Go to something and press it."""
        there = self.named(role, name, **options)
        expect(there).to_be_enabled()
        self.to(there)
        self.press(key)


@pytest.fixture
def keyboard(browser: Browser, service: LiveService) -> Iterator[Keyboard]:
    """The first page, signed in; nothing must go wrong until the test ends."""
    with watched(browser, service.url, service.keys["admin"], reduced_motion="reduce") as one:
        one.open("/app/")
        yield Keyboard(one)
        one.assert_clean()


def test_find_a_case_by_text_and_compare_it_with_another(keyboard: Keyboard) -> None:
    page = keyboard.page
    keyboard.press("/")
    keyboard.write("melanoma")
    keyboard.press("Enter")
    page.wait_for_url("**/app/search?text=melanoma")
    keyboard.one.settle()
    keyboard.press("j", "Enter")
    page.wait_for_url(re.compile(r"/app/cases/[0-9.]+"))
    keyboard.one.settle()
    study = page.url.rsplit("/", 1)[1].split("?")[0]
    keyboard.press("s")
    page.wait_for_url("**/app/search?study=*")
    assert study in page.url
    keyboard.one.settle()
    keyboard.press("j", "w")
    expect(page.locator(".compare-pane")).to_have_count(2)
    page.wait_for_selector(".marks span")
    keyboard.to(page.locator(".compare-pane").first)
    keyboard.press("+")
    scale = "all => all.map(one => one.style.transform.split(' ').pop())"
    page.wait_for_function(
        f"({scale})([...document.querySelectorAll('.compare-picture')])[0] === 'scale(1.25)'"
    )
    assert page.locator(".compare-picture").evaluate_all(scale) == ["scale(1.25)", "scale(1.25)"]


def test_label_ten(keyboard: Keyboard, service: LiveService) -> None:
    page = keyboard.page
    page.goto(keyboard.one.origin + "/app/label?label=of-the-journey&order=random&where=modality%3DXC")
    keyboard.one.settle()
    code = page.locator(".label-facts code")
    for n in range(10):
        before = code.inner_text()
        keyboard.press("1" if n % 2 else "2", "Enter")
        expect(code).not_to_have_text(before)
    with service.client() as client:
        [summary] = [row for row in client.labels() if row.label == "of-the-journey"]
    assert (summary.n, summary.positive) == (10, 5)


@pytest.mark.long
def test_train_and_read_the_card(keyboard: Keyboard, service: LiveService) -> None:
    page = keyboard.page
    keyboard.press("g", "o")
    page.wait_for_url("**/app/models")
    keyboard.one.settle()
    train = keyboard.named("tab", re.compile("Train"))
    keyboard.to(page.get_by_role("tab", selected=True))
    for _ in range(5):
        if train.get_attribute("aria-selected") == "true":
            break
        keyboard.press("ArrowRight")
    keyboard.one.settle()
    keyboard.to(page.get_by_label("What the probe is called"))
    keyboard.write("by-keys")
    keyboard.to(page.get_by_label("melanoma"))
    keyboard.press("Space")
    keyboard.use("button", "Train on 1 label")
    expect(keyboard.named("link", "Open the probe by-keys")).to_be_visible()
    keyboard.use("link", "Open the probe by-keys")
    keyboard.one.settle()
    with service.client() as client:
        [label] = client.probe("by-keys").labels
    assert f"{label.auroc:.2f}" in page.inner_text("main")
    with page.expect_popup() as opened:
        keyboard.use("link", "Probe card")
    card = opened.value
    expect(card.get_by_role("heading").first).to_contain_text("by-keys")


@pytest.mark.long
def test_review_and_accept_a_draft(keyboard: Keyboard, service: LiveService, filled: Filled) -> None:
    page = keyboard.page
    keyboard.press("g", "d")
    page.wait_for_url("**/app/drafts")
    keyboard.one.settle()
    draft = filled.draft  # others on the list are those of other tests
    keyboard.to(page.locator(f"a.draft-link[href$='{draft}']"))
    keyboard.press("Enter")
    page.wait_for_url(f"**/app/drafts/{draft}")
    keyboard.one.settle()
    with service.http() as http:
        assert http.get(f"/v1/reports/{draft}").json()["status"] == "draft"
    for box in page.locator(".asked input[type=checkbox]").all():
        keyboard.to(box)
        keyboard.press("Space")
    keyboard.use("button", re.compile("^Accept"))
    expect(page.get_by_role("heading", name="Report", exact=False).first).to_contain_text("accepted")
    with service.http() as http:
        assert http.get(f"/v1/reports/{draft}").json()["status"] == "accepted"


def test_ingest_a_folder(keyboard: Keyboard, service: LiveService, filled: Filled) -> None:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for study in make_studies(2, 77, ["skin"]):
        write_study(study, filled.dicom.parent / "later")
    with service.client() as client:
        before = client.info().index.studies
    page = keyboard.page
    keyboard.press("g", "i")
    page.wait_for_url("**/app/ingest")
    keyboard.one.settle()
    keyboard.use("button", str(filled.dicom.parent))
    keyboard.use("button", "later", exact=True)
    keyboard.use("button", "Take this folder")
    keyboard.use("button", "Try first")
    keyboard.use("button", re.compile("^Ingest these"))
    expect(page.get_by_role("link", name="Show the newest cases")).to_be_visible(timeout=60_000)
    with service.client() as client:
        assert client.info().index.studies == before + 2


def test_descriptions_that_are_markup_are_texts(keyboard: Keyboard, filled: Filled) -> None:
    page = keyboard.page
    told: list[str] = []
    page.on("dialog", lambda dialog: told.append(dialog.message))
    for address in (f"/app/cases/{filled.markup}", "/app/cases?view=table&where=modality%3DCR|DX"):
        keyboard.one.open(address)
        assert "<img src=x onerror=" in page.inner_text("main"), address
        assert page.locator("main img[src='x'], main script, main b:text-is('bold')").count() == 0
    assert page.title() != "1"
    assert told == []


@pytest.mark.long
def test_nothing_of_a_patient_is_left_in_the_browser(keyboard: Keyboard, filled: Filled) -> None:
    page = keyboard.page
    for address in (
        "/app/cases",
        f"/app/cases/{filled.plain}",
        "/app/search?text=melanoma",
        "/app/label?label=melanoma",
    ):
        keyboard.one.open(address)
        assert page.title().endswith("medsiglip")
        assert "2.25." not in page.title()
    kept = json.loads(page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])"))
    # What the browser can draw, and how much cornerstone3D tells, is of the machine.
    of_viewer = {"cornerstone3D.renderingCapabilities", "loglevel"}
    assert set(kept[0]) <= {"theme", "keys", *of_viewer}, kept
    assert "2.25." not in json.dumps(kept), kept
