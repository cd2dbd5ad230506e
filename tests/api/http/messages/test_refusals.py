"""Requests that a proxy passes on while no key exists, and what is not known or was used for another request:
refused before anything is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from medsiglip.api.archive.keys import take_bootstrap_key
from medsiglip.api.http.app import create_app
from medsiglip.api.http.auth import Gate
from medsiglip.api.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that clients may name."""
    made = tmp_path_factory.mktemp("named")
    for name in ("a", "b"):
        (made / name).mkdir()
    return made


@pytest.fixture
def app(tmp_path: Path, folder: Path) -> FastAPI:
    return create_app(Settings(home=tmp_path / "home", ingest_roots=(folder,), min_free_bytes=0))


@pytest.fixture
def open_client(app: FastAPI) -> Iterator[TestClient]:
    """A client of a service without any key."""
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def one_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a service without any key, in which tests make nothing."""
    app = create_app(Settings(home=tmp_path_factory.mktemp("refusals") / "home"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.mark.long(every=4)
@pytest.mark.parametrize(
    "header",
    [
        "Forwarded",
        "X-Forwarded-For",
        "x-forwarded-proto",
        "X-Forwarded-Host",
        "X-Forwarded",
        "X-Real-IP",
        "Via",
        "CF-Connecting-IP",
    ],
)
@pytest.mark.parametrize("path", ["/v1/info", "/v1/nothing", "/metrics", "/dicom-web/studies"])
def test_without_a_key_nothing_that_a_proxy_passes_on_is_answered(
    one_client: TestClient, header: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nginx's default Host is the upstream's, so that the Host tells nothing."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    for value in ("203.0.113.7", "127.0.0.1", ""):
        refused = one_client.get(path, headers={header: value})
        assert (refused.status_code, refused.json()["code"]) == (403, "forwarded")
    assert one_client.get("/v1/info").status_code == 200
    assert one_client.get("/healthz", headers={header: "203.0.113.7"}).status_code == 200


@pytest.mark.parametrize(("sender", "status"), [("127.0.0.1", 200), ("::1", 200), ("203.0.113.7", 403)])
def test_with_a_configured_proxy_the_sender_must_be_this_machine(
    app: FastAPI, open_client: TestClient, sender: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    behind: Any = ProxyHeadersMiddleware(cast(Any, app), trusted_hosts="127.0.0.1")
    with TestClient(behind, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 4000)) as asking:
        assert asking.get("/v1/info", headers={"X-Forwarded-For": sender}).status_code == status


@pytest.mark.parametrize(
    ("trusted", "sent"),
    [
        ("10.0.0.5", {"X-Forwarded-For": "203.0.113.9"}),
        ("127.0.0.1", {"X-Real-IP": "203.0.113.9"}),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.9"}),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.9, 127.0.0.1"}),
    ],
)
def test_another_proxy_than_the_configured_one_is_refused(
    app: FastAPI,
    open_client: TestClient,
    trusted: str,
    sent: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """uvicorn takes the sender's address from X-Forwarded-For of a trusted proxy alone."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    behind: Any = ProxyHeadersMiddleware(cast(Any, app), trusted_hosts=trusted)
    with TestClient(behind, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 4000)) as asking:
        assert asking.get("/v1/info", headers=sent).json()["code"] == "forwarded"


def test_with_a_key_proxies_pass_requests_on(app: FastAPI, open_client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    take_bootstrap_key(app.state.server.archive.index, tmp_path / "key")
    sent = {"X-Forwarded-For": "203.0.113.7", "Via": "1.1 proxy"}
    app.state.gate = Gate(app.state.server.archive.index.api_keys, app.state.server.settings)
    keyed = {"Authorization": "Bearer " + "0123456789abcdef" * 4}
    assert open_client.get("/v1/info", headers={**sent, **keyed}).status_code == 200
    assert open_client.get("/v1/info", headers=sent).json()["code"] == "no-key"


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("GET", "/v1/info", ""),
        ("GET", "/v1/models", ""),
        ("GET", "/v1/studies", "limit=1&where=modality%3DCT&where=modality%3DMR"),
        ("GET", "/v1/images/1/preview", "size=256"),
        ("GET", "/v1/labels", ""),
        ("GET", "/v1/probes", ""),
        ("GET", "/v1/reports", "limit=1&words=a"),
        ("GET", "/v1/routes", ""),
        ("GET", "/v1/jobs", "limit=3"),
        ("GET", "/v1/audit", "after=0"),
        ("POST", "/v1/search", ""),
        ("DELETE", "/v1/studies/1.2", ""),
        ("HEAD", "/v1/studies", "limit=1"),
    ],
)
def test_unknown_query_parameters_are_refused_as_unknown_fields_are(
    one_client: TestClient, method: str, path: str, known: str
) -> None:
    field = one_client.post("/v1/search", json={"text": "a", "wher": "b"})
    for unknown, name in (("wher=b", "wher"), ("=489005", ""), ("Limit=1", "Limit"), ("wher", "wher")):
        refused = one_client.request(method, f"{path}?{known}&{unknown}")
        assert refused.status_code == field.status_code == 422
        if method != "HEAD":
            problem = refused.json()
            assert problem["code"] == field.json()["code"]
            assert problem["errors"] == [{**one, "field": f"query.{name}"} for one in field.json()["errors"]]
    answered = one_client.request(method, f"{path}?{known}")
    assert "query" not in answered.text


