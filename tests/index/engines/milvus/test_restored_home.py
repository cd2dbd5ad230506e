"""A home that is put back from a backup: Milvus gets what it holds, and loses what came after the backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.engines.engine import LEVELS, Collection
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.search.engines import engine_search
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.storage.backups.backup import back_up
from medsiglip.index.storage.backups.backup_check import restore_backup
from tests.index.engines.milvus_server import MilvusServer
from tests.index.index_cases import DIMENSION, SPACE, make_bundle, unit_vectors

APPROXIMATE = SearchOptions(1, exact=False)


@pytest.mark.long
def test_a_restored_home_fills_milvus_from_its_shards(
    milvus_server: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_search, "FEW", 0)
    home, copy, restored = tmp_path / "home", tmp_path / "backup", tmp_path / "restored"
    setting = EngineSetting(milvus_server.url)
    with CaseIndex.open(home, vector_engine=setting) as index:
        index.activate(SPACE)
        for study in range(4):
            index.add([make_bundle(study, 3)], unit_vectors(3, study))
        index.feed_engine()
        back_up(home, copy, None, lambda *_: None)
        index.add([make_bundle(9, 2)], unit_vectors(2, 9))
        index.remove_study("2.25.1")
        index.feed_engine()
        assert index.verify().ok
    assert {path.name for path in copy.rglob("*")}.isdisjoint({"vector-engine.lock"})
    restore_backup(copy, restored, None, lambda *_: "", lambda *_: None)
    with CaseIndex.open(restored, vector_engine=setting) as index:
        for study in range(4):
            [found] = index.find([Asked(unit_vectors(3, study)[1])], APPROXIMATE)
            assert found.how == "approximate"
            assert found.hits[0].hit.study_instance_uid == f"2.25.{study}"
        verified = index.verify()
        assert verified.ok, verified.problems
        engine = connect(setting, index._database)
        assert [engine.count(Collection(1, level, DIMENSION)) for level in LEVELS] == [12, 4, 4]
        engine.close()
