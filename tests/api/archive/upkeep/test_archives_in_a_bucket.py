"""An archive that is moved into a bucket, as a person uses it there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.archive.pictures.previews import preview
from medsiglip.index.service.audit_log import AuditFilter
from tests.api.conftest import Home, run
from tests.object_server import KEY, SECRET, ObjectServer, object_server


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


def settings(objects: ObjectServer, bucket: str) -> dict[str, str]:
    place = objects.place(bucket)
    return {
        "MEDSIGLIP_OBJECT_URL": str(place.url),
        "MEDSIGLIP_OBJECT_CREDENTIALS_FILE": str(place.credentials_file),
        "MEDSIGLIP_OBJECT_CACHE_BYTES": str(place.cache_bytes),
    }


@pytest.mark.long
def test_an_archive_moves_into_a_bucket_and_is_used_there(
    home: Home, objects: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(own: Home) -> Any:
        hits = own.run("search", "--text", "melanoma", "-k", "4").json["hits"]
        return [(hit["image_id"], hit["score"]) for hit in hits]

    expected = asked(home)
    assert home.run("backup", tmp_path / "backup").json["ok"]
    bucket = objects.new_bucket(versioned=True)
    moved = Home(tmp_path / "moved", home.report)
    for name, value in settings(objects, bucket).items():
        monkeypatch.setenv(name, value)
    assert moved.run("backup", "restore", tmp_path / "backup").json["ok"]
    assert not (moved.path / "vectors").exists()
    assert asked(moved) == expected
    shown = moved.run("config", "show").out
    assert f"s3://{bucket}/archive" in shown
    assert KEY not in shown
    assert SECRET not in shown
    with OpenedArchive(moved.path) as archive:
        image = archive.index.get(expected[0][0])
        drawn = preview(archive, image, 64)
        assert preview(archive, image, 64) == drawn
    previews = [name for name in objects.names(bucket) if "/previews/" in name]
    kept = objects.client.get_object(Bucket=bucket, Key=previews[0])
    assert len(previews) == 1
    assert kept["Body"].read() == drawn
    assert moved.run("index", "verify", "--deep").json["ok"]
    assert moved.run("forget", "--study", image.study_instance_uid, "--yes").code == 0
    assert [name for name in objects.versions(bucket) if "/previews/" in name] == []
    assert image.image_id not in [image_id for image_id, _ in asked(moved)]
    assert moved.run("index", "verify", "--deep").json["ok"]
    monkeypatch.delenv("MEDSIGLIP_OBJECT_URL")
    refused = run("--home", moved.path, "study", "list")
    assert refused.code != 0
    assert f"s3://{bucket}/archive" in refused.err


@pytest.mark.long
def test_what_a_locked_bucket_keeps_is_in_the_audit_trail(
    home: Home, objects: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert home.run("backup", tmp_path / "backup").json["ok"]
    for name, value in settings(objects, objects.new_bucket(locked=True)).items():
        monkeypatch.setenv(name, value)
    locked = Home(tmp_path / "locked", home.report)
    locked.run("backup", "restore", tmp_path / "backup")
    uid = locked.run("study", "list").json["studies"][0]["study_instance_uid"]
    refused = run("--home", locked.path, "forget", "--study", uid, "--yes")
    assert refused.code != 0
    assert "versions of 1 objects remain" in refused.err
    studies = locked.run("study", "list").json["studies"]
    assert uid not in [one["study_instance_uid"] for one in studies]
    with OpenedArchive(locked.path) as archive:
        events = archive.index.audit.newest(limit=5, only=AuditFilter(action="versions-remain"))
    assert [list(one.event.studies) for one in events] == [[uid]]
