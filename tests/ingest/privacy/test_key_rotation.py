"""Another secret for a home: the same patients, under other keys, wherever they are named."""

from __future__ import annotations

import contextvars
import hashlib
import hmac
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.pacs.schema import pacs_connections
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.privacy import key_rotation
from medsiglip.ingest.privacy.deidentify import KEY_BYTES, SecretKey, bound_key, known_key
from medsiglip.ingest.privacy.key_rotation import rotate_key

FIRST, SECOND, THIRD = (bytes([number]) * KEY_BYTES for number in (1, 2, 3))


def by_hand(secret: bytes, purpose: str, message: str) -> str:
    return hmac.new(secret, f"{purpose}\0{message}".encode(), hashlib.sha256).hexdigest()


def test_a_later_key_is_the_hash_of_the_former_one() -> None:
    key = SecretKey(FIRST, newer=(SECOND, THIRD))
    first = by_hand(FIRST, "patient", "issuer\0ID 1")[:32]
    second = by_hand(SECOND, "later-patient", first)[:32]
    assert key.patient_key("issuer", "ID 1") == by_hand(THIRD, "later-patient", second)[:32]
    assert SecretKey(FIRST).patient_key("issuer", "ID 1") == first
    one = key.patient_key_of_study("1.2.3")
    assert one != SecretKey(FIRST).patient_key_of_study("1.2.3")
    assert "\\x02" not in repr(key)
    assert len({SecretKey(FIRST, newer=newer).fingerprint for newer in ((), (SECOND,), (SECOND, THIRD))}) == 3


def test_what_was_forgotten_is_known_after_any_number_of_rotations() -> None:
    keys = [SecretKey(FIRST), SecretKey(FIRST, newer=(SECOND,)), SecretKey(FIRST, newer=(SECOND, THIRD))]
    from medsiglip.ingest.privacy.generations import later_mark

    for made in range(3):
        of_patient = keys[made].forgotten_uid(keys[made].patient_key("", "ID 1"))
        of_study = keys[made].forgotten_uid("1.2.3")
        for later in range(made, 3):
            newer = (SECOND, THIRD)[made:later]
            assert later_mark(of_patient, newer) in keys[later].forgotten_patient("", "ID 1")
            assert later_mark(of_study, newer) == keys[later].forgotten_uid("1.2.3")
            assert later_mark(of_patient, newer) not in keys[later].forgotten_patient("", "ID 2")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(tmp_path / "home", create=True) as made:
        bound_key(made)
        yield made


def test_a_rotation_that_is_killed_between_file_and_catalogue_changes_nothing_and_is_finished_by_the_next(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = bound_key(index)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("medsiglip.index.service.key_rotation._forgotten", killed)
        with pytest.raises(KeyboardInterrupt):
            rotate_key(index)
    assert (index.home / "secret.key").stat().st_size == 2 * KEY_BYTES
    assert (index.home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert bound_key(index) == former == known_key(index)
    waiting = SecretKey.open(index.home)
    assert rotate_key(index)["secrets"] == 2
    assert replace(bound_key(index), phi="pseudonymous") == waiting
    assert os.listdir(index.home).count("secret.key") == 1


def test_rotations_at_once_keep_every_secret(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    former = bound_key(index)
    both_write = threading.Barrier(2)
    write = key_rotation._write

    def together(path: Path, key: SecretKey) -> None:
        with suppress(threading.BrokenBarrierError):  # one after the other, as it must be
            both_write.wait(0.3)
        write(path, key)

    def rotate(_: int) -> int:
        with CaseIndex.open(index.home) as other:
            return int(rotate_key(other)["secrets"])

    monkeypatch.setattr(key_rotation, "_write", together)
    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(rotate, range(2))) == [2, 3]
    found = known_key(index)
    assert found is not None
    assert (found.secret, len(found.newer)) == (former.secret, 2)
    assert found.newer == SecretKey.open(index.home).newer


def test_who_knows_patients_by_the_former_key_stores_nothing(index: CaseIndex) -> None:
    bound_key(index)

    def elsewhere() -> None:
        with CaseIndex.open(index.home) as other:
            rotate_key(other)

    contextvars.copy_context().run(elsewhere)
    for _ in range(2):
        with pytest.raises(CatalogError) as raised, index._database.write():
            pass
        assert raised.value.code == "key-rotated"
    bound_key(index)
    with index._database.write():
        pass


def test_no_rotation_while_a_job_runs(index: CaseIndex) -> None:
    job = index.jobs.submit("ingest", {})
    with index._database.write_service_tables() as connection:
        connection.execute(jobs.update().where(jobs.c.id == job.id).values(status="running"))
    with pytest.raises(CatalogError) as raised:
        rotate_key(index)
    assert raised.value.code == "jobs-running"
    assert (index.home / "secret.key").stat().st_size == KEY_BYTES


@pytest.mark.parametrize(("seconds", "is_refused"), [(30, True), (-1, False), (3600, False)])
def test_no_rotation_while_a_sync_runs(index: CaseIndex, seconds: float, is_refused: bool) -> None:
    index.pacs_connections.put("main", {})
    lease = {"holder": "one", "lease_until": datetime.now(UTC) + timedelta(seconds=seconds)}
    with index._database.write_service_tables() as connection:
        connection.execute(pacs_connections.update().values(**lease))
    if not is_refused:
        assert rotate_key(index)["secrets"] == 2
        return
    with pytest.raises(CatalogError) as raised:
        rotate_key(index)
    assert raised.value.code == "sync-running"
    assert (index.home / "secret.key").stat().st_size == KEY_BYTES


def test_another_machine_is_told_that_its_secret_is_not_the_newest(index: CaseIndex) -> None:
    own = index.home / "secret.key"
    former = own.read_bytes()
    rotate_key(index)
    own.write_bytes(former)
    with pytest.raises(CatalogError, match="the newest secret") as raised:
        known_key(index)
    assert raised.value.code == "key-mismatch"


def test_a_strict_home_and_one_without_a_key_are_refused(tmp_path: Path) -> None:
    with CaseIndex.open(tmp_path / "strict", create=True) as index:
        with pytest.raises(IngestError) as raised:
            rotate_key(index)
        assert raised.value.code == "no-secret-key"
        bound_key(index, "strict")
        with pytest.raises(IngestError) as raised:
            rotate_key(index)
        assert raised.value.code == "strict-home"
        assert (index.home / "secret.key").stat().st_size == KEY_BYTES
