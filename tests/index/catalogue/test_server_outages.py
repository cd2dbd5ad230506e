"""What calls on the catalogue say while PostgreSQL is frozen, cut off, a standby, full, or refuses them."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.connecting import server_connection
from medsiglip.index.catalogue.connecting.server_connection import ServerWatch, connect_arguments
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import OUTAGES, CatalogError
from tests.cut_connections import CuttingProxy
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer, find_programs
from tests.waiting import eventually

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresqlServer]:
    """A server of this module alone, which can have a standby and has few connections."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    settings = {"wal_level": "replica", "max_wal_senders": 2, "max_connections": 12}
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        server = PostgresqlServer(programs, Path(folder), settings)
        server.make()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def url(primary: PostgresqlServer) -> Iterator[str]:
    made = primary.new_database()
    yield made
    primary.drop(made)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_connection, "SILENCE_SECONDS", 0.5)
    monkeypatch.setitem(server_connection._TCP, "connect_timeout", 1)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the code of its error; a call that hangs fails the test."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except CatalogError as error:
            found.append(error.code)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the call hangs"
    return found[0]


def code_of(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(CatalogError) as caught:
        call()
    assert "secret" not in str(caught.value)
    return caught.value.code, str(caught.value)


def calls_of(index: CaseIndex) -> list[Callable[[], Any]]:
    """One call of each kind of connection: reads, writes, statements of the service, maintenance."""
    return [
        lambda: index.search(unit_vectors(1, 1), k=1),
        lambda: index.jobs.submit("ingest", {}),
        lambda: index.remove_study("2.25.9"),
        index.info,
        index.clean_up,
        index.health.check_writable,
    ]


@pytest.mark.parametrize("how", ["frozen", "cut off"])
def test_a_server_that_stops_answering_is_unreachable_and_comes_back(
    tmp_path: Path, url: str, primary: PostgresqlServer, how: str
) -> None:
    with CuttingProxy(primary.port) as proxy:
        through = make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
        stopped: Callable[[], AbstractContextManager[None]]
        stopped = primary.frozen if how == "frozen" else proxy.losing_packets
        with CaseIndex.open(tmp_path / "home", database_url=through) as index:
            index.activate(SPACE)
            index.add([make_bundle(0, 2)], unit_vectors(2, 1))
            before = index.info()
            with stopped():
                assert [outcome(call) for call in calls_of(index)] == ["database-unreachable"] * 6
                assert outcome(lambda: CaseIndex.open(tmp_path / "home", database_url=through)) == (
                    "database-unreachable"
                )
            eventually(lambda: outcome(index.health.check_writable) != "database-unreachable")
            assert index.info() == before
            assert index.verify().ok


def test_a_long_statement_of_a_server_that_lives_is_not_cut(tmp_path: Path, url: str) -> None:
    database = Database(tmp_path, url, 30)
    with database.read() as connection:
        assert connection.execute(text("SELECT pg_sleep(1.5), 7")).one()[1] == 7
    database.close()


def test_threads_do_not_wait_one_after_the_other_for_a_frozen_server() -> None:
    asked: list[int] = []
    go = threading.Event()

    def ask() -> None:
        asked.append(1)
        go.wait(30)
        raise TimeoutError

    watch = ServerWatch(ask)
    assert watch.may_try()
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(watch.lives())) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: watch._asking.locked())
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [False] * 8
    assert len(asked) <= 2  # one more where a thread came late
    assert not watch.may_try()  # others are refused at once
    watch.note_alive()
    assert watch.may_try()


def test_the_kernel_is_told_to_notice_a_lost_peer(tmp_path: Path, url: str) -> None:
    arguments = connect_arguments(make_url(url), 30)
    words = make_url(url).translate_connect_args(username="user", database="dbname")
    with psycopg.connect(**{**words, **arguments}) as connection:
        opened = socket.socket(fileno=connection.fileno())
        try:
            level = socket.IPPROTO_TCP
            asked = [socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT]
            assert [opened.getsockopt(level, one) for one in asked] == [10, 5, 3, 20_000]
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        finally:
            opened.detach()
        row = connection.execute("SHOW lock_timeout").fetchone()
        assert row == ("30s",)
    given = make_url(f"{url}?connect_timeout=3&options=-c%20lock_timeout%3D7000")
    own = connect_arguments(given, 30)
    assert "connect_timeout" not in own
    assert str(own["options"]).endswith("-c lock_timeout=7000")


