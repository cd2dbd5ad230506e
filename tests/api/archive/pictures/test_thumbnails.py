"""Thumbnails of an archive of real files: which images have one, what it shows, and drawing missing ones."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import text

from medsiglip.answers.pictures import ThumbnailLine
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pictures import thumbnails as pictures
from medsiglip.api.archive.pictures.previews import preview
from medsiglip.api.archive.pictures.thumbnails import thumbnail_of, thumbnails
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from tests.api.conftest import run

KINDS = ("chest-xray", "chest-ct", "brain-mr", "skin")
RADIOGRAPH = "CR|DX"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of each kind, and a picture of which nothing is known."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind in KINDS:
        for study in make_studies(1, 5, [kind]):
            write_study(study, folder)
    Image.new("RGB", (300, 200), "teal").save(folder / "screen.png")
    return folder


@pytest.fixture(scope="module")
def filled(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with all of them."""
    home = tmp_path_factory.mktemp("thumbnails") / "home"
    assert run("--home", home, "--json", "ingest", source).code == 0
    return home


@pytest.fixture(scope="module")
def archive(filled: Path) -> Iterator[Archive]:
    with Archive(filled) as opened:
        yield opened


@pytest.fixture
def older(filled: Path, tmp_path: Path) -> Path:
    """The home as one of a version without thumbnails has it."""
    shutil.copytree(filled, tmp_path / "home")
    with Archive(tmp_path / "home") as opened:
        forget_thumbnails(opened)
    return tmp_path / "home"


def forget_thumbnails(archive: Archive) -> None:
    with archive.index._database.write() as connection:
        connection.execute(text("DELETE FROM thumbnails"))


def ids_of(archive: Archive, modality: str = "") -> list[int]:
    where = [f"modality={modality}"] if modality else []
    return [int(one) for one in archive.index.table("image", where).image_ids]


def of_every_image(archive: Archive) -> dict[int, ThumbnailLine]:
    """A line for each image, asked for as a page does."""
    ids = ids_of(archive)
    found: list[ThumbnailLine] = []
    for start in range(0, len(ids), 200):
        found += thumbnails(archive, ids[start : start + 200]).thumbnails
    assert [line.image_id for line in found] == ids
    return {line.image_id: line for line in found}


def pixels(content: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(content)), np.float64)


def test_an_ingest_makes_them_for_all_that_may_be_shown(archive: Archive) -> None:
    for image_id, line in of_every_image(archive).items():
        stored = archive.index.get(image_id)
        if stored.quality["burned_in"] == "no":
            assert line.data is not None
            assert (line.code, line.content_type) == (None, "image/jpeg")
        else:
            assert (line.code, line.data, line.tag) == ("burned-in", None, None)
    count = archive.index.thumbnails.count()
    assert 0 < count.images == count.thumbnails < len(ids_of(archive))


@pytest.mark.parametrize("modality", [RADIOGRAPH, "CT", "MR", "XC"])
def test_they_show_what_a_preview_for_people_shows(archive: Archive, modality: str) -> None:
    """The preview is drawn from the file by another way, and reduced by another filter."""
    image_id = ids_of(archive, modality)[0]
    _, content = thumbnail_of(archive, image_id)
    stored = archive.index.get(image_id)
    large = Image.open(io.BytesIO(preview(archive, stored, 512, "display")))
    small = Image.open(io.BytesIO(content))
    assert max(small.size) <= 192
    assert small.mode == ("RGB" if modality == "XC" else "L")
    near = np.asarray(large.convert(small.mode).resize(small.size, Image.Resampling.LANCZOS), np.float64)
    assert np.abs(near - pixels(content)).mean() < 5


def test_ct_is_grey_for_people_and_in_colours_as_the_model_takes_it(archive: Archive) -> None:
    stored = archive.index.get(ids_of(archive, "CT")[0])
    shown, taken = (pixels(preview(archive, stored, 128, drawn)) for drawn in ("display", "model"))
    assert np.ptp(shown, axis=2).max() == 0
    assert np.ptp(taken, axis=2).max() > 50
    kept = {path.name for path in (archive.home / "previews").glob(f"{stored.image_id}.*")}
    assert {f"{stored.image_id}.128.png", f"{stored.image_id}.128.display.png"} <= kept
    radiograph = archive.index.get(ids_of(archive, RADIOGRAPH)[0])
    assert preview(archive, radiograph, 128, "display") == preview(archive, radiograph, 128)


