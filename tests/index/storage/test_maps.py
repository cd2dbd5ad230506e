"""Maps are kept as versions, and what is deleted leaves them: rows, files and the names of neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level, RenderingCount
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.maps.map_file import MapPoints
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def add(index: CaseIndex, study: int, images: int = 2) -> list[int]:
    bundle = make_bundle(study, images, patient=f"patient-{study}")
    return index.add([bundle], unit_vectors(images, study))


@pytest.fixture
def filled(index: CaseIndex) -> CaseIndex:
    for study in range(1, 7):
        add(index, study)
    return index


def points_of(index: CaseIndex, level: Level) -> MapPoints:
    rows = np.unique(index.instances.rows_of_images(level, index.table("image").image_ids.tolist()))
    random = np.random.default_rng(len(rows))
    near = np.stack([np.roll(rows, -step) for step in range(1, 6)], axis=1)
    return MapPoints(
        rows,
        random.uniform(-1, 1, (len(rows), 2)).astype(np.float32),
        random.uniform(size=len(rows)).astype(np.float32),
        random.uniform(size=len(rows)).astype(np.float32),
        near,
        random.uniform(size=near.shape).astype(np.float32),
    )


def put(index: CaseIndex, level: Level = "study") -> MapPoints:
    points = points_of(index, level)
    index.maps.put(SPACE.name, level, points, {"seed": 3, "newest": index.maps.newest_image()})
    return points


def held(index: CaseIndex, level: Level = "study", version: int | None = None) -> MapPoints:
    record = index.maps.find(level, version)
    assert record is not None
    return index.maps.points(record)


def files(home: Path) -> set[str]:
    return {path.stem for path in home.glob("maps/*/*.parquet")}


@pytest.mark.long(every=3)
@pytest.mark.parametrize("level", ["image", "series", "study"])
def test_what_was_put_is_found(filled: CaseIndex, level: Level) -> None:
    assert filled.maps.find(level) is None
    points = put(filled, level)
    record = filled.maps.find(level)
    assert record is not None
    assert (record.space, record.level, record.version) == (SPACE.name, level, 1)
    assert dict(record.summary) == {
        "seed": 3,
        "newest": filled.table("image").image_ids.max(),
        "points": len(points.row_ids),
        "left": len(points.row_ids),
    }
    found = held(filled, level)
    for name in ("row_ids", "places", "kept", "apart", "near", "alike"):
        np.testing.assert_array_equal(getattr(found, name), getattr(points, name))
        assert getattr(found, name).dtype == getattr(points, name).dtype


def test_three_versions_of_a_level_are_kept(filled: CaseIndex) -> None:
    for _ in range(5):
        put(filled)
    put(filled, "image")
    record = filled.maps.find("study")
    assert record is not None
    assert record.version == 5
    assert [filled.maps.find("study", version) is not None for version in range(1, 7)] == [
        *(False, False),
        *(True, True, True),
        False,
    ]
    assert len(files(filled.home)) == 4


@pytest.mark.long(every=3)
@pytest.mark.parametrize("level", ["image", "series", "study"])
def test_a_deleted_case_leaves_every_version(filled: CaseIndex, level: Level) -> None:
    points, _ = put(filled, level), put(filled, level)
    before = files(filled.home)
    ids = filled.table("image", ["study_instance_uid=2.25.3"]).image_ids.tolist()
    gone = set(filled.instances.rows_of_images(level, ids).tolist())
    filled.remove_study("2.25.3")
    kept = ~np.isin(points.row_ids, list(gone))
    for version in (1, 2):
        found = held(filled, level, version)
        np.testing.assert_array_equal(found.row_ids, points.row_ids[kept])
        np.testing.assert_array_equal(found.places, points.places[kept])
        lost = np.isin(points.near[kept], list(gone))
        assert lost.any()
        assert (found.near[lost] == 0).all()
        assert np.isnan(found.alike[lost]).all()
        np.testing.assert_array_equal(found.near[~lost], points.near[kept][~lost])
        record = filled.maps.find(level, version)
        assert record is not None
        assert record.summary["left"] == len(found.row_ids) == record.summary["points"] - len(gone)
    assert not before & files(filled.home)
    assert filled.verify().problems == ()


def test_a_replaced_series_leaves_and_others_stay(filled: CaseIndex) -> None:
    points = put(filled)
    bundle = replace(make_bundle(2, 2, patient="patient-2", pixels="b"), replace_series=True)
    filled.add([bundle], unit_vectors(2, 50))
    ids = filled.table("image", ["study_instance_uid=2.25.2"]).image_ids.tolist()
    [row] = set(filled.instances.rows_of_images("study", ids).tolist())
    assert held(filled).row_ids.tolist() == [one for one in points.row_ids.tolist() if one != row]
    before = held(filled).row_ids.tolist()
    add(filled, 9)
    assert held(filled).row_ids.tolist() == before


def test_images_that_are_drawn_anew_leave(filled: CaseIndex) -> None:
    points = put(filled, "image")
    work = filled.reembedding(None, [RenderingCount("voi", 1, 12)])
    [series_id, *_] = work.series(0, 1)
    one = work.images(series_id)[0]
    record = make_bundle(1, 2).images[0]
    work.add([(one.image_id, record)], unit_vectors(1, 70))
    assert held(filled, "image").row_ids.tolist() == [i for i in points.row_ids.tolist() if i != one.image_id]


def test_what_was_deleted_while_a_map_was_made_is_left_out(filled: CaseIndex) -> None:
    points = points_of(filled, "study")
    filled.remove_study("2.25.1")
    filled.maps.put(SPACE.name, "study", points, {})
    record = filled.maps.find("study")
    assert record is not None
    assert (record.summary["points"], record.summary["left"]) == (6, 5)
    assert len(held(filled).row_ids) == 5
    with pytest.raises(CatalogError) as caught:
        filled.maps.put("another-space", "study", points, {})
    assert caught.value.code == "space-switched"
    assert len(files(filled.home)) == 1


def test_a_failed_transaction_leaves_no_file(filled: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise CatalogError("disk-full", "The disk is full.")

    monkeypatch.setattr("medsiglip.index.storage.map_store.drop_maps", fail)
    with pytest.raises(CatalogError):
        put(filled)
    assert files(filled.home) == set()
    assert filled.maps.find("study") is None


def test_a_file_that_is_gone_or_damaged(filled: CaseIndex) -> None:
    put(filled)
    [file] = filled.home.glob("maps/*/*.parquet")
    file.write_bytes(file.read_bytes()[:40])
    for _ in range(2):
        with pytest.raises(CatalogError) as caught:
            held(filled)
        assert caught.value.code == "map-gone"
        file.unlink(missing_ok=True)
    filled.remove_study("2.25.1")
    put(filled)
    assert len(held(filled).row_ids) == 5


def test_a_backup_has_the_maps(filled: CaseIndex, catalogue: Catalogue, tmp_path: Path) -> None:
    put(filled)
    description = back_up(filled.home, tmp_path / "backup", catalogue.url, lambda *_: None)
    assert description.problems == ()
    assert files(tmp_path / "backup") == files(filled.home)


def test_a_dropped_space_takes_its_maps(filled: CaseIndex) -> None:
    put(filled)
    other = replace(SPACE, checkpoint_hash="b" * 40)
    work = filled.reembedding(other)
    for series_id in work.series(0, 100):
        drawn = [
            (one.image_id, make_bundle(int(one.sop_instance_uid.split(".")[2]), 2).images[i])
            for i, one in enumerate(work.images(series_id))
        ]
        work.add(drawn, unit_vectors(len(drawn), series_id))
    assert work.finish(())
    assert filled.maps.find("study") is None
    assert len(files(filled.home)) == 1
    filled.spaces.drop(SPACE.name)
    assert files(filled.home) == set()
