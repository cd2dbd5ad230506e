"""The page of a search: it asks what its tray says, and shows what the service answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.api.live_service import LiveService
from tests.web.browsing import Watched, watched
from tests.web.filled import Filled


@pytest.fixture
def reader(browser: Browser, service: LiveService) -> Iterator[Watched]:
    """A page of somebody who may read, and no more."""
    with watched(browser, service.url, service.keys["read"]) as one:
        yield one


def shown(page: Page) -> list[tuple[str, str]]:
    """The study and the image of each hit, in the order of the tiles."""
    links = page.locator("a.tile-picture").evaluate_all("all => all.map(one => one.href)")
    parts = [urlsplit(link) for link in links]
    return [(one.path.rsplit("/", 1)[1], parse_qs(one.query)["image"][0]) for one in parts]


def answered(service: LiveService, **question: Any) -> list[tuple[str, str]]:
    """The same from the service itself."""
    with service.http("read") as asked:
        answer = asked.post("/v1/search", json={"k": 24, **question}).json()
    return [(one["study_instance_uid"], str(one["image_id"])) for one in answer["hits"]]


def test_hits_are_those_of_the_service_with_where_they_stand(reader: Watched, service: LiveService) -> None:
    page = reader.open("/app/search?text=melanoma")
    assert shown(page) == answered(service, text="melanoma")
    with service.http("read") as asked:
        best = asked.post("/v1/search", json={"text": "melanoma", "k": 1}).json()["hits"][0]
    words = f"{best['score']:.2f}, better than {100 * best['percentile']:.0f} %"
    assert words in page.locator(".standing").first.inner_text().replace("\n", "")
    page.get_by_role("button", name="More hits").click()
    expect(page.locator("a.tile-picture")).to_have_count(len(answered(service, text="melanoma", k=48)))
    assert shown(page) == answered(service, text="melanoma", k=48)
    reader.assert_clean()


def test_all_parts_of_the_tray_are_asked_together(
    reader: Watched, service: LiveService, filled: Filled
) -> None:
    page = reader.open(
        f"/app/search?text=nodule&study={filled.ct}&w=text:0.25&level=image&where=modality%3DCR%7CDX&per_patient=1"
    )
    asked = {
        "text": "nodule",
        "study_instance_uid": filled.ct,
        "weights": {"text": 0.25, "study": 0.5},
        "level": "image",
        "where": ["modality=CR|DX"],
        "per_patient": 1,
    }
    assert shown(page) == answered(service, **asked)
    page.get_by_label("Weight of text").fill("2")
    page.get_by_label("Weight of text").press("Tab")
    page.wait_for_url("**w=text%3A2*")
    reader.settle()
    assert shown(page) == answered(service, **asked | {"weights": {"text": 2, "study": 0.5}})
    page.get_by_role("button", name="Remove the text").click()
    page.get_by_label("Same patient too").check()
    page.wait_for_url("**same=1*")
    reader.settle()
    del asked["text"], asked["weights"]
    assert shown(page) == answered(service, **asked, include_same_patient=True)
    page.get_by_label("A hit is").select_option("study")
    page.wait_for_url("**level=study*")
    reader.settle()
    assert shown(page) == answered(service, **asked | {"level": "study"}, include_same_patient=True)
    reader.assert_clean()


def test_hits_become_examples_by_button_and_by_key(reader: Watched, service: LiveService) -> None:
    page = reader.open("/app/search?text=melanoma")
    first, second = (int(image) for _, image in shown(page)[:2])
    page.get_by_role("button", name="More like hit 2", exact=True).click()
    page.wait_for_url(f"**more={second}*")
    reader.settle()
    assert shown(page) == answered(service, text="melanoma", positive=[second])
    page.keyboard.press("j")
    page.keyboard.press("j")
    third = int(page.evaluate("new URL(document.activeElement.href).searchParams.get('image')"))
    page.keyboard.press("-")
    page.wait_for_url(f"**less={third}*")
    reader.settle()
    assert shown(page) == answered(service, text="melanoma", positive=[second], negative=[third])
    command = "--negative"
    page.get_by_role("button", name="As data").click()
    assert command in page.locator("dialog code").last.inner_text()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert first != third
    reader.assert_clean()


def test_a_hit_stands_beside_the_question_and_both_zoom_together(
    reader: Watched, service: LiveService, filled: Filled
) -> None:
    page = reader.open(f"/app/search?study={filled.ct}")
    with service.http("read") as asked:
        best = asked.post("/v1/search", json={"study_instance_uid": filled.ct, "k": 1}).json()["hits"][0]
        pair = best["pairs"][0]
        why = asked.post(
            "/v1/why", json={"image_id": pair["query_image_id"], "like_image_id": pair["image_id"]}
        ).json()
    page.keyboard.press("j")
    page.keyboard.press("w")
    page.wait_for_selector(".marks span")
    images = {
        re.search(r"/images/(\d+)/preview", url)[1]  # type: ignore[index]
        for url in reader.requests
        if "/preview" in url
    }
    assert images == {str(pair["query_image_id"]), str(pair["image_id"])}
    marks = (
        page.locator(".marks")
        .first.locator("span")
        .evaluate_all("all => all.map(one => [parseFloat(one.style.left), parseFloat(one.style.top)])")
    )
    places = [[100 * one["image"]["x"], 100 * one["image"]["y"]] for one in why["matches"][: len(marks)]]
    assert marks == [pytest.approx(place, abs=0.01) for place in places]

    def scales() -> list[str]:
        found: list[str] = page.locator(".compare-picture").evaluate_all(
            "all => all.map(one => one.style.transform.split(' ').pop())"
        )
        return found

    page.locator(".compare-pane").first.press("+")
    page.wait_for_timeout(100)
    assert scales() == ["scale(1.25)", "scale(1.25)"]
    page.locator(".compare-pane").last.press("0")
    page.wait_for_timeout(100)
    assert scales() == ["scale(1)", "scale(1)"]
    reader.assert_clean()


def test_dropped_files_are_searched_with_and_named_in_no_address(
    reader: Watched, service: LiveService, filled: Filled
) -> None:
    page = reader.open("/app/search")
    assert "What are you looking for?" in page.inner_text("main")
    file = next(path for path in sorted(filled.dicom.rglob("*.dcm")))
    page.locator("input[type=file]").set_input_files(str(file))
    page.wait_for_selector("a.tile-picture")
    reader.settle()
    with service.http("read") as asked, file.open("rb") as content:
        found = asked.post("/v1/search", files={"file": (file.name, content)}, data={"k": "24"}).json()
    assert [image for _, image in shown(page)] == [str(one["image_id"]) for one in found["hits"]]
    assert file.name in page.inner_text(".tray")
    assert file.stem not in page.url + page.title()
    page.get_by_role("button", name="Remove file 1").click()
    page.wait_for_selector("text=What are you looking for?")
    reader.assert_clean()


def test_nothing_found_says_what_may_have_removed_all(reader: Watched) -> None:
    page = reader.open("/app/search?text=melanoma&where=modality%3DNM")
    assert "Nothing found" in page.inner_text("main")
    page.get_by_role("button", name="Search without it").first.click()
    page.wait_for_selector("a.tile-picture")
    reader.assert_clean()


def test_no_more_than_200_tiles_are_in_the_page(browser: Browser, service: LiveService) -> None:
    """Pages without end, of hits that are made up."""

    def page_of(route: Any) -> None:
        asked = json.loads(route.request.post_data)
        start = int(asked.get("cursor") or 0)
        hits = [
            {
                "rank": start + n + 1,
                "score": 0.5,
                "image_id": start + n + 1,
                "study_instance_uid": f"1.{start + n}",
            }
            | {"series_instance_uid": "1", "sop_instance_uid": "1", "frame": 0, "modality": "CT"}
            | {"patient_key": "a", "labels": {}}
            for n in range(24)
        ]
        answer = {"space": "s", "level": "image", "query": {}, "hits": hits, "cursor": str(start + 24)}
        route.fulfill(json=answer)

    with watched(browser, service.url, service.keys["read"]) as one:
        one.page.route("**/v1/search", page_of)
        page = one.open("/app/search?text=a")
        more = page.get_by_role("button", name="More hits")
        end = page.get_by_text("narrow the question")
        for shown in range(48, 500, 24):
            more.click()
            expect(page.get_by_text(f"{shown} shown").or_(end)).to_be_visible()
            if end.count():
                break
        assert 100 < page.locator("article.tile").count() <= 200
        one.page.unroute_all(behavior="ignoreErrors")
