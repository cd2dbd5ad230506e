"""One filled and one empty archive, each served, and a browser, for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from medsiglip.index.case_index import CaseIndex
from tests.api.live_service import LiveService, live_service
from tests.web.browsing import chromium
from tests.web.filled import Filled, make_filled


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
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
