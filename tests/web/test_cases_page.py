"""The page of the cases in Chromium: facets, keys, selection, collections, views, and a list of thousands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from medsiglip.index.case_index import CaseIndex
from tests.api.live_service import LiveService, live_service
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.web.browsing import Watched, violations, watched
from tests.web.filled import Filled

MANY = 3000
MOST_TILES = 200
LONGEST_TASK_MS = 50


@pytest.fixture
def cases(browser: Browser, service: LiveService) -> Iterator[Watched]:
    with watched(browser, service.url, service.keys["admin"]) as one:
        yield one


def where_of(page: Page) -> list[str]:
    """The filters of the page's address."""
    return parse_qs(urlsplit(page.url).query).get("where", [])


def facet(page: Page, title: str, value: str) -> Any:
    box = page.locator("details.facet", has=page.locator("summary", has_text=title))
    return box.locator("label.facet-value", has=page.locator(f".facet-name:text-is('{value}')"))


def test_facets_filter_and_the_address_keeps_them(cases: Watched, service: LiveService) -> None:
    page = cases.open("/app/cases")
    with service.http("read") as http:
        counted = http.get("/v1/facets").json()
    modality = {one["value"]: one["count"] for one in counted["facets"][0]["values"]}
    for value, count in modality.items():
        assert facet(page, "Modality", value).locator(".facet-count").inner_text().split()[0] == str(count)
    facet(page, "Modality", "CT").locator("input").check()
    expect(page.locator("h1")).to_contain_text(f"{modality['CT']} cases")
    assert where_of(page) == ["modality=CT"]
    # A second value of the same facet widens it, and stays in the same filter.
    facet(page, "Modality", "CR").locator("input").check()
    both = modality["CT"] + modality["CR"]
    expect(page.locator("h1")).to_contain_text(f"{both} cases")
    assert where_of(page) == ["modality=CT or modality=CR"]
    page.reload()
    cases.settle()
    expect(facet(page, "Modality", "CT").locator("input")).to_be_checked()
    page.go_back()
    expect(page.locator("h1")).to_contain_text(f"{modality['CT']} cases")
    page.get_by_label("Another filter").fill("patient_sex=Q")
    page.keyboard.press("Enter")
    state = page.locator("section.state")
    expect(state).to_contain_text(f"Without patient_sex=Q there would be {modality['CT']} cases.")
    assert violations(page) == []
    state.locator("li", has_text="patient_sex=Q").get_by_role("button").click()
    expect(page.locator("h1")).to_contain_text(f"{modality['CT']} cases")
    cases.assert_clean()


def focused(page: Page) -> int:
    """The number of the tile that has the focus."""
    found: int = page.evaluate("Number(document.activeElement.closest('[data-index]')?.dataset.index ?? -1)")
    return found


def test_everything_by_keys(cases: Watched) -> None:
    page = cases.open("/app/cases")
    expect(page.locator(".case-grid [tabindex='0'].tile-picture")).to_have_count(1)  # roving
    for key, place in (("j", 1), ("j", 2), ("k", 1), ("End", 33), ("Home", 0), ("ArrowRight", 1)):
        page.keyboard.press(key)
        page.wait_for_function(
            "n => Number(document.activeElement.closest('[data-index]')?.dataset.index) === n", arg=place
        )
    assert focused(page) == 1
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    bar = page.get_by_label("Actions")
    expect(bar).to_contain_text("Tag 3 selected")
    expect(page.locator("[role=gridcell][aria-selected=true]")).to_have_count(3)
    page.keyboard.press("t")
    expect(page.locator("dialog[open] h2")).to_have_text("Tag 3 selected")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("Enter")
    page.wait_for_url("**/app/cases/*")
    page.go_back()
    cases.settle()
    page.keyboard.press("s")
    page.wait_for_url("**/app/search?study=*")
    cases.wrong.clear()  # what the other pages do is for their own tests


def test_a_tag_is_given_and_undone(cases: Watched, service: LiveService) -> None:
    page = cases.open("/app/cases?where=modality%3DCT")
    page.get_by_role("button", name="Tag 2 filtered").click()
    page.locator("dialog[open] input[list]").fill("seen")
    page.locator("dialog[open] button[type=submit]").click()
    expect(page.locator("dialog[open]")).to_contain_text("seen, present: 2 cases")

    def seen() -> int:
        with service.http("read") as http:
            found = http.get("/v1/cases", params={"where": "modality=CT"}).json()["cases"]
        return sum(one["labels"].get("seen") == 1 for one in found)

    assert seen() == 2
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("dialog[open]")).to_contain_text("undone")
    assert seen() == 0
    cases.assert_clean()


