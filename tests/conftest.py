"""What all tests share: real data where there are any, and long campaigns only when asked for."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling
from xdist.workermanage import WorkerController

from tests.index.engines.milvus_server import BUILT_BY, MilvusServer, find_server
from tests.postgresql_server import PostgresqlServer, find_programs


class BothEndsScheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Files in the order of their folders: of two processes one begins with the first, the other with the
    last, until they meet. What tests of a folder share (services, servers, archives) is so made in one of
    them, and not in both.
    """

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _assign_work_unit(self, node: WorkerController) -> None:
        nodes: Sequence[WorkerController] = self.nodes
        if nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts its background jobs with Ctrl-C ignored, and so would be all that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.option.markexpr:
        config.option.markexpr = "not campaign"
        settings.register_profile("short", max_examples=25)
        settings.load_profile("short")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Of `--dist loadfile` the kind that keeps folders together."""
    return BothEndsScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark for campaigns what is `long`; of a test with `every=n`, all cases but each n-th; of one on both
    databases, one of them by turns.
    """
    cases: Counter[object] = Counter()
    known = {item.nodeid for item in items}
    for item in items:
        if _is_of_the_other_database(item.nodeid, known):
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.campaign)
            continue
        mark = item.get_closest_marker("long")
        if mark is None:
            continue
        function = item.nodeid.partition("[")[0]
        every = mark.kwargs.get("every")
        if every is None or cases[function] % every:
            item.add_marker(pytest.mark.campaign)
        cases[function] += 1


def _is_of_the_other_database(name: str, known: Collection[str]) -> bool:
    """Whether a case runs on two databases, and `make test` has it on the other one."""
    for here, there, turn in (("sqlite", "postgresql", 0), ("postgresql", "sqlite", 1)):
        test, _, parameters = name.partition("[")
        if here in parameters and f"{test}[{parameters.replace(here, there)}" in known:
            return crc32(name.replace("postgresql", "sqlite").encode()) % 2 == turn
    return False


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real files that MEDSIGLIP_TEST_DATA names; without it the test is skipped."""
    named = os.environ.get("MEDSIGLIP_TEST_DATA")
    if not named:
        pytest.skip("MEDSIGLIP_TEST_DATA names no folder of real files")
    folder = Path(named)
    if not (folder / "manifest.csv").is_file():
        pytest.fail(f"MEDSIGLIP_TEST_DATA is {folder}, which holds no manifest.csv")
    return folder


@pytest.fixture(scope="session")
def test_cases() -> Path:
    """The folder of small inputs with right answers that MEDSIGLIP_TEST_CASES names; without it the test is
    skipped.
    """
    named = os.environ.get("MEDSIGLIP_TEST_CASES")
    if not named:
        pytest.skip("MEDSIGLIP_TEST_CASES names no folder of cases")
    folder = Path(named)
    if not (folder / "dicom" / "expected.json").is_file():
        pytest.fail(f"MEDSIGLIP_TEST_CASES is {folder}, which holds no dicom/expected.json")
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A server on loopback, which ends with the tests."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgresqlServer(programs, Path(folder))
        server.make()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def milvus_server() -> Iterator[MilvusServer]:
    """A Milvus server, which ends with the tests."""
    programs = find_server()
    if programs is None:
        pytest.skip(f"no Milvus server was built: {BUILT_BY}")
    with tempfile.TemporaryDirectory(prefix="milvus-") as folder:
        server = MilvusServer(programs, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def new_database(postgresql_server: PostgresqlServer) -> Iterator[Callable[[], str]]:
    """Makes empty databases, which go with the test; returns their URLs."""
    made: list[str] = []

    def make() -> str:
        made.append(postgresql_server.new_database())
        return made[-1]

    yield make
    for url in made:
        postgresql_server.drop(url)