def test_missing_ones_are_drawn_as_an_ingest_does(archive: Archive, older: Path) -> None:
    before = of_every_image(archive)
    with Archive(older) as opened:
        made = opened.make_thumbnails()
        shown = sum(line.data is not None for line in before.values())
        assert (made.images, made.lacked, made.made, made.gone) == (shown, shown, shown, 0)
        assert of_every_image(opened) == before
        assert opened.make_thumbnails().lacked == 0


def test_a_list_draws_missing_ones_and_keeps_them(archive: Archive, older: Path) -> None:
    before = of_every_image(archive)
    with Archive(older) as opened:
        asked = [*ids_of(opened, "MR")[:2], *ids_of(opened, RADIOGRAPH), 10**9, *ids_of(opened, "OT")[:1]]
        shown: list[str] = []
        found = thumbnails(opened, asked, on_shown=shown.extend).thumbnails
        assert [before.get(line.image_id, line) for line in found] == list(found)
        assert [line.code for line in found[-2:]] == ["unknown-image", "burned-in"]
        theirs = dict.fromkeys(opened.index.get(one).study_instance_uid for one in asked[:-2])
        assert shown == list(theirs)
        # The rest of the series was drawn with them.
        assert opened.index.thumbnails.lacking_in(opened.index.get(asked[0]).series_instance_uid) == []
        assert opened.index.thumbnails.count().thumbnails < opened.index.thumbnails.count().images


def test_a_list_waits_for_a_while_only(older: Path) -> None:
    moments = iter([0.0, 1.0, 100.0, 100.0, 100.0])
    with Archive(older) as opened:
        asked = [ids_of(opened, modality)[0] for modality in (RADIOGRAPH, "MR", "CT")]
        found = thumbnails(opened, asked, clock=lambda: next(moments)).thumbnails
        assert [line.code for line in found] == [None, "not-made-yet", "not-made-yet"]
        assert all(line.data for line in thumbnails(opened, asked).thumbnails)


def test_files_that_are_gone_leave_no_picture_and_no_error(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, home = tmp_path / "files", tmp_path / "home"
    shutil.copytree(source, files)
    assert run("--home", home, "--json", "ingest", files).code == 0
    with Archive(home) as opened:
        forget_thumbnails(opened)
        gone = opened.index.get(ids_of(opened, RADIOGRAPH)[0])
        assert gone.path is not None
        Path(gone.path).unlink()
        [line] = thumbnails(opened, [gone.image_id]).thumbnails
        assert line.code == "picture-gone"
        with pytest.raises(ServiceError, match="not where it was") as caught:
            thumbnail_of(opened, gone.image_id)
        assert caught.value.code == "picture-gone"
        with pytest.raises(CatalogError) as unknown:
            thumbnail_of(opened, 10**9)
        assert unknown.value.code == "unknown-image"
        with pytest.raises(ServiceError) as withheld:
            thumbnail_of(opened, ids_of(opened, "OT")[0])
        assert withheld.value.code == "burned-in"
    told = run("--home", home, "index", "thumbnails")
    assert told.code == 0
    assert "1 images have none, for their files are not where they were" in told.out
    again = run("--home", home, "--json", "index", "thumbnails").json
    assert (again["lacked"], again["made"], again["gone"]) == (1, 0, 1)


def test_a_strict_home_has_them_from_its_ingest_and_draws_them_from_named_folders(
    source: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    assert run("--home", home, "--json", "ingest", "--phi", "strict", source).code == 0
    with Archive(home) as opened:
        before = of_every_image(opened)
        assert any(line.data for line in before.values())
        forget_thumbnails(opened)
    assert run("--home", home, "--json", "index", "thumbnails").json["made"] == 0
    made = run("--home", home, "--json", "index", "thumbnails", "--source", source).json
    assert made["gone"] == 0 < made["made"]
    with Archive(home) as opened:
        assert of_every_image(opened) == before


def test_slices_beyond_the_usual_are_drawn_too(
    source: Path, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest with `--max-slices all` has images that the usual plan leaves out."""
    from medsiglip.ingest.units import plan

    usual = plan.PlanOptions
    monkeypatch.setattr(plan, "PlanOptions", lambda **given: usual(**{"max_slices": 3, **given}))
    with Archive(older) as opened:
        asked = ids_of(opened, "MR")
        assert len(asked) > 3
        made = pictures.make_for_series(opened, opened.index.get(asked[0]).series_instance_uid)
        assert made == len(opened.index.images_of(opened.index.get(asked[0]).study_instance_uid))


def test_data_is_the_picture(archive: Archive) -> None:
    image_id = ids_of(archive, RADIOGRAPH)[0]
    [line] = thumbnails(archive, [image_id]).thumbnails
    assert line.data is not None
    assert base64.b64decode(line.data) == thumbnail_of(archive, image_id)[1]
