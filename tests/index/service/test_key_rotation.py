"""Patient keys and marks become others in one transaction, on both databases."""

from __future__ import annotations

import threading

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from tests.index.index_cases import make_bundle, unit_vectors


def later_key(key: str) -> str:
    return key[::-1]


def test_all_change_or_none(index: CaseIndex) -> None:
    keys = [f"{number:032x}" for number in (0xABC1, 0xABC2, 0xABC3)]
    for number, key in enumerate(keys):
        index.add([make_bundle(number, 1, patient=key)], unit_vectors(1, seed=number))
    index.bind_key("former")
    index.views.put("anna", "mine", "cases", f"where=patient_key%3D{keys[0]}")

    def broken(key: str) -> str:
        if key == keys[2]:
            raise ValueError("the process ends here")
        return later_key(key)

    with pytest.raises(ValueError, match="ends here"):
        index.rotate_pseudonyms(("former", "later"), broken, later_key)
    assert sorted(one.patient_key for one in index.studies()) == sorted(keys)
    assert index.key_fingerprint == "former"
    done = index.rotate_pseudonyms(("former", "later"), later_key, later_key)
    assert (done["patients"], done["texts"]) == (3, 1)
    assert sorted(one.patient_key for one in index.studies()) == sorted(map(later_key, keys))
    assert index.views.listed("anna")[0].query == f"where=patient_key%3D{later_key(keys[0])}"
    assert index.key_fingerprint == "later"
    with pytest.raises(CatalogError) as failed:
        index.rotate_pseudonyms(("former", "later"), later_key, later_key)
    assert failed.value.code == "key-mismatch"
    assert index.verify().ok
    log = index.home / "catalog.db-wal"
    assert not log.exists() or log.stat().st_size == 0


def test_no_job_begins_meanwhile(index: CaseIndex) -> None:
    index.bind_key("former")
    job, seen, claimed = index.jobs.submit("ingest", {}), [], threading.Event()

    def claim() -> None:
        assert index.jobs.claim("worker", ("ingest",)) is not None
        seen.append(index.key_fingerprint)
        claimed.set()

    thread = threading.Thread(target=claim)

    def before() -> None:
        thread.start()
        claimed.wait(0.3)

    index.rotate_pseudonyms(("former", "later"), later_key, later_key, before)
    thread.join()
    assert seen == ["later"]
    assert index.jobs.get(job.id).status == "running"


def test_many_keys_in_one_text_are_looked_up_in_portions(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medsiglip.index.service.key_rotation._PORTION", 2)
    keys = [f"{number:032x}" for number in range(0xABC1, 0xABC6)]
    for number, key in enumerate(keys[:-1]):  # the last one is nobody's
        index.add([make_bundle(number, 1, patient=key)], unit_vectors(1, seed=number))
    index.bind_key("former")
    index.views.put("anna", "mine", "cases", "&".join(f"patient={key}" for key in keys))
    assert index.rotate_pseudonyms(("former", "later"), later_key, later_key)["texts"] == 1
    expected = [*map(later_key, keys[:-1]), keys[-1]]
    assert index.views.listed("anna")[0].query == "&".join(f"patient={key}" for key in expected)
