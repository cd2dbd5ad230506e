"""The addresses that the server listens on, and those that it refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.listening import open_sockets, url_of
from medsiglip.index.case_index import CaseIndex


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CaseIndex]:
    with CaseIndex.open(tmp_path / "home") as opened:
        yield opened


def refused(index: CaseIndex, host: str, port: int = 0) -> str:
    with pytest.raises(ServiceError) as caught:
        open_sockets(host, port, index.api_keys)
    return caught.value.code


def test_listening_beyond_loopback_needs_a_key(index: CaseIndex) -> None:
    own = socket.gethostbyname(socket.gethostname())
    for host in ("0.0.0.0", "::", "", *([own] if not own.startswith("127.") else [])):
        assert refused(index, host) == "key-needed"
    key, _ = index.api_keys.create("one", ["read"])
    index.api_keys.revoke(key.id)  # a revoked key counts as well
    with ExitStack() as stack:
        [opened] = map(stack.enter_context, open_sockets("0.0.0.0", 0, index.api_keys))
        assert url_of("0.0.0.0", [opened]) == f"http://0.0.0.0:{opened.getsockname()[1]}"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_port_0_takes_the_same_free_port_on_every_address(index: CaseIndex, host: str) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(one) for one in open_sockets(host, 0, index.api_keys)]
        ports = {one.getsockname()[1] for one in opened}
        [port] = ports
        shown = f"[{host}]" if host == "::1" else host
        assert url_of(host, opened) == f"http://{shown}:{port}"
        host = host.strip("[]")
        with socket.create_connection((host, port)):
            pass
        assert refused(index, host, port) == "address-in-use"


@pytest.mark.parametrize(
    "host", ["no.such.host.invalid", "192.0.2.1", "a..b", "\u0000", "[127.0.0.1]", "[]", "["]
)
def test_an_address_of_another_machine_is_refused(index: CaseIndex, host: str) -> None:
    index.api_keys.create("one", ["read"])
    assert refused(index, host) == "bad-host"
