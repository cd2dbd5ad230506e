"""An archive is rebuilt from its shards and a backup of its catalogue, as it was when the backup was made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.errors import CatalogError
from medsiglip.index.storage import trash
from medsiglip.index.storage.maps.map_file import MapPoints
from medsiglip.index.storage.older_catalogue import recover
from tests.index.conftest import Archive
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

pytestmark = pytest.mark.long


@pytest.fixture
def ours(make_archive: Callable[[str], Archive]) -> Archive:
    return make_archive("ours")


def vectors_of(archive: Archive, url: str, study: int) -> np.ndarray:
    with archive.open(url) as index:
        ids = [image.image_id for image in index.images_of(f"2.25.{study}")]
        return np.array(index.vectors(ids))


def test_all_that_the_backup_knows_is_searchable_again(ours: Archive) -> None:
    ours.fill(range(4))
    backup = ours.backup()
    ours.fill(range(4, 6))
    with ours.open() as index:
        index.compact()  # the shards that the backup names are gone, their vectors lie in another
    recovered = recover(ours.home, database_url=backup)
    assert (recovered.found, recovered.missing, recovered.studies) == (12, 0, ())
    assert recovered.set_aside == 1
    with ours.open(backup) as index:
        assert index.verify().problems == ()
        assert {study.study_instance_uid for study in index.studies()} == {f"2.25.{n}" for n in range(4)}
        [hits] = index.search(unit_vectors(3, 2)[:1], k=1)
        assert (hits[0].study_instance_uid, round(hits[0].score, 5)) == ("2.25.2", 1.0)
    for study in range(4):
        assert np.abs(vectors_of(ours, backup, study) - unit_vectors(3, study)).max() < 1e-6


def test_what_was_forgotten_since_is_named_and_does_not_come_back(ours: Archive) -> None:
    ours.fill(range(3))
    backup = ours.backup()
    with ours.open() as index:
        index.remove_study("2.25.1")
        index.compact()
    recovered = recover(ours.home, database_url=backup)
    assert (recovered.missing, recovered.studies) == (3, ("2.25.1",))
    with ours.open(backup) as index:
        assert not index.verify().ok
        index.remove_study("2.25.1")
        assert index.verify().problems == ()
        assert index.info().images == 6


def test_ids_given_since_the_backup_are_not_given_again(ours: Archive) -> None:
    """Or a preview or a snapshot of one patient's image would be shown for another's."""
    ours.fill(range(2))
    backup = ours.backup()
    ours.fill(range(2, 9))
    with ours.open() as index:
        given = {image.image_id for n in range(2, 9) for image in index.images_of(f"2.25.{n}")}
    recover(ours.home, database_url=backup)
    with ours.open(backup) as index:
        new = index.add([make_bundle(50, 3)], unit_vectors(3, 50))
        assert not given & set(new)
        assert not any(path.name.partition(".")[0] in map(str, new) for path in ours.home.rglob("*.png"))
        [hits] = index.search(unit_vectors(3, 50)[:1], k=1)
        assert hits[0].study_instance_uid == "2.25.50"
        assert index.verify().problems == ()


def test_nothing_is_deleted_and_the_newest_catalogue_can_be_recovered_too(ours: Archive) -> None:
    """Who recovers with the wrong backup gets everything back from the trash."""
    ours.fill(range(2))
    backup = ours.backup()
    ours.fill(range(2, 4))
    shards = {path.name for path in ours.home.rglob("*.parquet")}
    recover(ours.home, database_url=backup)
    assert shards == {path.name for path in ours.home.rglob("*.parquet")}
    recovered = recover(ours.home, database_url=ours.url)
    assert (recovered.found, recovered.missing) == (6, 0)
    with ours.open() as index:
        assert index.verify().problems == ()
        assert index.info().images == 12


def test_recovering_what_fits_changes_no_vector(ours: Archive) -> None:
    ours.fill(range(2))
    recovered = recover(ours.home, database_url=ours.url)
    assert (recovered.found, recovered.set_aside, recovered.missing) == (0, 0, 0)
    with ours.open() as index:
        assert index.verify().problems == ()


def test_a_recovery_that_is_killed_is_run_again(ours: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    ours.fill(range(2))
    backup = ours.backup()
    ours.fill(range(2, 4))
    with ours.open() as index:
        index.compact()

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trash, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            recover(ours.home, database_url=backup)
    assert recover(ours.home, database_url=backup).missing == 0
    with ours.open(backup) as index:
        assert index.verify().problems == ()
        assert index.info().images == 6


def test_vectors_in_the_trash_are_found(ours: Archive) -> None:
    ours.fill(range(2))
    [first, _] = sorted(ours.home.rglob("*.parquet"))
    trash.move(ours.home, [first], trash.SET_ASIDE)
    assert recover(ours.home, database_url=ours.url).found == 3
    with ours.open() as index:
        assert index.verify().problems == ()


def test_vectors_of_an_interrupted_write_are_not_taken_for_those_of_an_image(ours: Archive) -> None:
    """Their ids were given again, to images that came later."""
    ours.fill(range(2))
    [first, _] = sorted(ours.home.rglob("*.parquet"))
    trash.move(ours.home, [first], trash.UNFINISHED)
    recovered = recover(ours.home, database_url=ours.url)
    assert (recovered.found, recovered.missing) == (0, 3)


def test_a_damaged_file_does_not_stop_the_others(ours: Archive) -> None:
    ours.fill(range(2))
    backup = ours.backup()
    ours.fill(range(2, 4))
    known = {path.name for path in ours.home.rglob("*.parquet")}
    damaged = next(ours.home.rglob("*.parquet")).with_name(f"{'0' * 32}-0.parquet")
    damaged.write_bytes(b"PAR1 and no more")
    recovered = recover(ours.home, database_url=backup)
    assert recovered.missing == 0
    assert {path.name for path in ours.home.rglob("*.parquet")} == known | {damaged.name}


def test_another_home_s_catalogue_is_not_recovered(
    ours: Archive, make_archive: Callable[[str], Archive], tmp_path: Path
) -> None:
    theirs = make_archive("theirs")
    ours.fill(range(2))
    theirs.fill(range(5, 7))
    before = ours.files()
    for url in (theirs.url, f"sqlite:///{tmp_path / 'none.db'}"):
        with pytest.raises(CatalogError) as caught:
            recover(ours.home, database_url=url)
        assert caught.value.code == "other-catalogue"
    assert ours.files() == before
    shutil.rmtree(ours.home / "vectors")
    assert recover(ours.home, database_url=ours.url).missing == 6


def test_maps_that_the_backup_does_not_know_are_set_aside(ours: Archive) -> None:
    ours.fill(range(2))
    backup = ours.backup()
    with ours.open() as index:
        rows = np.unique(index.instances.rows_of_images("study", index.table("image").image_ids.tolist()))
        none = np.zeros((len(rows), 5))
        points = MapPoints(
            rows,
            np.zeros((len(rows), 2), np.float32),
            np.ones(len(rows), np.float32),
            np.ones(len(rows), np.float32),
            none.astype(np.int64),
            none.astype(np.float32),
        )
        index.maps.put(SPACE.name, "study", points, {})
    [file] = ours.home.glob("maps/*/*.parquet")
    recover(ours.home, database_url=backup)
    assert list(ours.home.glob("maps/*/*.parquet")) == []
    assert [path.name for path in trash.contents(ours.home, trash.SET_ASIDE)].count(file.name) == 1
    with ours.open(backup) as index:
        assert index.maps.find("study") is None
        assert index.verify().problems == ()
