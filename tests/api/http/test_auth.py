"""Who gets in: keys, scopes, limits, and the names that are answered to."""

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
from medsiglip.api.http.rate_limits import TokenBuckets
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Door:
    """An application of two routes behind a gate whose clock the test turns."""

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
def door(tmp_path: Path, settings: Settings) -> Iterator[Door]:
    app = FastAPI()
    problems.install(app)

    @app.get("/cases")
    def read(caller: Annotated[Caller, Depends(requires("read"))]) -> str:
        return caller.name

    @app.post("/cases")
    def write(caller: Annotated[Caller, Depends(requires("write"))]) -> str:
        return caller.name

    clock = Clock()
    with CaseIndex.open(tmp_path / "home") as index:
        app.state.gate = Gate(index.api_keys, settings, clock=clock)
        with TestClient(app, base_url="http://127.0.0.1:8000") as client:
            yield Door(client, index, clock, app.state.gate)


def test_scopes(door: Door) -> None:
    _, reader = door.index.api_keys.create("reader", ["read"])
    _, admin = door.index.api_keys.create("admin", ["admin"])
    assert (door.code(reader), door.code(reader, "POST")) == ("ok", "missing-scope")
    assert (door.code(admin), door.code(admin, "POST")) == ("ok", "ok")
    assert door.ask(reader).json() == "reader"
    assert door.ask(reader, "POST").status_code == 403


def test_who_shows_no_key_is_told_which_scheme(door: Door) -> None:
    door.index.api_keys.create("one", ["read"])
    for answer in (door.ask(), door.ask(Authorization="Basic YTpi"), door.ask(Authorization="Bearer")):
        assert (answer.status_code, answer.json()["code"]) == (401, "no-key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert door.code("msk_" + "0" * 12 + "_" + "0" * 64) == "wrong-key"
    assert (
        door.client.get("/cases", headers={"Authorization": "Bearer é".encode()}).json()["code"]
        == "wrong-key"
    )


def test_a_revoked_key_opens_at_most_for_the_time_it_is_remembered(door: Door) -> None:
    made, shown = door.index.api_keys.create("one", ["read"])
    assert door.code(shown) == "ok"
    door.index.api_keys.revoke(made.id)
    assert door.code(shown) == "ok"
    door.clock.now += KEY_SECONDS
    assert door.code(shown) == "wrong-key"


def test_a_remembered_key_ends_at_its_hour(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    _, shown = door.index.api_keys.create("one", ["read"], expires_at=end)
    assert door.gate.identify(shown, "127.0.0.1").name == "one"

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return end

    monkeypatch.setattr("medsiglip.api.http.auth.datetime", Later)
    assert door.gate.remembered(shown) is None


def test_a_known_key_costs_no_question_to_the_database(door: Door) -> None:
    _, shown = door.index.api_keys.create("one", ["read"])
    asked: list[str] = []
    event.listen(
        door.index._database._engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: asked.append(statement),
    )
    assert door.code(shown) == "ok"
    assert asked
    asked.clear()
    assert [door.code(shown) for _ in range(3)] == ["ok"] * 3
    assert not asked


def test_the_first_key_closes_the_door(door: Door) -> None:
    assert (door.code(), door.code(method="POST")) == ("ok", "ok")
    assert door.code("whatever-an-openai-client-sends") == "ok"
    _, shown = door.index.api_keys.create("one", ["read"])
    door.clock.now += KEY_SECONDS
    assert (door.code(), door.code(shown)) == ("no-key", "ok")


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
def test_without_a_key_only_loopback_names_are_answered(door: Door, host: str, code: str) -> None:
    assert door.code(host=host) == code
    _, shown = door.index.api_keys.create("one", ["read"])
    door.clock.now += KEY_SECONDS
    assert door.code(shown, host=host) == "ok"


def test_a_gate_is_open_until_a_key_was_made(door: Door) -> None:
    assert door.gate.is_open()
    made, _ = door.index.api_keys.create("one", ["read"])
    door.clock.now += KEY_SECONDS
    assert not door.gate.is_open()
    door.index.api_keys.revoke(made.id)
    door.clock.now += KEY_SECONDS
    assert not door.gate.is_open()


def test_a_flood_of_wrong_keys_stops_its_sender_alone(door: Door) -> None:
    _, known = door.index.api_keys.create("known", ["read"])
    assert door.code(known) == "ok"

    def guess(number: int, address: str) -> str:
        try:
            return door.gate.identify(f"{number:064x}", address).name
        except ServiceError as error:
            return error.code

    codes = [guess(number, "198.51.100.7") for number in range(60)]
    allowed = codes.count("wrong-key")
    assert codes == ["wrong-key"] * allowed + ["rate-limited"] * (60 - allowed)
    assert 0 < allowed < 60
    assert guess(1, "198.51.100.8") == "wrong-key"
    door.clock.now += 60
    assert guess(1, "198.51.100.7") == "wrong-key"


def test_addresses_of_one_ipv6_network_are_one_sender(door: Door) -> None:
    door.index.api_keys.create("known", ["read"])
    codes = set()
    for number in range(60):
        with pytest.raises(ServiceError) as caught:
            door.gate.identify(f"{number:064x}", f"2001:db8::{number:x}")
        codes.add(caught.value.code)
    assert codes == {"wrong-key", "rate-limited"}


def test_a_flood_does_not_stop_a_key_from_the_same_address_that_was_seen(door: Door) -> None:
    _, known = door.index.api_keys.create("known", ["read"])
    assert door.code(known) == "ok"
    codes = [door.code(f"{number:064x}") for number in range(40)]
    assert codes[-1] == "rate-limited"
    answer = door.ask("0" * 64)
    assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (429, True)
    door.clock.now += KEY_SECONDS
    assert door.code(known) == "ok"


class TestLimits:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(rate_limit=60, rate_burst=5)

    def test_each_key_has_its_own(self, door: Door) -> None:
        _, one = door.index.api_keys.create("one", ["read"])
        _, two = door.index.api_keys.create("two", ["read"])
        assert [door.code(one) for _ in range(6)] == ["ok"] * 5 + ["rate-limited"]
        assert door.code(two) == "ok"
        answer = door.ask(one)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        door.clock.now += 1
        assert [door.code(one) for _ in range(2)] == ["ok", "rate-limited"]

    def test_what_is_refused_counts_too(self, door: Door) -> None:
        _, one = door.index.api_keys.create("one", ["read"])
        codes = [door.code(one, "POST") for _ in range(6)]
        assert codes == ["missing-scope"] * 5 + ["rate-limited"]


def test_a_bucket_fills_at_its_rate_and_no_further() -> None:
    clock = Clock()
    buckets = TokenBuckets(30, 3, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(2)]
    clock.now += 1
    assert buckets.wait("a") == pytest.approx(1)
    assert buckets.wait("b") == 0
    clock.now += 1000
    assert [buckets.take("a") > 0 for _ in range(5)] == [False, False, False, True, True]


def test_buckets_are_bounded() -> None:
    buckets = TokenBuckets(60, 1, clock=Clock())
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._buckets) <= 10_000
