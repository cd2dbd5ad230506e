"""The page of the map: points, their meaning, their true neighbours, and the way to cases."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.live_service import LiveService
from tests.web.browsing import Watched, violations, watched


@pytest.fixture
def writer(browser: Browser, service: LiveService) -> Iterator[Watched]:
    """A page of somebody who may do everything."""
    with watched(browser, service.url, service.keys["admin"]) as one:
        yield one


def opened(watch: Watched, query: str = "") -> Page:
    page = watch.open(f"/app/map{query}")
    expect(page.locator(".map-stage[data-drawn]")).to_be_visible()
    watch.settle()
    return page


def test_it_says_what_colours_mean_and_how_far_it_can_be_believed(
    writer: Watched, service: LiveService
) -> None:
    page = opened(writer)
    with service.client("read") as client:
        found, colours = client.map(), client.map_colours("modality")
    expect(page.locator(".map-stage")).to_have_attribute("data-drawn", str(found.points))
    assert found.neighbours_kept is not None
    expect(page.locator(".map-worth")).to_contain_text(f"{100 * found.neighbours_kept:.0f} %")
    values = page.locator(".map-value").all_inner_texts()
    shown = [tuple(re.split(r"\s+", one.strip())[:2]) for one in values]
    assert shown == [(name, str(n)) for name, n in zip(colours.names, colours.counts, strict=True)]
    page.get_by_label("Colour by").select_option("neighbours_kept")
    page.wait_for_url("**colour=neighbours_kept*")
    expect(page.locator(".map-ramp")).to_be_visible()
    writer.assert_clean()


def test_a_pinned_text_lists_its_true_neighbours(writer: Watched, service: LiveService) -> None:
    page = opened(writer)
    page.get_by_label("Where is").fill("chest")
    page.get_by_role("button", name="Pin on the map").click()
    page.wait_for_url("**text=chest*")
    writer.settle()
    expect(page.locator(".map-item")).to_have_count(10)
    with service.client("read") as client:
        expected = [one.study_instance_uid for one in client.map_place(text="chest").neighbours]
    assert page.locator(".map-item a").evaluate_all("all => all.map(one => one.title)") == expected
    page.locator(".map-item button").first.click()
    page.wait_for_url("**point=*")
    writer.settle()
    expect(page.get_by_role("link", name="Open the case")).to_be_visible()
    writer.assert_clean()


def test_keys_move_the_map_and_open_the_point_in_its_middle(writer: Watched, service: LiveService) -> None:
    page = opened(writer)
    page.locator(".map-stage").focus()
    for key in ("+", "ArrowLeft", "ArrowUp", "-", "0", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**point=*")
    with service.client("read") as client:
        places, images = client.map_points()
    nearest = int(images[(places**2).sum(axis=1).argmin()])
    assert f"point={nearest}" in page.url
    writer.settle()
    writer.assert_clean()


def test_a_lasso_leads_to_the_cases_of_its_points(writer: Watched, service: LiveService) -> None:
    page = opened(writer)
    page.get_by_role("button", name="Lasso").click()
    box = page.locator(".map-stage").bounding_box()
    assert box is not None
    left, top, width, height = box["x"], box["y"], box["width"], box["height"]
    middle = left + width / 2
    corners = [
        (middle, top + 3),
        (middle, top + height - 3),
        (left + 3, top + height - 3),
        (left + 3, top + 3),
    ]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=6)
    page.mouse.up()
    with service.client("read") as client:
        places, images = client.map_points()
    chosen = sorted(images[places[:, 0] < 0].tolist())
    expect(page.get_by_label("Selected points")).to_contain_text(f"{len(chosen)} points selected")
    page.get_by_role("button", name=f"Collect {len(chosen)}").click()
    page.get_by_label("Name of the collection").fill("left-half")
    page.get_by_role("dialog").get_by_role("button", name="Collect").click()
    page.wait_for_url("**/app/cases*collection*left-half*")
    writer.settle()
    with service.client("read") as client:
        [collection] = [one for one in client.collections() if one.name == "left-half"]
    assert collection.cases == len(chosen)
    writer.assert_clean()


def test_what_is_in_view_is_selected_by_keyboard_and_few_open_as_cases(
    writer: Watched, service: LiveService
) -> None:
    page = opened(writer)
    page.get_by_role("button", name="Select what is in view").press("Enter")
    with service.client("read") as client:
        count = client.map().points
    page.get_by_role("button", name=f"Show {count} in Cases").click()
    page.wait_for_url("**/app/cases?where=image_id*")
    writer.settle()
    writer.assert_clean()


def test_100_000_points_are_drawn_and_chosen(writer: Watched) -> None:
    random = np.random.default_rng(0)
    places = random.uniform(-1, 1, (100_000, 2)).astype("<f4")
    content = places.tobytes() + np.arange(1, 100_001, dtype="<u4").tobytes()
    assert len(content) <= 1_200_000
    codes = b64encode(random.integers(0, 3, 100_000, dtype=np.uint8).tobytes()).decode()
    names = {"kind": "category", "names": ["CT", "MR", "XC"], "counts": [1, 2, 3], "unknown": 0}
    page = writer.page
    page.route("**/v1/map/points?*", lambda route: route.fulfill(body=content))
    colours = {"level": "study", "version": 1, "field": "modality", **names, "codes": codes}
    page.route("**/v1/map/colours?*", lambda route: route.fulfill(json=colours))
    page = opened(writer)
    expect(page.locator(".map-stage")).to_have_attribute("data-drawn", "100000")
    page.get_by_role("button", name="Closer").click()
    page.get_by_role("button", name="Select what is in view").click()
    box = page.locator(".map-stage").bounding_box()
    assert box is not None
    unit = min(box["width"] - 2, box["height"] - 2) / 2 * 0.94 * 1.6
    half = ((box["width"] - 2) / 2 / unit, (box["height"] - 2) / 2 / unit)
    inside = int((np.abs(places) <= half).all(axis=1).sum())
    chosen = page.get_by_label("Selected points").locator("strong").inner_text()
    assert int(chosen.split()[0].replace(",", "")) == pytest.approx(inside, rel=0.01)
    page.get_by_role("tab", name="Table").click()
    expect(page.locator(".map-side tbody tr")).to_have_count(100)
    writer.assert_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_can_be_read_by_everybody(browser: Browser, service: LiveService, scheme: str) -> None:
    key = service.keys["admin"]
    with watched(browser, service.url, key, color_scheme=scheme) as watch:
        for query in (
            "",
            "?list=outliers",
            "?list=duplicates",
            "?list=table",
            "?text=chest",
            "?level=series",
        ):
            page = watch.open(f"/app/map{query}")
            watch.settle()
            assert violations(page) == [], query
        watch.assert_clean()


def test_a_map_that_is_not_there_can_be_made(writer: Watched) -> None:
    page = writer.open("/app/map?level=image")
    page.get_by_role("button", name="Make the map").click()
    expect(page.locator(".map-stage[data-drawn]")).to_be_visible()
    writer.settle()
    writer.assert_clean()
