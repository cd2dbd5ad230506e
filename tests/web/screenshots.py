"""`python -m tests.web.screenshots [FOLDER [PAGE...]]`: pages, light and dark, pictures in `docs/screens`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

from playwright.sync_api import Page

from tests.api.archive.pacs.orthanc import Orthanc
from tests.api.live_service import LiveService, live_service
from tests.repository import ROOT
from tests.web.addresses import PAGES
from tests.web.browsing import chromium, save_screenshot, watched
from tests.web.filled import make_filled


def main(folder: Path, names: Collection[str] = ()) -> None:
    """Make the archive, serve it, and take the pictures; those of signing in come last."""
    with tempfile.TemporaryDirectory() as made:
        filled = make_filled(Path(made))
        environment = {"MEDSIGLIP_INGEST_ROOTS": str(filled.dicom.parent)}
        (Path(made) / "service").mkdir()
        with (
            live_service(filled.home, Path(made) / "service", environment) as service,
            Orthanc(Path(made) / "orthanc") as orthanc,
            chromium() as browser,
        ):
            fill_pacs(service, orthanc, Path(made) / "pacs")
            for theme in ("light", "dark"):
                with watched(browser, service.url, service.keys["admin"], color_scheme=theme) as one:
                    for name, address in PAGES.items():
                        if names and name not in names:
                            continue
                        page = one.open(address(filled))
                        if name == "pacs-find":
                            ask(page)
                        page.wait_for_timeout(500)
                        save_screenshot(page, folder / f"{name}-{theme}.png")
                    print(theme, one.wrong)
                if names and "sign-in" not in names:
                    continue
                with watched(browser, service.url, color_scheme=theme) as one:
                    save_screenshot(one.open("/app/"), folder / f"sign-in-{theme}.png")


def fill_pacs(service: LiveService, orthanc: Orthanc, folder: Path) -> None:
    """Studies in an Orthanc that the service knows as `archive`: some are brought in, one that it lacks is
    asked for.
    """
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for kind in ("skin", "chest-xray", "chest-ct"):
        for study in make_studies(4, 91, [kind]):
            write_study(study, folder)
    orthanc.upload(sorted(folder.rglob("*.dcm")))
    with service.http() as http, service.client() as client:
        http.put("/v1/pacs/archive", json={"url": orthanc.dicomweb_url, "rate": 200}).raise_for_status()
        http.put("/v1/pacs/old", json={"host": "127.0.0.1", "port": 9, "ae_title": "OLD"}).raise_for_status()
        http.post("/v1/pacs/old/echo")
        found = http.post("/v1/pacs/archive/find", json={"modality": "XC"}).raise_for_status().json()
        uids = [one["study_instance_uid"] for one in found["studies"]][:2]
        order = http.post("/v1/pacs/archive/pull", json={"study_instance_uids": [*uids, "2.25.1234567890"]})
        client.wait(client.job(order.raise_for_status().json()["id"]))


def ask(page: Page) -> None:
    """Ask the PACS for all that it holds of the last years."""
    page.get_by_label("Study date from").fill("2015-01-01")
    page.get_by_role("button", name="Find", exact=True).click()
    page.get_by_role("table", name="Studies of the PACS").wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens", sys.argv[2:])
