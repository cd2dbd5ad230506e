"""An archive with its catalogue on PostgreSQL and its files in a bucket, on two machines, by commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.api.conftest import Ran, run
from tests.api.jobs.conftest import write_files
from tests.object_server import ObjectServer, object_server


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def bucket(objects: ObjectServer, new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with versions, which all commands are told of."""
    name = objects.new_bucket(versioned=True)
    place = objects.place(name)
    monkeypatch.setenv("MEDSIGLIP_OBJECT_URL", str(place.url))
    monkeypatch.setenv("MEDSIGLIP_OBJECT_CREDENTIALS_FILE", str(place.credentials_file))
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", new_database())
    return name


def test_an_ingest_into_a_bucket_is_found_on_another_machine_and_forgotten(
    tmp_path: Path, objects: ObjectServer, bucket: str
) -> None:
    files = write_files(tmp_path / "files", 4, "skin")

    def on(machine: str, *words: object) -> Ran:
        return run("--home", tmp_path / machine, "--json", *words)

    report = on("one", "ingest", tmp_path / "files").json
    assert (report["embedded"], report["quarantined"]) == (len(files), [])
    (tmp_path / "two").mkdir()
    shutil.copy(tmp_path / "one" / "secret.key", tmp_path / "two")
    assert on("two", "ingest", tmp_path / "files").json["embedded"] == 0
    asked = ("search", "--text", "a skin lesion", "--level", "study")
    here, there = (on(machine, *asked).json["hits"] for machine in ("one", "two"))
    assert len(here) == 4
    for hit, same in zip(here, there, strict=True):
        # The percentile comes of sums whose last bits may differ.
        assert same == hit | {"percentile": pytest.approx(hit["percentile"], abs=1e-6)}
    assert not (tmp_path / "one" / "vectors").exists()
    gone = here[0]["study_instance_uid"]
    assert on("two", "forget", "--study", gone, "--yes").code == 0
    assert [hit["study_instance_uid"] for hit in on("one", *asked).json["hits"]] == [
        hit["study_instance_uid"] for hit in here[1:]
    ]
    assert on("one", "index", "compact").code == 0
    for machine in ("one", "two"):
        assert on(machine, "index", "verify", "--deep").json["problems"] == []
    # Of shards there is one, and no earlier version.
    assert len([name for name in objects.versions(bucket) if "/vectors/" in name]) == 1
