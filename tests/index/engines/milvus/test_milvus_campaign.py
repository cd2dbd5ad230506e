"""A Milvus server that is killed again and again while writers add and delete and a reader searches."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.engines.engine import LEVELS, Collection
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.engines import engine_search
from medsiglip.index.search_records import Asked, SearchOptions
from tests.index.engines.milvus_server import BUILT_BY, MilvusServer, find_server
from tests.index.index_cases import DIMENSION, SPACE, make_bundle, unit_vectors

WRITERS, IMAGES = 2, 3
LIFE_S, DEAD_S = (0.2, 4.0), (0.0, 1.0)
PATIENCE_S = 120.0


class Workers:
    """Writers of their own studies each, and a reader; `studies` are those that must be there at the end."""

    def __init__(self, home: Path, setting: EngineSetting) -> None:
        self._home, self._setting = home, setting
        self._end = threading.Event()
        self.studies: set[int] = set()
        self.answers = self.outages = 0
        self.failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._guarded, args=(self._write, n)) for n in range(WRITERS)
        ]
        self._threads.append(threading.Thread(target=self._guarded, args=(self._search, 0)))

    def __enter__(self) -> Workers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: object, number: int) -> None:
        try:
            with CaseIndex.open(self._home, vector_engine=self._setting) as index:
                assert callable(work)
                work(index, number)
        except BaseException as error:
            self.failures.append(error)

    def _write(self, index: CaseIndex, number: int) -> None:
        draw = random.Random(number)
        own: list[int] = []
        for study in range(number, 10**6, WRITERS):
            if self._end.is_set():
                return
            index.add([make_bundle(study, IMAGES)], unit_vectors(IMAGES, study))
            own.append(study)
            self.studies.add(study)
            if len(own) > 5 and draw.random() < 0.4:
                gone = own.pop(draw.randrange(len(own)))
                index.remove_study(f"2.25.{gone}")
                self.studies.discard(gone)
            self._end.wait(0.05)

    def _search(self, index: CaseIndex, _: int) -> None:
        while not self._end.is_set():
            known = sorted(self.studies)
            study = known[len(known) // 2] if known else 0
            try:
                # What was committed before the question is in the answer, but for what was deleted meanwhile.
                [found] = index.find([Asked(unit_vectors(IMAGES, study)[0])], SearchOptions(1, exact=False))
            except CatalogError as error:
                if error.code not in ("engine-unreachable", "catalog-busy"):
                    raise
                self.outages += 1
                continue
            if known and study in self.studies:
                assert found.hits[0].hit.study_instance_uid == f"2.25.{study}"
                self.answers += 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MilvusServer]:
    programs = find_server()
    if programs is None:
        pytest.skip(f"no Milvus server was built: {BUILT_BY}")
    (tmp_path / "milvus").mkdir()
    made = MilvusServer(programs, tmp_path / "milvus")
    try:
        made.start()
        yield made
    finally:
        made.kill()


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.long), pytest.param(20, marks=pytest.mark.campaign)]
)
def test_a_server_that_is_killed_loses_and_doubles_nothing(
    kills: int, server: MilvusServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_search, "FEW", 0)
    home, setting = tmp_path / "home", EngineSetting(server.url)
    with CaseIndex.open(home, vector_engine=setting) as index:
        index.activate(SPACE)
    draw = random.Random(kills)
    with Workers(home, setting) as workers:
        for _ in range(kills):
            time.sleep(draw.uniform(*LIFE_S))
            server.kill()
            time.sleep(draw.uniform(*DEAD_S))
            server.start()
            answered = workers.answers
            deadline = time.monotonic() + PATIENCE_S
            while workers.answers < answered + 3 and not workers.failures:
                assert time.monotonic() < deadline, "no search is answered after a restart"
                time.sleep(0.1)
    assert not workers.failures, workers.failures
    print(
        f"{kills} kills, {len(workers.studies)} studies, {workers.answers} answers, {workers.outages} outages"
    )
    with CaseIndex.open(home, vector_engine=setting) as index:
        index.feed_engine()
        found = index.verify()
        assert found.ok, found.problems
        images = {one.image_id for study in workers.studies for one in index.images_of(f"2.25.{study}")}
        assert len(images) == IMAGES * len(workers.studies)
        engine = connect(setting, index._database)
        held = {level: engine.held(Collection(1, level, DIMENSION), 0, 10**6) for level in LEVELS}
        counts = {level: engine.count(Collection(1, level, DIMENSION)) for level in LEVELS}
        engine.close()
        assert set(held["image"].ids.tolist()) == images
        studies = len(workers.studies)
        assert {level: len(np.unique(rows.ids)) for level, rows in held.items()} == counts
        assert counts == {"image": IMAGES * studies, "series": studies, "study": studies}
        for study in workers.studies:
            expected = unit_vectors(IMAGES, study)
            answers = index.find([Asked(one) for one in expected], SearchOptions(1, exact=False))
            assert [one.hits[0].hit.study_instance_uid for one in answers] == [f"2.25.{study}"] * IMAGES
