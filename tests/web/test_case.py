"""The page of a case: its pictures are those of the files, and opening it is one event of the audit trail."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.sync_api import Browser, Page, Route
from pydicom.pixels.processing import apply_modality_lut

from tests.api.live_service import LiveService
from tests.web.browsing import Watched, watched
from tests.web.filled import Filled

_SHOWN = ".viewer-canvas[data-slice]"


@pytest.fixture
def reader(browser: Browser, service: LiveService) -> Iterator[Watched]:
    """A page of somebody who may read, and no more."""
    with watched(browser, service.url, service.keys["read"]) as one:
        yield one


def opened(one: Watched, address: str) -> Page:
    """A case whose first slice is drawn."""
    page = one.open(address)
    page.wait_for_selector(_SHOWN)
    return page


def slices(filled: Filled) -> list[pydicom.Dataset]:
    """The instances of the CT in the order of their places."""
    found = [pydicom.dcmread(path) for path in filled.dicom.rglob("*.dcm")]
    own = [one for one in found if filled.ct == one.StudyInstanceUID]
    return sorted(own, key=lambda one: float(one.ImagePositionPatient[2]))


def events_of(service: LiveService, uid: str) -> list[dict[str, Any]]:
    with service.http() as asked:
        found: list[dict[str, Any]] = asked.get(f"/v1/studies/{uid}/audit").json()["events"]
    return found


def at_slice(page: Page, number: int) -> None:
    """Wait until the slice with this number, from 0, is drawn."""
    page.wait_for_selector(f".viewer-canvas[data-slice='{number}']")


def test_opening_a_case_with_all_its_slices_is_one_event(
    reader: Watched, service: LiveService, filled: Filled
) -> None:
    before = {one["sequence"] for one in events_of(service, filled.ct)}
    page = opened(reader, f"/app/cases/{filled.ct}?slice=1")
    canvas = page.locator(".viewer-canvas")
    canvas.press("End")
    at_slice(page, len(slices(filled)) - 1)
    page.get_by_role("button", name="As the model saw it").click()
    page.wait_for_selector("img.preview")
    new = [one for one in events_of(service, filled.ct) if one["sequence"] not in before]
    assert [(one["action"], one["name"]) for one in new] == [("view", "read")]
    reader.assert_clean()


def test_frames_that_are_dropped_before_they_were_asked_for_are_no_errors(
    reader: Watched, filled: Filled
) -> None:
    held: list[Route] = []
    asked: list[str] = []

    def hold(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.continue_()
        else:
            held.append(route)

    page = reader.page
    page.route("**/frames/*", hold)
    page.goto(f"{reader.origin}/app/cases/{filled.ct}?slice=1")
    page.wait_for_selector(_SHOWN)
    while len(held) < 4:  # as many as are on their way at once; the others wait
        page.wait_for_timeout(50)
    page.get_by_role("button", name="As the model saw it").click()
    page.wait_for_selector("img.preview")
    for route in held:
        route.continue_()
    reader.settle()
    assert len(asked) == 5
    reader.assert_clean()


def test_what_else_there_is_of_a_case_is_asked_for_when_it_is_opened(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = opened(one, f"/app/cases/{filled.ct}")
        asked = [url for url in one.requests if re.search(r"/v1/(search|cases|reports)", url)]
        assert asked == []
        for name, title in {
            "similar": "Similar cases",
            "others": "Other studies of the patient",
            "labels": "Labels",
            "drafts": "Drafts",
            "seen": "Who has seen it",
        }.items():
            page.locator(".panel summary", has_text=title).click()
            page.wait_for_url(f"**{name}=1*")
        one.settle()
        with service.http() as other:
            found = other.post(
                "/v1/search",
                json={"study_instance_uid": filled.ct, "level": "study", "k": 8, "per_patient": 1},
            ).json()
        shown = page.locator(".tiles-small a").evaluate_all("all => all.map(one => one.href)")
        assert [url.split("/cases/")[1].split("?")[0] for url in shown] == [
            hit["study_instance_uid"] for hit in found["hits"]
        ]
        assert page.locator(".panel td", has_text="view").count() >= 1
        one.assert_clean()


def test_values_under_the_pointer_are_those_of_the_file(reader: Watched, filled: Filled) -> None:
    """pydicom's Hounsfield units, on slices that are drawn in the order of their places."""
    page = opened(reader, f"/app/cases/{filled.ct}?slice=1")
    canvas = page.locator(".viewer-canvas")
    box = canvas.bounding_box()
    assert box is not None
    instances = slices(filled)
    for number in (0, len(instances) // 2):
        canvas.press("Home")
        at_slice(page, 0)
        for _ in range(number):
            page.keyboard.press("j")
        at_slice(page, number)
        one = instances[number]
        values = apply_modality_lut(one.pixel_array, one)
        scale = min(box["width"] / one.Columns, box["height"] / one.Rows)
        for row, column in ((one.Rows // 2, one.Columns // 2), (one.Rows // 3, one.Columns // 4)):
            x = box["width"] / 2 + (column - (one.Columns - 1) / 2) * scale
            y = box["height"] / 2 + (row - (one.Rows - 1) / 2) * scale
            canvas.hover(position={"x": x, "y": y}, force=True)
            text = page.inner_text(".viewer-words")
            assert text.split()[-2:] == [f"{float(values[row, column]):g}", "HU"], (number, row, column, text)


def test_number_keys_choose_windows_and_zero_the_stored_one(reader: Watched, filled: Filled) -> None:
    page = opened(reader, f"/app/cases/{filled.ct}")
    page.keyboard.press("1")
    page.wait_for_selector("text=W 1500 L -600")
    assert page.get_by_role("button", name="Lung").get_attribute("aria-pressed") == "true"
    dark = page.locator(".viewer-canvas canvas").first.screenshot()
    page.keyboard.press("3")
    page.wait_for_selector("text=W 1800 L 400")
    page.wait_for_timeout(200)
    assert page.locator(".viewer-canvas canvas").first.screenshot() != dark
    page.keyboard.press("0")
    stored = slices(filled)[0]
    words = f"W {float(stored.WindowWidth):.0f} L {float(stored.WindowCenter):.0f}"
    page.wait_for_selector(f"text={words}")


def test_a_finding_colours_the_slices_and_leads_to_the_one_that_drives_it(
    reader: Watched, service: LiveService, filled: Filled
) -> None:
    with service.client("read") as client:
        told = client.classify(study=filled.ct, prompts="phantoms", by_image=True)
        images = {one.image_id: one for one in client.study(filled.ct).images}
    assert told.by_image is not None
    order = [str(one.SOPInstanceUID) for one in slices(filled)]
    page = opened(reader, f"/app/cases/{filled.ct}?ask=prompts:phantoms&label=nodule&slice=1")
    page.wait_for_selector(".slice-score")
    drawn = page.locator(".slice-strip rect").evaluate_all(
        "all => all.map(one => one.getAttribute('fill-opacity'))"
    )
    scores = dict(zip(told.by_image.image_ids, told.by_image.probability["nodule"], strict=True))
    by_place = [0.0] * len(order)
    for image, score in scores.items():
        assert score is not None
        by_place[order.index(images[image].sop_instance_uid)] = score
    least, most = min(by_place), max(by_place)
    assert [float(one) for one in drawn] == pytest.approx(
        [0.08 + 0.92 * (score - least) / (most - least) for score in by_place]
    )
    page.get_by_role("button", name="To the slice that drives nodule").click()
    at_slice(page, by_place.index(most))
    page.wait_for_url(f"**slice={by_place.index(most) + 1}*")
    reader.assert_clean()


def test_few_frames_are_fetched_ahead_and_at_most_four_at_once(reader: Watched, filled: Filled) -> None:
    under_way, most = 0, 0

    def began(request: Any) -> None:
        nonlocal under_way, most
        if "/frames/" in request.url:
            under_way += 1
            most = max(most, under_way)

    def ended(request: Any) -> None:
        nonlocal under_way
        under_way -= "/frames/" in request.url

    reader.page.on("request", began)
    reader.page.on("requestfinished", ended)
    opened(reader, f"/app/cases/{filled.ct}?slice=1")
    reader.settle()
    frames = [url for url in reader.requests if "/frames/" in url]
    assert 1 < len(frames) == len(set(frames)) <= 9  # the one that is shown, and eight after it
    assert most <= 4
    reader.assert_clean()


@pytest.mark.long
def test_what_may_bear_a_name_is_shown_to_administrators_alone(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    address = f"/app/cases/{filled.withheld}"
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open(address)
        page.wait_for_selector("text=Somebody with the scope admin may show it")
        assert page.get_by_role("button", name="Show them").count() == 0
        assert not [url for url in one.requests if "/frames/" in url or "/preview" in url]
        one.assert_clean()
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open(address)
        page.get_by_role("button", name="Show them").click()
        page.wait_for_selector(_SHOWN)
        one.assert_clean()


def test_the_viewer_comes_with_the_first_case_that_needs_it(reader: Watched, filled: Filled) -> None:
    for address in ("/app/cases", "/app/search?text=melanoma"):
        reader.open(address)
    big = [url for url in reader.requests if re.search(r"/(viewer|decoder)-[A-Z0-9]+\.js", url)]
    assert big == []
    opened(reader, f"/app/cases/{filled.plain}")
    names = [Path(url).name.split("-")[0] for url in reader.requests if "/built/" in url]
    assert names.count("viewer") == 1
    assert names.count("decoder") == 1


def test_a_picture_with_a_table_of_colours_is_drawn_by_the_service(reader: Watched, filled: Filled) -> None:
    def with_table(route: Any) -> None:
        answer = route.fetch()
        told = [one | {"00280004": {"vr": "CS", "Value": ["PALETTE COLOR"]}} for one in answer.json()]
        route.fulfill(response=answer, json=told)

    reader.page.route("**/metadata", with_table)
    page = reader.open(f"/app/cases/{filled.plain}")
    page.wait_for_selector("img.preview")
    assert "Drawn by the service" in page.inner_text(".stage")
    assert not [url for url in reader.requests if "/frames/" in url]
    reader.assert_clean()


def test_links_lead_to_the_viewers_of_the_setting(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    def with_viewers(route: Any) -> None:
        answer = route.fetch()
        told = answer.json() | {"viewers": [{"name": "PACS", "url": "https://pacs.example/?uid={study}"}]}
        route.fulfill(response=answer, json=told)

    with watched(browser, service.url, service.keys["read"]) as one:
        one.page.route("**/v1/info", with_viewers)
        page = opened(one, f"/app/cases/{filled.plain}")
        link = page.get_by_role("link", name="PACS")
        assert link.get_attribute("href") == f"https://pacs.example/?uid={filled.plain}"
        assert "noopener" in (link.get_attribute("rel") or "")
