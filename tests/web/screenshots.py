"""`python -m tests.web.screenshots [FOLDER]`: every page, light and dark, as pictures in `docs/screens`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.api.live_service import live_service
from tests.repository import ROOT
from tests.web.addresses import PAGES
from tests.web.browsing import chromium, save_screenshot, watched
from tests.web.filled import make_filled


def main(folder: Path) -> None:
    """Make the archive, serve it, and take the pictures; those of signing in come last."""
    with tempfile.TemporaryDirectory() as made:
        filled = make_filled(Path(made))
        environment = {"MEDSIGLIP_INGEST_ROOTS": str(filled.dicom.parent)}
        (Path(made) / "service").mkdir()
        with (
            live_service(filled.home, Path(made) / "service", environment) as service,
            chromium() as browser,
        ):
            for theme in ("light", "dark"):
                with watched(browser, service.url, service.keys["admin"], color_scheme=theme) as one:
                    for name, address in PAGES.items():
                        page = one.open(address(filled))
                        page.wait_for_timeout(500)
                        save_screenshot(page, folder / f"{name}-{theme}.png")
                    print(theme, one.wrong)
                with watched(browser, service.url, color_scheme=theme) as one:
                    save_screenshot(one.open("/app/"), folder / f"sign-in-{theme}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "screens")