def test_a_standby_is_read_only_until_it_is_promoted(tmp_path: Path, primary: PostgresqlServer) -> None:
    url = primary.new_database()
    home = tmp_path / "home"
    with CaseIndex.open(home, database_url=url) as index:
        index.activate(SPACE)
        index.add([make_bundle(0, 2)], unit_vectors(2, 1))
        assert outcome(index.health.check_writable) is None
    programs = find_programs()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        standby = PostgresqlServer(programs, Path(folder), primary._settings)
        standby.make_standby_of(primary)
        try:
            there = url.replace(f":{primary.port}/", f":{standby.port}/")
            with CaseIndex.open(home, database_url=there) as index:
                assert index.info().images == 2
                assert len(index.search(unit_vectors(1, 1), k=2)[0]) == 2
                for call in (index.health.check_writable, lambda: index.jobs.submit("ingest", {})):
                    code, message = code_of(call)
                    assert code == "database-read-only"
                    assert "primary" in message
                assert code_of(lambda: index.remove_study("2.25.0"))[0] in OUTAGES
                standby.promote()
                index.health.check_writable()
                assert index.remove_study("2.25.0").images == 2
        finally:
            standby.stop()


def test_a_wrong_password_and_an_unknown_database_are_refused_with_the_server_s_reason(
    tmp_path: Path, url: str, primary: PostgresqlServer
) -> None:
    asked = make_url(primary.new_login(url, "guarded", "right"))
    wrong = asked.set(password="secret").render_as_string(hide_password=False)
    code, message = code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=wrong))
    assert code == "database-refused"
    assert 'password authentication failed for user "guarded"' in message
    none = asked.render_as_string(hide_password=False)
    assert code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=none))[0] == "database-refused"
    unknown = f"{primary.url}/nowhere"
    code, message = code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=unknown))
    assert (code, 'database "nowhere" does not exist' in message) == ("database-refused", True)
    nobody = url.replace("tester@", "nobody@")
    code, message = code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=nobody))
    assert (code, 'role "nobody" does not exist' in message) == ("database-refused", True)
    assert not (tmp_path / "home").exists()


def test_a_user_who_may_not_make_tables_is_told_so(
    tmp_path: Path, url: str, primary: PostgresqlServer
) -> None:
    primary.execute("DROP ROLE IF EXISTS guest")
    primary.execute("CREATE ROLE guest LOGIN")
    theirs = url.replace("tester@", "guest@")
    code, message = code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=theirs))
    assert (code, "permission denied for schema public" in message) == ("database-refused", True)


@pytest.mark.parametrize("limit", ["server", "role", "database"])
def test_too_many_connections_may_heal(
    tmp_path: Path, url: str, primary: PostgresqlServer, limit: str
) -> None:
    name = f"crowd_{limit}"
    theirs = primary.new_login(url, name, "p").replace(f"{name}@", f"{name}:p@")
    number = 100 if limit == "server" else 1
    if limit == "role":
        primary.execute(f"ALTER ROLE {name} CONNECTION LIMIT 1")
    if limit == "database":
        primary.execute(f"ALTER DATABASE {url.rpartition('/')[2]} CONNECTION LIMIT 1")
    plain = theirs.replace("+psycopg", "")
    taken: list[psycopg.Connection[Any]] = []
    try:
        with suppress(psycopg.OperationalError):
            while len(taken) <= number:
                taken.append(psycopg.connect(plain))
        assert 0 < len(taken) <= number
        code, message = code_of(lambda: CaseIndex.open(tmp_path / "home", database_url=theirs))
        assert code == "too-many-connections"
        assert "connection" in message
    finally:
        for one in taken:
            one.close()
    eventually(
        lambda: outcome(lambda: CaseIndex.open(tmp_path / "home", database_url=theirs).close()) not in OUTAGES
    )


def test_a_pool_that_is_used_up_says_so(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsiglip.index.catalogue.database._POOL_SECONDS", 0.1)
    database = Database(tmp_path, url, 30)
    pool: Any = database._engine.pool
    pool._max_overflow = 0
    held = [database._engine.connect() for _ in range(pool.size())]
    assert code_of(lambda: database.read().__enter__())[0] == "too-many-connections"
    for one in held:
        one.close()
    with database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    database.close()
