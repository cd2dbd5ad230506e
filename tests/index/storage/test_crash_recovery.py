"""A file is garbage because the catalogue's own log says so, never because no row names it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import unfinished_files
from medsiglip.index.records import ProbeRecord
from medsiglip.index.storage import trash
from medsiglip.index.storage.shards import NewFiles, WrittenShard
from tests.index.conftest import Catalogue
from tests.index.index_cases import SPACE, make_bundle, unit_vectors


def shard_files(home: Path) -> list[Path]:
    return sorted((home / "vectors" / SPACE.name).iterdir())


def trashed(home: Path) -> list[str]:
    """The names of the files in the trash."""
    return sorted(path.name for path in trash.contents(home))


def backdate(home: Path, catalogue: Catalogue, age: timedelta) -> None:
    """Let every announcement be that old."""
    engine = create_engine(catalogue.url_in(home))
    with engine.begin() as connection:
        connection.execute(update(unfinished_files).values(since=datetime.now(UTC) - age))
    engine.dispose()


def announced(home: Path, catalogue: Catalogue) -> list[str]:
    engine = create_engine(catalogue.url_in(home))
    with engine.connect() as connection:
        found = list(connection.execute(select(unfinished_files.c.pattern)).scalars())
    engine.dispose()
    return found


class KilledError(BaseException):
    """Stands for SIGKILL: nothing is put right on the way out."""


@pytest.fixture
def orphan(index: CaseIndex, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shard that a writer left when it was killed before its commit, beside one that is named."""
    index.add([make_bundle(1, 2)], unit_vectors(2))
    [named] = shard_files(home)
    write = NewFiles.write_shard

    def killed(self: NewFiles, *given: Any) -> WrittenShard:
        write(self, *given)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(NewFiles, "write_shard", killed)
        patch.setattr("medsiglip.index.storage.shards._take_back", lambda *_: None)
        with pytest.raises(KilledError):
            index.add([make_bundle(2, 2)], unit_vectors(2, 2))
    [left] = [path for path in shard_files(home) if path != named]
    return left


def test_what_a_killed_writer_left_goes_to_the_trash_after_a_day(
    orphan: Path, index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.close()
    with catalogue.open(home) as again:
        again.clean_up()
        assert orphan.exists()
        assert announced(home, catalogue) == [f"*/*/{orphan.stem.partition('-')[0]}-*"]
    backdate(home, catalogue, timedelta(hours=25))
    with catalogue.open(home) as again:
        assert orphan.exists(), "opening moved a file"
        again.clean_up()
        assert not orphan.exists()
        assert trashed(home) == [orphan.name]
        assert announced(home, catalogue) == []
        assert again.verify().problems == ()


def test_a_file_that_the_log_does_not_know_stays(index: CaseIndex, home: Path, catalogue: Catalogue) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    [named] = shard_files(home)
    strays = [named.with_name("kept-by-a-person.parquet"), home / "probes" / "mine.npz", home / "notes.txt"]
    for path in strays:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    backdate(home, catalogue, timedelta(days=3))
    index.close()
    with catalogue.open(home) as again:
        again.clean_up()
        assert again.verify().problems == ()
    assert [path.exists() for path in [named, *strays]] == [True] * 4


def test_nothing_stays_announced_after_any_way_to_write(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    index.add([make_bundle(1, 2)], unit_vectors(2))
    index.add([make_bundle(2, 2)], unit_vectors(2, 2))
    index.add([make_bundle(1, 1, pixels="b", replace_series=True)], unit_vectors(1, 3))
    index.compact()
    index.remove_study("2.25.2")
    with pytest.raises(ValueError, match="without its instance"):
        index.add([make_bundle(3, 1, image_fields={"pixel_hash": "unknown"})], unit_vectors(1))
    assert announced(home, catalogue) == []
    assert index.verify().problems == ()


def test_a_named_file_never_goes_whatever_the_log_says(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    """As after a log that came back with a backup."""
    index.add([make_bundle(1, 2)], unit_vectors(2))
    [named] = shard_files(home)
    index.announce(f"vectors/*/{named.stem.partition('-')[0]}-*")
    backdate(home, catalogue, timedelta(days=3))
    index.clean_up()
    assert named.exists()
    assert announced(home, catalogue) == []


def test_a_probe_file_of_a_killed_training_goes_and_the_others_stay(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    folder = home / "probes"
    folder.mkdir()
    tokens = {name: index.announce("probes/*{token}*") for name in ("first", "second", "killed")}
    files = {name: folder / f"nodule~{token}.npz" for name, token in tokens.items()}
    for path in files.values():
        path.write_bytes(b"probe")
    partial = folder / f".{files['killed'].name}.part"
    partial.write_bytes(b"probe")
    for name in ("first", "second"):
        index.probes.put(ProbeRecord("nodule", SPACE.name, str(files[name].relative_to(home))), tokens[name])
    index.probes.remove("nodule", 1)
    assert not files["first"].exists()
    backdate(home, catalogue, timedelta(hours=25))
    index.clean_up()
    assert sorted(folder.iterdir()) == [files["second"]]
    assert trashed(home) == sorted([files["killed"].name, partial.name])


def test_the_trash_is_kept_for_a_week(index: CaseIndex, home: Path) -> None:
    now = datetime.now(UTC)
    ages = {"young": timedelta(days=6, hours=23), "old": timedelta(days=7, hours=1)}
    for name, age in ages.items():
        folder = home / "trash" / f"{now - age:%Y%m%dT%H%M%S}-set-aside" / "vectors"
        folder.mkdir(parents=True)
        (folder / f"{name}.parquet").write_bytes(b"x")
    foreign = home / "trash" / "somebody's own"
    foreign.mkdir()
    (foreign / "kept").write_bytes(b"x")
    index.clean_up()
    assert trashed(home) == ["kept", "young.parquet"]


def test_forgetting_empties_the_trash_of_unfinished_files_alone(
    orphan: Path, index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    """A killed ingest may have left vectors of the patient who is forgotten."""
    backdate(home, catalogue, timedelta(hours=25))
    index.clean_up()
    aside = home / "trash" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-set-aside"
    aside.mkdir()
    (aside / "kept.parquet").write_bytes(b"x")
    index.remove_study("2.25.1")
    assert trashed(home) == ["kept.parquet"]
