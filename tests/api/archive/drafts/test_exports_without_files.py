"""Accepted reports leave in every format when files are gone, and when a home keeps no paths."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from sqlalchemy import text

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pictures.previews import preview
from medsiglip.api.errors import ServiceError
from tests.api.conftest import Phantoms, run
from tests.medgemma.exports.exported_drafts import pdf_text

pytestmark = pytest.mark.long

FORMATS = {
    "sr": ".dcm",
    "pdf": ".pdf",
    "html": ".html",
    "fhir": ".json",
    "markdown": ".md",
    "dicom-pdf": ".dcm",
}
MISSING = "Without a picture, because its file could not be read"
PREVIEW = "from a stored preview"


@pytest.fixture(scope="module")
def radiographs(phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the chest X-rays alone."""
    folder = tmp_path_factory.mktemp("radiographs")
    for path in phantoms.dicom.rglob("*.dcm"):
        if pydicom.dcmread(path, specific_tags=["Modality"]).Modality in ("CR", "DX"):
            shutil.copy(path, folder)
    return folder


def accepted_draft(home: Path) -> tuple[str, list[int]]:
    """An accepted draft of a study, and the images that drove its findings."""
    with Archive(home) as archive:
        study = archive.studies()["studies"][0]["study_instance_uid"]
        draft = archive.draft_report(study, by="test", options={"neighbours": 0})
        archive.accept_report(draft["id"], by="ann")
        driving = {finding["image_id"] for finding in draft["findings"]}
    return draft["id"], sorted(driving)


def exports(home: Path, draft: str, folder: Path) -> dict[str, bytes]:
    """The report in all formats, each written by a command of its own."""
    made = {}
    for name, suffix in FORMATS.items():
        out = folder / f"{name}{suffix}"
        ran = run("--home", home, "--json", "report", "export", draft, "--format", name, "--out", out)
        assert ran.code == 0, ran.err
        made[name] = out.read_bytes()
    return made


def forget_thumbnails(home: Path) -> None:
    """Leave the home as one of a version without thumbnails has it."""
    with Archive(home) as archive, archive.index._database.write() as connection:
        connection.execute(text("DELETE FROM thumbnails"))


def pages(made: dict[str, bytes]) -> list[bytes]:
    """The pages that the formats hold."""
    encapsulated = pydicom.dcmread(io.BytesIO(made["dicom-pdf"]))
    form = json.loads(made["fhir"])["presentedForm"][0]
    return [made["pdf"], encapsulated.EncapsulatedDocument, base64.b64decode(form["data"])]


def pictures_in(pdf: bytes, folder: Path) -> list[tuple[int, int]]:
    """Width and height of each picture in a PDF, as poppler lists them."""
    if not shutil.which("pdfimages"):
        pytest.skip("pdfimages (poppler) is not installed")
    (folder / "pages.pdf").write_bytes(pdf)
    listed = subprocess.run(
        ["pdfimages", "-list", str(folder / "pages.pdf")], capture_output=True, text=True, check=True
    )
    return [(int(row.split()[3]), int(row.split()[4])) for row in listed.stdout.splitlines()[2:]]


def words(pdf: bytes) -> str:
    return " ".join(pdf_text(pdf).split())


def test_a_home_that_keeps_no_paths_exports_an_accepted_report(radiographs: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", "--phi", "strict", radiographs).code == 0
    draft, driving = accepted_draft(home)
    assert driving
    for pdf in pages(exports(home, draft, tmp_path)):
        assert words(pdf).count(PREVIEW) == len(driving)
        assert [max(size) for size in pictures_in(pdf, tmp_path)] == [192] * len(driving)
    forget_thumbnails(home)
    for pdf in pages(exports(home, draft, tmp_path)):
        assert words(pdf).count(MISSING) == len(driving)
        assert pictures_in(pdf, tmp_path) == []


def test_what_is_left_of_a_picture_whose_file_is_gone_is_shown(radiographs: Path, tmp_path: Path) -> None:
    files, home = tmp_path / "files", tmp_path / "home"
    shutil.copytree(radiographs, files)
    assert run("--home", home, "--json", "ingest", files).code == 0
    draft, driving = accepted_draft(home)
    whole = pages(exports(home, draft, tmp_path))
    for pdf in whole:
        assert MISSING not in words(pdf)
        assert PREVIEW not in words(pdf)
        assert len(pictures_in(pdf, tmp_path)) == len(driving)
    with Archive(home) as archive:
        for size in (32, 128):
            preview(archive, archive.index.get(driving[0]), size)
    shutil.rmtree(files)
    forget_thumbnails(home)
    for pdf in pages(exports(home, draft, tmp_path)):
        assert words(pdf).count(PREVIEW) == 1
        assert words(pdf).count(MISSING) == len(driving) - 1
        [shown] = pictures_in(pdf, tmp_path)
        assert max(shown) == 128
    (home / "previews" / f"{driving[0]}.128.png").write_bytes(b"cut short")
    assert max(pictures_in(exports(home, draft, tmp_path)["pdf"], tmp_path)[0]) == 32


def test_an_image_that_left_the_index_is_missing_from_the_report(radiographs: Path, tmp_path: Path) -> None:
    from medsiglip.api.archive.drafts.image_source import AvailablePictures

    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", radiographs).code == 0
    with Archive(home) as archive:
        shown: Any = archive.study(archive.studies()["studies"][0]["study_instance_uid"])["images"][0]
        there, gone = AvailablePictures(archive).pictures([shown["image_id"], 999_999])
    assert isinstance(there, np.ndarray)
    assert gone is None


def test_a_generator_is_told_why_a_strict_home_has_no_pictures(radiographs: Path, tmp_path: Path) -> None:
    from medsiglip.api.archive.drafts.image_source import StoredPictures

    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", "--phi", "strict", radiographs).code == 0
    with Archive(home) as archive:
        image = archive.study(archive.studies()["studies"][0]["study_instance_uid"])["images"][0]
        with pytest.raises(ServiceError, match="keeps no paths") as caught:
            StoredPictures(archive.index, archive.rendering_pool).pictures([image["image_id"]])
    assert caught.value.code == "picture-gone"