def test_elsewhere_a_query_is_nobody_s_business(one_client: TestClient) -> None:
    assert one_client.get("/healthz?x=1").status_code == 200


class Asked:
    """Requests with one idempotency key."""

    def __init__(self, client: TestClient, key: str = "k-1") -> None:
        self._client = client
        self._key = {"Idempotency-Key": key}

    def __call__(self, path: str, **sent: Any) -> Any:
        return self._client.post(path, headers=self._key, **sent)


def csv(content: str, name: str = "labels.csv") -> dict[str, Any]:
    return {"file": (name, content.encode())}


def files(*contents: bytes) -> list[Any]:
    return [("file", ("a.dcm", content)) for content in contents]


INGESTS: list[dict[str, Any]] = [
    {"json": {"path": "a"}},
    {"json": {"path": "b"}},
    {"json": {"path": "a", "metadata": "b"}},
    {"files": files(b"one")},
    {"files": files(b"two")},
    {"files": files(b"one", b"two")},
    {"files": files(b"two", b"one")},
    {"files": [("file", ("b.dcm", b"one"))]},
    {"files": [*files(b"one"), ("metadata", ("m.csv", b"path\n"))]},
    {"files": [*files(b"one"), ("metadata", ("m.csv", b"path \n"))]},
]
PROBES: list[dict[str, Any]] = [
    {"json": {"name": "p", "labels": ["a"]}},
    {"json": {"name": "q", "labels": ["a"]}},
    {"json": {"name": "p", "labels": ["a", "b"]}},
    {"json": {"name": "p", "labels": ["a"], "level": "study"}},
    {"files": csv("x"), "data": {"name": "p"}},
    {"files": csv("y"), "data": {"name": "p"}},
    {"files": csv("x"), "data": {"name": "q"}},
]


@pytest.mark.parametrize(
    ("path", "requests"), [("/v1/ingest", INGESTS), ("/v1/probes", PROBES)], ids=["ingest", "probes"]
)
def test_a_key_stands_for_one_request(
    open_client: TestClient, folder: Path, tmp_path: Path, path: str, requests: list[dict[str, Any]]
) -> None:
    """Each request is the first in turn: sent again it gives its job, and every other one is refused."""
    received = tmp_path / "home" / "received"

    def whole(sent: dict[str, Any]) -> dict[str, Any]:
        body = sent.get("json")
        if body is None or "name" in body:
            return sent
        return {"json": {name: str(folder / value) for name, value in body.items()}}

    for number, first in enumerate(requests):
        ask = Asked(open_client, f"key-{path}-{number}")
        job = ask(path, **whole(first))
        assert job.status_code == 202, job.text
        assert ask(path, **whole(first)).json()["id"] == job.json()["id"]
        kept = sorted(received.iterdir()) if received.is_dir() else []
        for other in requests[:number] + requests[number + 1 :]:
            refused = ask(path, **whole(other))
            assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")
        assert (sorted(received.iterdir()) if received.is_dir() else []) == kept, "refused files are kept"
    jobs = open_client.get("/v1/jobs").json()["jobs"]
    assert len(jobs) == len(requests)


def test_a_key_used_on_another_route_is_refused(open_client: TestClient, folder: Path) -> None:
    ask = Asked(open_client)
    assert ask("/v1/probes", json={"name": "p", "labels": ["a"]}).status_code == 202
    refused = ask("/v1/ingest", json={"path": str(folder / "a")})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency-key-reused")


def test_the_form_of_a_request_is_not_its_content(open_client: TestClient) -> None:
    """Spaces of JSON, the order of its members, and the boundary of a form may differ."""
    ask, json = Asked(open_client), {"Content-Type": "application/json"}
    texts = ['{"name": "p", "labels": ["a"]}', '{"labels":["a"],"level":"image","name":"p"}']
    ids = {
        open_client.post("/v1/probes", content=text, headers={"Idempotency-Key": "k", **json}).json()["id"]
        for text in texts
    }
    assert len(ids) == 1
    uploads = {ask("/v1/ingest", files=files(b"one")).json()["id"] for _ in range(3)}
    assert len(uploads) == 1


def test_without_a_key_every_request_is_its_own(open_client: TestClient) -> None:
    body = {"name": "p", "labels": ["a"]}
    assert len({open_client.post("/v1/probes", json=body).json()["id"] for _ in range(2)}) == 2
