"""API keys, scopes, rate limits, and the host names that are answered without a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from medsiglip.api.errors import ServiceError
from medsiglip.api.http import problems
from medsiglip.api.http.auth import KEY_SECONDS, Caller, Gate, requires
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from tests.clocks import Clock


@dataclass
class GuardedApp:
    """An application of two routes behind a gate whose clock the test sets."""

    client: TestClient
    index: CaseIndex
    clock: Clock
    gate: Gate

    def ask(self, key: str | None = None, method: str = "GET", **headers: str) -> Any:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        return self.client.request(method, "/cases", headers=given)

    def code(self, key: str | None = None, method: str = "GET", **headers: str) -> str:
        answer = self.ask(key, method, **headers)
        body = answer.json()
        if answer.status_code != 200:
            assert answer.headers["content-type"] == "application/problem+json"
        return "ok" if answer.status_code == 200 else str(body["code"])


@pytest.fixture
def settings() -> Settings:
    return Settings(rate_limit=6000, rate_burst=1000)


@pytest.fixture
def guarded(tmp_path: Path, settings: Settings) -> Iterator[GuardedApp]:
    app = FastAPI()
    problems.install(app)

    @app.get("/cases")
    def read(caller: Annotated[Caller, Depends(requires("read"))]) -> str:
        return caller.name

    @app.post("/cases")
    def write(caller: Annotated[Caller, Depends(requires("write"))]) -> str:
        return caller.name

    clock = Clock(1000.0)
    with CaseIndex.open(tmp_path / "home") as index:
        app.state.gate = Gate(index.api_keys, settings, clock=clock)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            yield GuardedApp(client, index, clock, app.state.gate)


def test_scopes(guarded: GuardedApp) -> None:
    _, reader = guarded.index.api_keys.create("reader", ["read"])
    _, admin = guarded.index.api_keys.create("admin", ["admin"])
    assert (guarded.code(reader), guarded.code(reader, "POST")) == ("ok", "missing-scope")
    assert (guarded.code(admin), guarded.code(admin, "POST")) == ("ok", "ok")
    assert guarded.ask(reader).json() == "reader"
    assert guarded.ask(reader, "POST").status_code == 403


def test_a_missing_key_is_answered_with_the_scheme(guarded: GuardedApp) -> None:
    guarded.index.api_keys.create("one", ["read"])
    for answer in (
        guarded.ask(),
        guarded.ask(Authorization="Basic YTpi"),
        guarded.ask(Authorization="Bearer"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (401, "no-key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.code("msk_" + "0" * 12 + "_" + "0" * 64) == "wrong-key"
    assert (
        guarded.client.get("/cases", headers={b"Authorization": "Bearer é".encode()}).json()["code"]
        == "wrong-key"
    )


def test_a_revoked_key_is_accepted_at_most_while_it_is_cached(guarded: GuardedApp) -> None:
    made, shown = guarded.index.api_keys.create("one", ["read"])
    assert guarded.code(shown) == "ok"
    guarded.index.api_keys.revoke(made.id)
    assert guarded.code(shown) == "ok"
    guarded.clock.now += KEY_SECONDS
    assert guarded.code(shown) == "wrong-key"


def test_a_cached_key_expires_in_time(guarded: GuardedApp, monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    _, shown = guarded.index.api_keys.create("one", ["read"], expires_at=end)
    assert guarded.gate.identify(shown, "127.0.0.1").name == "one"

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return end

    monkeypatch.setattr("medsiglip.api.http.auth.datetime", Later)
    assert guarded.gate.cached_caller(shown) is None


def test_a_cached_key_costs_no_query(guarded: GuardedApp) -> None:
    _, shown = guarded.index.api_keys.create("one", ["read"])
    statements: list[str] = []
    event.listen(
        guarded.index._database._engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    assert guarded.code(shown) == "ok"
    assert statements
    statements.clear()
    assert [guarded.code(shown) for _ in range(3)] == ["ok"] * 3
    assert not statements


def test_requests_need_a_key_once_the_first_is_made(guarded: GuardedApp) -> None:
    assert (guarded.code(), guarded.code(method="POST")) == ("ok", "ok")
    assert guarded.code("whatever-an-openai-client-sends") == "ok"
    _, shown = guarded.index.api_keys.create("one", ["read"])
    guarded.clock.now += KEY_SECONDS
    assert (guarded.code(), guarded.code(shown)) == ("no-key", "ok")


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", "ok"),
        ("LOCALHOST.:8000", "ok"),
        ("127.0.0.1", "ok"),
        ("127.1.2.3:80", "ok"),
        ("[::1]:8000", "ok"),
        ("rebound.example", "foreign-host"),
        ("rebound.example:8000", "foreign-host"),
        ("127.0.0.1.rebound.example", "foreign-host"),
        ("localhost.rebound.example", "foreign-host"),
        ("10.0.0.1", "foreign-host"),
        ("[::1", "foreign-host"),
        ("", "foreign-host"),
    ],
)
def test_while_there_is_no_key_only_loopback_names_are_answered(
    guarded: GuardedApp, host: str, code: str
) -> None:
    assert guarded.code(host=host) == code
    _, shown = guarded.index.api_keys.create("one", ["read"])
    guarded.clock.now += KEY_SECONDS
    assert guarded.code(shown, host=host) == "ok"


def test_a_gate_is_open_until_the_first_key_is_made(guarded: GuardedApp) -> None:
    assert guarded.gate.is_open()
    made, _ = guarded.index.api_keys.create("one", ["read"])
    guarded.clock.now += KEY_SECONDS
    assert not guarded.gate.is_open()
    guarded.index.api_keys.revoke(made.id)
    guarded.clock.now += KEY_SECONDS
    assert not guarded.gate.is_open()


def test_a_flood_of_wrong_keys_blocks_only_its_sender(guarded: GuardedApp) -> None:
    _, known = guarded.index.api_keys.create("known", ["read"])
    assert guarded.code(known) == "ok"

    def guess(number: int, address: str) -> str:
        try:
            return guarded.gate.identify(f"{number:064x}", address).name
        except ServiceError as error:
            return error.code

    codes = [guess(number, "198.51.100.7") for number in range(60)]
    allowed = codes.count("wrong-key")
    assert codes == ["wrong-key"] * allowed + ["rate-limited"] * (60 - allowed)
    assert 0 < allowed < 60
    assert guess(1, "198.51.100.8") == "wrong-key"
    guarded.clock.now += 60
    assert guess(1, "198.51.100.7") == "wrong-key"


def test_addresses_of_one_ipv6_network_count_as_one_sender(guarded: GuardedApp) -> None:
    guarded.index.api_keys.create("known", ["read"])
    codes = set()
    for number in range(60):
        with pytest.raises(ServiceError) as caught:
            guarded.gate.identify(f"{number:064x}", f"2001:db8::{number:x}")
        codes.add(caught.value.code)
    assert codes == {"wrong-key", "rate-limited"}


def test_a_flood_does_not_block_a_cached_key_from_the_same_address(guarded: GuardedApp) -> None:
    _, known = guarded.index.api_keys.create("known", ["read"])
    assert guarded.code(known) == "ok"
    codes = [guarded.code(f"{number:064x}") for number in range(40)]
    assert codes[-1] == "rate-limited"
    answer = guarded.ask("0" * 64)
    assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (429, True)
    guarded.clock.now += KEY_SECONDS
    assert guarded.code(known) == "ok"


class TestLimits:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(rate_limit=60, rate_burst=5)

    def test_each_key_has_its_own_limit(self, guarded: GuardedApp) -> None:
        _, one = guarded.index.api_keys.create("one", ["read"])
        _, two = guarded.index.api_keys.create("two", ["read"])
        assert [guarded.code(one) for _ in range(6)] == ["ok"] * 5 + ["rate-limited"]
        assert guarded.code(two) == "ok"
        answer = guarded.ask(one)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        guarded.clock.now += 1
        assert [guarded.code(one) for _ in range(2)] == ["ok", "rate-limited"]

    def test_refused_requests_count(self, guarded: GuardedApp) -> None:
        _, one = guarded.index.api_keys.create("one", ["read"])
        codes = [guarded.code(one, "POST") for _ in range(6)]
        assert codes == ["missing-scope"] * 5 + ["rate-limited"]
