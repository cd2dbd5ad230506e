"""Pictures for generators and exports: rendered again from the files, as an ingest draws them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.drafts.image_source import StoredPictures
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.workers.render_files import Rendered, render_files
from medsiglip.medgemma.records import ImageSource
from tests.api.conftest import Home, Phantoms, run


def test_pictures_are_those_that_an_ingest_draws(home: Home, phantoms: Phantoms) -> None:
    with Archive(home.path) as archive:
        wanted = [
            archive.study(uid)["images"][0]
            for where in ("modality=CR|DX", "modality=CT", "modality=XC")
            for uid in [one["study_instance_uid"] for one in archive.studies([where])["studies"]][:1]
        ]
        source: ImageSource = StoredPictures(archive.index, archive.rendering_pool)
        pictures = source.pictures([image["image_id"] for image in wanted])
        for image, picture in zip(wanted, pictures, strict=True):
            folder = Path(image["path"]).parent
            rendered = [one for one in render_files([folder]) if isinstance(one, Rendered)]
            [same] = [one for one in rendered if one.path == image["path"] and one.frame == image["frame"]]
            assert picture.dtype == np.uint8
            assert picture.shape == (*same.pixels.shape[:2], 3)
            in_colour = same.pixels if same.pixels.ndim == 3 else np.dstack([same.pixels] * 3)
            assert (picture == in_colour).all()


def test_a_file_that_is_gone_or_changed_is_named_by_its_image(phantoms: Phantoms, tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    shutil.copytree(phantoms.dicom, folder)
    assert run("--home", tmp_path / "home", "--json", "ingest", folder).code == 0
    with Archive(tmp_path / "home") as archive:
        studies = archive.studies(["modality=CR|DX"])["studies"]
        image, other = (archive.study(one["study_instance_uid"])["images"][0] for one in studies[:2])
        source = StoredPictures(archive.index, archive.rendering_pool)
        for change in (lambda path: shutil.copy(other["path"], path), Path.unlink):
            change(Path(image["path"]))
            with pytest.raises(ServiceError) as caught:
                source.pictures([image["image_id"]])
            assert caught.value.code == "picture-gone"
            assert image["path"] not in str(caught.value)
