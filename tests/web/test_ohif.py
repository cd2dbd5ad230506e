"""OHIF, added to an archive, shows a CT of the test data in Chromium without a request to anywhere else."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from playwright.sync_api import Browser, expect

from tests.api.conftest import run
from tests.api.live_service import live_service
from tests.web.browsing import PATIENCE_MS, watched


@pytest.mark.campaign
def test_ohif_opens_a_ct(browser: Browser, test_data: Path, tmp_path: Path) -> None:
    named = os.environ.get("MEDSIGLIP_TEST_OHIF")
    if not named:
        pytest.skip("MEDSIGLIP_TEST_OHIF names no file that `npm pack @ohif/app` made")
    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", test_data / "dicom" / "ct_chest_series").code == 0
    assert run("--home", home, "--json", "viewer", "add", named).code == 0
    [study] = run("--home", home, "--json", "study", "list").json["studies"]
    uid = study["study_instance_uid"]
    with (
        live_service(home, tmp_path / "service", {}) as service,
        watched(browser, service.url, service.keys["read"]) as seen,
    ):
        seen.page.goto(f"{service.url}/ohif/viewer?StudyInstanceUIDs={uid}")
        expect(seen.page.get_by_text("(1/30)")).to_be_visible(timeout=PATIENCE_MS)
        canvas = seen.page.locator("canvas.cornerstone-canvas").first
        expect(canvas).to_be_visible(timeout=PATIENCE_MS)
        seen.page.wait_for_load_state("networkidle")
        frames = [url for url in seen.requests if "/frames/" in url]
        assert 1 <= len(set(frames)) <= 30
        assert len(frames) == len(set(frames))
        errors = [line for line in seen.wrong if line.startswith(("error", "request"))]
        assert errors == []
        seen.page.get_by_text("Similar cases").click()
        seen.page.wait_for_url("**/app/search?study=*")
        assert uid in unquote(seen.page.url)
