"""The pages of ingests and models: a dry run before the ingest, jobs that are cancelled and started again, a
threshold that is moved, and a probe that is trained.
"""

from __future__ import annotations

import re
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Browser, expect
from pydicom.uid import generate_uid

from tests.api.live_service import LiveService
from tests.web.browsing import violations, watched
from tests.web.filled import Filled


@pytest.fixture
def files(filled: Filled, tmp_path: Path) -> list[Path]:
    """A new picture that bears a name, and a file that is none."""
    content = pydicom.dcmread(sorted(filled.dicom.rglob("*.dcm"))[0])
    content.StudyInstanceUID, content.SeriesInstanceUID = generate_uid(), generate_uid()
    content.SOPInstanceUID = content.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    content.BurnedInAnnotation = "YES"
    pixels = content.pixel_array.copy()
    pixels.flat[:4] = 1
    content.PixelData = pixels.tobytes()
    content.save_as(tmp_path / "new.dcm")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    return [tmp_path / "new.dcm", tmp_path / "notes.txt"]


def test_files_are_tried_before_they_are_ingested(
    browser: Browser, service: LiveService, files: list[Path]
) -> None:
    with service.client() as client, watched(browser, service.url, service.keys["admin"]) as one:
        before = client.info().index.studies
        page = one.open("/app/ingest")
        page.set_input_files("input[type=file] >> nth=1", files)
        page.get_by_role("button", name="Try first").click()
        expect(page.get_by_role("heading", name="Dry run: nothing was stored")).to_be_visible()
        assert page.get_by_text("Withheld: embedded, but not shown").is_visible()
        assert page.get_by_text("not-an-image").is_visible()
        assert client.info().index.studies == before
        assert "new.dcm" not in page.url, "names of files may be those of patients"
        assert violations(page) == []
        page.get_by_role("button", name="Ingest this file").click()
        expect(page.locator(".job .status")).to_have_text("done")
        expect(page.get_by_role("link", name="Show these cases")).to_be_visible()
        assert client.info().index.studies == before + 1
        one.assert_clean()


def test_a_folder_of_the_service_is_found_by_its_roots(
    browser: Browser, service: LiveService, filled: Filled
) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/ingest")
        page.get_by_role("button", name=str(filled.dicom.parent)).click()
        page.get_by_role("button", name="dicom", exact=True).click()
        page.get_by_role("button", name="Take this folder").click()
        page.get_by_role("button", name="Try first").click()
        expect(page.get_by_role("button", name="Nothing new to ingest")).to_be_disabled()
        assert str(filled.dicom) not in page.url
        one.assert_clean()


def test_a_job_that_failed_is_started_again(browser: Browser, service: LiveService, filled: Filled) -> None:
    with service.client() as client, watched(browser, service.url, service.keys["admin"]) as one:
        job = client.calibrate(prompts="tissue-type")  # no case carries these labels
        list(client.events(job.id))
        page = one.open(f"/app/ingest?tab=jobs&job={job.id}")
        expect(page.locator(".job .status")).to_have_text("failed")
        page.locator(".job").get_by_role("button", name=re.compile("Try again")).click()
        expect(page).not_to_have_url(re.compile(job.id))
        again = client.jobs(kind="calibration", limit=1).jobs[0]
        assert again.id != job.id
        assert again.id in page.url
        one.assert_clean()


def test_a_threshold_is_moved_and_told_in_its_address(browser: Browser, service: LiveService) -> None:
    with watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/models?probe=melanoma&threshold=0")
        all_cases = page.get_by_role("region", name="What is called right").locator("tbody tr").first
        cells = [int(text) for text in all_cases.locator("td.number").all_inner_texts()[:4]]
        with service.http() as http:
            [label] = http.get("/v1/probes/melanoma").json()["labels"]
        assert cells == [label["positive"], 0, label["n"] - label["positive"], 0]
        page.get_by_role("slider").press("End")
        expect(page).to_have_url(re.compile(r"threshold=1\.00"))
        expect(all_cases.locator("td.number").nth(0)).to_have_text("0")
        expect(all_cases.locator("td.number").nth(3)).to_have_text(str(label["n"] - label["positive"]))
        one.assert_clean()


def test_a_probe_is_trained_on_a_stored_label(browser: Browser, service: LiveService) -> None:
    with service.client() as client, watched(browser, service.url, service.keys["admin"]) as one:
        page = one.open("/app/models?tab=train")
        page.get_by_label("What the probe is called").fill("of-the-screen")
        page.get_by_label("melanoma").check()
        page.get_by_role("button", name="Train on 1 label").click()
        expect(page.get_by_role("link", name="Open the probe of-the-screen")).to_be_visible()
        assert client.probe("of-the-screen").labels[0].label == "melanoma"
        one.assert_clean()
