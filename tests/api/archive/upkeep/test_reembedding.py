"""Embedding an archive anew with another model: in the background of searches, resumable, nothing lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from benchmarks.random_checkpoint import write_checkpoint
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.scores.classifiers import prompt_classifier
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import CatalogError
from medsiglip.index.label_records import LabelRecord
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.zero_shot.prompt_file import load_prompt_set
from tests.api.conftest import Home, run

pytestmark = pytest.mark.long

Vectors = dict[tuple[str, int], np.ndarray]


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the layout of `tiny` with random weights and another dimension."""
    folder = tmp_path_factory.mktemp("models") / "other"
    write_checkpoint(folder, width=64, layers=1, image_size=64)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, radiographs, and a CT series as it comes in slices."""
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    folder = tmp_path_factory.mktemp("files")
    studies = [*make_studies(4, 11, ["skin"]), *make_studies(2, 11, ["chest-xray"])]
    for study in (*studies, *make_studies(1, 11, ["chest-ct"])):
        write_study(study, folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Home:
    """An archive of the files with the bundled model."""
    home = tmp_path_factory.mktemp("made") / "home"
    return Home(home, run("--home", home, "--json", "ingest", files).json)


@pytest.fixture
def own(made: Home, tmp_path: Path) -> Home:
    """A copy of the archive that a test may change."""
    shutil.copytree(made.path, tmp_path / "own")
    return Home(tmp_path / "own", made.report)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, files: Path, other_model: Path) -> Vectors:
    """The vectors of a new archive of the same files with the other model."""
    home = tmp_path_factory.mktemp("fresh") / "home"
    assert run("--home", home, "--model", other_model, "--json", "ingest", files).code == 0
    return vectors(home)


def counts(home: Home) -> dict[str, int]:
    found: dict[str, int] = home.run("index", "info").json["spaces"]
    return found


def vectors(home: Path) -> Vectors:
    """The vectors of the active space by instance and frame."""
    with Archive(home) as archive:
        table = archive.index.table()
        images = [archive.index.get(int(one)) for one in table.image_ids]
        return {(i.sop_instance_uid, i.frame): v for i, v in zip(images, table.vectors, strict=True)}


def assert_same(found: Vectors, expected: Vectors) -> None:
    assert found.keys() == expected.keys()
    for key, vector in expected.items():
        np.testing.assert_allclose(found[key], vector, atol=1e-5)


def test_an_archive_moves_to_another_model_and_back(own: Home, other_model: Path, fresh: Vectors) -> None:
    images, before = own.report["images"], vectors(own.path)
    (former,) = counts(own)
    refused = run_with(own, other_model, "search", "--text", "a chest radiograph")
    assert refused.code == 1
    assert refused.error["code"] == "space-mismatch"
    assert "index reembed" in refused.error["message"]
    done = own.run("index", "reembed", "--to", other_model, "--workers", 1).json
    assert (done["switched"], done["finished"], done["images"], done["embedded"], done["missing"]) == (
        True,
        True,
        images,
        images,
        0,
    )
    assert done["former"] == former != done["space"]
    assert counts(own) == {done["space"]: images, former: images}
    assert own.run("index", "verify").json["ok"]
    assert own.run("index", "info").json["vectors"] == images
    assert_same(vectors(own.path), fresh)
    assert own.run("search", "--text", "a chest radiograph").json["space"] == done["space"]
    again = own.run("index", "reembed", "--to", other_model).json
    assert (again["embedded"], again["switched"], again["finished"]) == (0, False, True)
    back = own.run("index", "reembed", "--to", "tiny").json
    assert (back["switched"], back["embedded"], back["space"]) == (True, 0, former)
    assert_same(vectors(own.path), before)
    dropped = own.run("index", "drop-space", done["space"]).json
    assert dropped == {"space": done["space"], "images": images}
    assert counts(own) == {former: images}
    assert not list((own.path / "vectors" / done["space"]).glob("*"))
    assert not list((own.path / "faiss").glob(f"{done['space']}*"))
    assert own.run("index", "verify").json["ok"]
    assert own.run("index", "drop-space", former).error["code"] == "space-in-use"
    assert own.run("index", "drop-space", done["space"]).error["code"] == "unknown-space"


def run_with(home: Home, model: Path, *words: object) -> Any:
    return run("--home", home.path, "--model", model, "--json", *words)


def test_ids_of_the_former_space_name_the_same_picture(own: Home, other_model: Path) -> None:
    with Archive(own.path) as archive:
        old = {int(one): archive.index.get(int(one)) for one in archive.index.table().image_ids}
        archive.reembed(str(other_model))
        for image_id, image in old.items():
            found = archive.index.get(image_id)
            assert found.image_id != image_id
            assert (found.sop_instance_uid, found.frame) == (image.sop_instance_uid, image.frame)
            assert (found.slice_index, found.labels) == (image.slice_index, image.labels)
        assert archive.search(text="a chest radiograph").space == archive.space.name


def test_files_that_are_gone_or_changed_keep_the_former_space(
    files: Path, other_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    shutil.copytree(files, folder)
    home = tmp_path / "home"
    images = run("--home", home, "--json", "ingest", folder).json["images"]
    with Archive(home) as archive:
        paths = {int(one): str(archive.index.get(int(one)).path) for one in archive.index.table().image_ids}
    single = [path for path in paths.values() if list(paths.values()).count(path) == 1]
    gone, changed = Path(single[0]), Path(single[1])
    kept, unchanged = gone.read_bytes(), changed.read_bytes()
    gone.unlink()
    dataset = pydicom.dcmread(changed)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(changed)
    refused = run("--home", home, "--json", "index", "reembed", "--to", other_model)
    assert refused.code == 1
    told = json.loads(refused.out)
    assert (told["switched"], told["finished"], told["missing"], told["embedded"]) == (
        False,
        False,
        2,
        images - 2,
    )
    codes = {one["path"]: one["code"] for one in told["missing_files"]}
    assert codes == {str(gone): "source-gone", str(changed): "source-changed"}
    assert all("ingest it" in one["reason"] for one in told["missing_files"])
    assert told["space"] == told["former"]
    assert run("--home", home, "--json", "search", "--text", "a chest").json["space"] == told["former"]
    shown = run("--home", home, "index", "reembed", "--to", other_model)
    assert shown.code == 1
    assert "--allow-missing" in shown.out
    gone.write_bytes(kept)
    done = run("--home", home, "--json", "index", "reembed", "--to", other_model, "--allow-missing").json
    assert (done["switched"], done["missing"], done["embedded"]) == (True, 1, 1)
    assert run("--home", home, "--json", "index", "info").json["images"] == images - 1
    still = run("--home", home, "--json", "index", "reembed")
    assert (still.code, json.loads(still.out)["missing"]) == (1, 1)
    changed.write_bytes(unchanged)
    back = run("--home", home, "--json", "index", "reembed").json
    assert (back["switched"], back["finished"], back["missing"], back["embedded"]) == (False, True, 0, 1)
    assert run("--home", home, "--json", "index", "info").json["images"] == images
    assert run("--home", home, "--json", "index", "verify").json["ok"]


def test_a_run_that_is_ended_goes_on_and_new_images_are_taken_along(
    own: Home, other_model: Path, fresh: Vectors, monkeypatch: Any
) -> None:
    monkeypatch.setattr("medsiglip.ingest.run.reembedding.COMMIT_EVERY_S", 0.0)
    images = own.report["images"]
    with Archive(own.path) as archive:
        former = archive.searchable_space.name
        stopped = []

        def stop(stage: str, done: int, total: int | None) -> None:
            assert (stage, total) == ("embedding anew", images)
            stopped.append(done)
            if done:
                raise KeyboardInterrupt

        with pytest.raises(InterruptedIngestError):
            archive.reembed(str(other_model), workers=1, on_progress=stop)
        done = stopped[-1]
        assert 0 < done < images
        assert archive.searchable_space.name == former
        assert archive.search(text="a chest radiograph").hits, "searches go on in the former space"
        assert archive.index.verify().ok
        report = archive.reembed(str(other_model), workers=1)
        assert (report.embedded, report.switched) == (images - done, True)
    assert_same(vectors(own.path), fresh)


def test_what_is_forgotten_leaves_every_space(own: Home, other_model: Path) -> None:
    own.run("index", "reembed", "--to", other_model)
    study = own.run("study", "list").json["studies"][0]
    own.run("forget", "--study", study["study_instance_uid"])
    left = own.report["images"] - study["images"]
    assert set(counts(own).values()) == {left}
    with closing(sqlite3.connect(own.path / "catalog.db")) as connection:
        rows = connection.execute("SELECT sum(rows) FROM shards GROUP BY space_id").fetchall()
    assert rows == [(left,), (left,)]


def test_renderings_of_an_earlier_version_are_renewed_in_place(own: Home) -> None:
    before = vectors(own.path)
    with closing(sqlite3.connect(own.path / "catalog.db")) as connection, connection:
        connection.execute("UPDATE images SET rendering_params = '{}' WHERE id % 2 = 0")
        old = connection.execute("SELECT count(*) FROM images WHERE id % 2 = 0").fetchone()[0]
    assert own.run("index", "info").json["outdated"] == old
    done = own.run("index", "reembed").json
    assert (done["embedded"], done["switched"], done["finished"], done["missing"]) == (old, False, True, 0)
    assert own.run("index", "info").json["outdated"] == 0
    assert own.run("search", "--text", "a chest radiograph").json["warnings"] == []
    assert own.run("index", "verify").json["ok"]
    assert_same(vectors(own.path), before)


def test_a_home_without_paths_needs_the_folders(tmp_path: Path, files: Path, other_model: Path) -> None:
    home = tmp_path / "strict"
    images = run("--home", home, "--json", "ingest", files, "--phi", "strict").json["images"]
    refused = run("--home", home, "--json", "index", "reembed", "--to", other_model)
    assert refused.code == 1
    assert str(files) not in refused.out
    assert f'"missing": {images}' in refused.out
    done = run("--home", home, "--json", "index", "reembed", "--to", other_model, "--source", files).json
    assert (done["switched"], done["embedded"]) == (True, images)


def test_an_open_archive_follows_a_switch_by_another_process(own: Home, other_model: Path) -> None:
    with Archive(own.path) as reader:
        former = reader.search(text="a chest radiograph").space
        own.run("index", "reembed", "--to", other_model)
        found = reader.search(text="a chest radiograph")
        assert found.space != former
        assert len(found.hits) == 10
        assert reader.encoder.image_size == 64
    with Archive(own.path, model="tiny") as chosen, pytest.raises(CatalogError) as refused:
        chosen.search(text="a chest radiograph")
    assert refused.value.code == "space-mismatch"


def test_scores_after_a_switch_are_those_of_the_new_model(own: Home, tmp_path: Path) -> None:
    """Also in an archive that has been open since before, where the two models have as many values."""
    folder = tmp_path / "as-long"
    write_checkpoint(folder, width=128, layers=1, image_size=64)
    with Archive(own.path) as reader:
        before = scored(reader)
        former = reader.space
        own.run("index", "reembed", "--to", folder)
        found = scored(reader)
        assert reader.space.dimension == former.dimension
    with Archive(own.path) as fresh:
        np.testing.assert_allclose(found, scored(fresh), atol=1e-6)
    assert np.abs(found - before).max() > 1e-3


def scored(archive: Archive) -> np.ndarray:
    """What an evaluation compares: stored vectors with texts."""
    classifier = prompt_classifier(archive, load_prompt_set("chest-xray"))
    return classifier.scores(archive.index.table().vectors).probability


@pytest.mark.parametrize("meets_an_error", [False, True])
def test_what_is_worked_out_across_a_switch_is_refused(
    own: Home, other_model: Path, monkeypatch: Any, meets_an_error: bool
) -> None:
    with Archive(own.path) as archive:
        table = archive.index.table

        def late(*given: Any) -> Any:
            own.run("index", "reembed", "--to", other_model)
            if meets_an_error:
                raise ValueError("shapes do not fit")
            return table(*given)

        monkeypatch.setattr(archive.index, "table", late)
        with pytest.raises(CatalogError) as refused:
            archive.evaluate_retrieval()
        assert refused.value.code == "space-switched"


def test_a_probe_of_vectors_switched_to_meanwhile_is_not_kept(
    own: Home, other_model: Path, monkeypatch: Any
) -> None:
    with Archive(own.path) as archive:
        table = archive.index.table

        def late(*given: Any, **named: Any) -> Any:
            own.run("index", "reembed", "--to", other_model)
            return table(*given, **named)

        uids = [study.study_instance_uid for study in archive.studies().studies]
        archive.index.labels.put(
            [LabelRecord("odd", float(n % 2), "study_instance_uid", uid) for n, uid in enumerate(uids)]
        )
        monkeypatch.setattr(archive.index, "table", late)
        with pytest.raises(ServiceError) as refused:
            archive.train_probe("late", labels=["odd"])
        assert refused.value.code == "space-mismatch"
        assert archive.probes().probes == ()