def test_a_collection_and_a_view_are_made_and_removed(cases: Watched) -> None:
    page = cases.open("/app/cases?where=modality%3DCT&view=table")
    page.get_by_role("button", name="Collect 2 filtered").click()
    page.locator("dialog[open] input[list]").fill("teaching")
    page.locator("dialog[open] button[type=submit]").click()
    page.get_by_role("button", name="teaching (2 cases)").click()
    expect(page.locator("h1")).to_contain_text("2 cases")
    assert where_of(page) == ["collection=teaching"]
    page.get_by_role("button", name="Views").click()
    page.locator("dialog[open] input").fill("my teaching")
    page.locator("dialog[open] button[type=submit]").click()
    expect(page.get_by_role("button", name="my teaching", exact=True)).to_be_visible()
    page.locator("dialog[open]").get_by_label("Close").click()
    page.get_by_label("Remove the filter collection=teaching").click()
    page.get_by_role("button", name="Views").click()
    page.get_by_role("button", name="my teaching", exact=True).click()
    expect(page.locator("h1")).to_contain_text("2 cases")
    assert parse_qs(urlsplit(page.url).query) == {"where": ["collection=teaching"], "view": ["table"]}
    page.get_by_role("button", name="Views").click()
    page.get_by_label("Remove the view my teaching").click()
    expect(page.locator("dialog[open]")).to_contain_text("No view is saved yet")
    page.locator("dialog[open]").get_by_label("Close").click()
    page.get_by_role("button", name="Collect 2 filtered").click()
    page.get_by_label("Remove the collection teaching").click()
    page.get_by_role("button", name="Remove the collection teaching").click()
    expect(page.locator("dialog[open]")).to_contain_text("There is no collection yet")


def test_the_table_has_columns_of_choice_and_sorts(cases: Watched) -> None:
    page = cases.open("/app/cases?view=table")
    page.get_by_role("button", name="Study date").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Study date")
    page.get_by_role("button", name="Columns").click()
    page.locator("dialog[open]").get_by_label("Patient", exact=True).check()
    page.locator("dialog[open]").get_by_label("Picture", exact=True).uncheck()
    assert violations(page) == []
    page.locator("dialog[open]").get_by_label("Close").click()
    headers = page.locator(".case-table thead th").all_inner_texts()
    assert "Patient" in headers
    assert "Picture" not in headers
    assert "columns=" in page.url
    cases.assert_clean()


def test_who_may_only_read_sees_why_nothing_can_be_changed(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["read"]) as one:
        page = one.open("/app/cases")
        expect(page.get_by_role("button", name="Tag all")).to_be_disabled()
        expect(page.get_by_role("button", name="Tag all")).to_have_attribute(
            "title", "Your key lacks the scope write"
        )
        one.assert_clean()


def test_descriptions_are_texts_and_exports_are_links(
    cases: Watched, service: LiveService, filled: Filled
) -> None:
    page = cases.open(f"/app/cases?where=study_instance_uid%3D{filled.markup}")
    expect(page.locator(".case-grid")).to_contain_text("<img src=x onerror=")
    assert page.locator(".case-grid b, .case-grid script").count() == 0
    with page.expect_download() as download:
        page.get_by_role("link", name="Export 1 filtered as CSV").click()
    assert filled.markup in Path(download.value.path()).read_text(encoding="utf-8")
    cases.assert_clean()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """Thousands of cases without files: every picture is gone."""
    home = tmp_path_factory.mktemp("many") / "home"
    with CaseIndex.open(home) as index:
        index.activate(SPACE)
        quality = {"quality": {"burned_in": "no"}}
        bundles = [make_bundle(n, 1, image_fields=quality) for n in range(MANY)]
        index.add(bundles, unit_vectors(MANY))
    with live_service(home, tmp_path_factory.mktemp("many-service"), {}) as started:
        yield started


@pytest.mark.long
@pytest.mark.parametrize("view", ["grid", "table"])
def test_a_long_list_holds_few_tiles_and_never_stalls(browser: Browser, many: LiveService, view: str) -> None:
    with watched(browser, many.url, many.keys["read"]) as one:
        one.page.add_init_script(
            "window.longest = 0; new PerformanceObserver(list => list.getEntries().forEach("
            "one => window.longest = Math.max(window.longest, one.duration))"
            ").observe({entryTypes: ['longtask']});"
        )
        page = one.open(f"/app/cases?view={view}&sort=study_instance_uid")
        rows = "[role=gridcell]" if view == "grid" else ".case-table tbody tr[data-index]"
        page.evaluate("window.longest = 0")  # what came before the list was there
        seen: set[str] = set()
        most = 0
        for _ in range(60):
            page.mouse.wheel(0, 900)
            page.wait_for_timeout(30)
            shown = page.locator(rows).evaluate_all("all => all.map(one => one.dataset.index)")
            seen |= set(shown)
            most = max(most, len(shown))
        assert 0 < most <= MOST_TILES
        assert len(seen) > MOST_TILES  # several pages have come
        one.settle()
        print(
            json.dumps({"view": view, "tiles": most, "seen": len(seen), "longest": page.evaluate("longest")})
        )
