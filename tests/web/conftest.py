"""One filled and one empty archive, each served, and a browser, for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from medsiglip.index.case_index import CaseIndex
from tests.api.live_service import LiveService, live_service
from tests.web.browsing import chromium
from tests.web.filled import Filled, make_filled

SHORT = {"test_pages", "test_journeys", "test_built"}
"""Files that `make test` runs; of the others these tests alone, the rest with `make screen-test`."""
ALSO = {
    "test_opening_a_case_with_all_its_slices_is_one_event",
    "test_what_may_bear_a_name_is_shown_to_administrators_alone",
    "test_a_long_list_holds_few_tiles_and_never_stalls",
    "test_a_person_signs_in_and_out_and_the_key_is_kept_nowhere",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what belongs to the campaign, before marks are chosen by."""
    for item in items:
        here = item.path.parent == Path(__file__).parent
        name = item.name.partition("[")[0]
        if here and item.path.stem not in SHORT and name not in ALSO:
            item.add_marker(pytest.mark.campaign)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window, for a module: until Playwright is stopped its event loop counts as running
    in this thread, and no other test could start one.
    """
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """The archive with something on every page; what is served is a copy of it."""
    return make_filled(tmp_path_factory.mktemp("filled"))


@pytest.fixture(scope="session")
def service(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A server with a worker on the filled archive, which may read its files."""
    environment = {"MEDSIGLIP_INGEST_ROOTS": str(filled.dicom.parent)}
    with live_service(filled.home, tmp_path_factory.mktemp("service"), environment) as started:
        yield started


@pytest.fixture(scope="session")
def empty_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveService]:
    """A server on an archive that holds nothing."""
    home = tmp_path_factory.mktemp("empty") / "home"
    CaseIndex.open(home, create=True).close()
    with live_service(home, tmp_path_factory.mktemp("empty-service"), {}) as started:
        yield started
