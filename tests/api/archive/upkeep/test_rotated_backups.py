"""A backup is whole, whatever became of a rotation of the secret key before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.keys import rotate_secret
from medsiglip.api.archive.upkeep.backups import verify_backup
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.privacy.deidentify import KEY_BYTES, bound_key, known_key


@pytest.mark.parametrize("ended", ["refused", "killed", "done"])
def test_a_backup_after_a_rotation_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    with Archive(tmp_path / "home") as archive:
        archive.make()
        bound_key(archive.index)
        if ended == "refused":
            job = archive.index.jobs.submit("ingest", {})
            with archive.index._database.write_service_tables() as connection:
                connection.execute(jobs.update().where(jobs.c.id == job.id).values(status="running"))
            with pytest.raises(CatalogError, match="wait for their end"):
                rotate_secret(archive)
        elif ended == "killed":

            def killed(*_: Any) -> None:
                raise KeyboardInterrupt

            with monkeypatch.context() as patched:
                patched.setattr("medsiglip.index.service.key_rotation._forgotten", killed)
                with pytest.raises(KeyboardInterrupt):
                    rotate_secret(archive)
        else:
            rotate_secret(archive)
        key, secrets = known_key(archive.index), (archive.home / "secret.key").stat().st_size // KEY_BYTES
        assert secrets == (1 if ended == "refused" else 2)
        archive.back_up(tmp_path / "backup")
    assert verify_backup(tmp_path / "backup").ok
    with Archive(tmp_path / "restored") as restored:
        assert restored.restore_backup(tmp_path / "backup").ok
        assert known_key(restored.index) == key
    (tmp_path / "backup" / "secret.key").write_bytes(b"another" + bytes(KEY_BYTES - 7))
    assert any("secret.key" in one for one in verify_backup(tmp_path / "backup").problems)
