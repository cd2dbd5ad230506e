"""Every route with every scope, without a key and with invalid keys, against a table of required scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.index.service.api_keys import SCOPES

DICOM_INSTANCE = "/dicom-web/studies/{study}/series/{series}/instances/{instance}"
# The scope that a route needs; any key has `any`, and None is open to all. A new route needs a line here.
TABLE: dict[tuple[str, str], str | None] = {
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/metrics"): "read",
    ("GET", "/v1/audit"): "admin",
    ("GET", "/v1/audit/events"): "admin",
    ("GET", "/v1/studies/{uid}/audit"): "admin",
    ("GET", "/v1/health"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/{key_id}"): "admin",
    ("POST", "/v1/session"): None,
    ("GET", "/v1/session"): "any",
    ("DELETE", "/v1/session"): "any",
    ("GET", "/v1/views"): "read",
    ("PUT", "/v1/views/{name}"): "read",
    ("DELETE", "/v1/views/{name}"): "read",
    ("GET", "/v1/ingest/roots"): "write",
    ("GET", "/v1/jobs"): "read",
    ("GET", "/v1/jobs/{job_id}"): "read",
    ("DELETE", "/v1/jobs/{job_id}"): "read",
    ("GET", "/v1/jobs/{job_id}/events"): "read",
    ("POST", "/v1/jobs/{job_id}/retry"): "read",
    ("POST", "/dicom-web/studies"): "write",
    ("POST", "/dicom-web/studies/{study}"): "write",
    ("GET", "/dicom-web/studies"): "read",
    ("GET", "/dicom-web/series"): "read",
    ("GET", "/dicom-web/instances"): "read",
    ("GET", "/dicom-web/studies/{study}/series"): "read",
    ("GET", "/dicom-web/studies/{study}/instances"): "read",
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances"): "read",
    ("GET", "/dicom-web/studies/{study}/metadata"): "read",
    ("GET", "/dicom-web/studies/{study}/series/{series}/metadata"): "read",
    ("GET", DICOM_INSTANCE + "/metadata"): "read",
    ("GET", DICOM_INSTANCE + "/bulkdata/{place}"): "read",
    ("GET", "/dicom-web/studies/{study}"): "read",
    ("GET", "/dicom-web/studies/{study}/series/{series}"): "read",
    ("GET", DICOM_INSTANCE): "read",
    ("GET", DICOM_INSTANCE + "/frames/{frames}"): "read",
    ("GET", DICOM_INSTANCE + "/rendered"): "read",
    ("GET", DICOM_INSTANCE + "/frames/{frame}/rendered"): "read",
    ("GET", "/dicom-web/studies/{study}/thumbnail"): "read",
    ("GET", "/dicom-web/studies/{study}/series/{series}/thumbnail"): "read",
    ("GET", DICOM_INSTANCE + "/thumbnail"): "read",
    ("GET", "/v1/info"): "read",
    ("POST", "/v1/embeddings"): "read",
    ("POST", "/v1/classify"): "read",
    ("GET", "/v1/prompt-sets"): "read",
    ("POST", "/v1/search"): "read",
    ("POST", "/v1/why"): "read",
    ("GET", "/v1/cases"): "read",
    ("GET", "/v1/cases/export"): "read",
    ("GET", "/v1/facets"): "read",
    ("GET", "/v1/collections"): "read",
    ("PUT", "/v1/collections/{name}"): "write",
    ("DELETE", "/v1/collections/{name}"): "write",
    ("GET", "/v1/studies"): "read",
    ("GET", "/v1/studies/{uid}"): "read",
    ("DELETE", "/v1/studies/{uid}"): "admin",
    ("DELETE", "/v1/patients/{key}"): "admin",
    ("GET", "/v1/spaces"): "read",
    ("POST", "/v1/spaces"): "admin",
    ("DELETE", "/v1/spaces/{name}"): "admin",
    ("GET", "/v1/images/{image_id}/preview"): "read",
    ("GET", "/v1/images/{image_id}/thumbnail"): "read",
    ("GET", "/v1/thumbnails"): "read",
    ("POST", "/v1/ingest"): "write",
    ("GET", "/v1/labels"): "read",
    ("POST", "/v1/labels"): "write",
    ("POST", "/v1/labels/undo"): "write",
    ("GET", "/v1/studies/{uid}/labels"): "read",
    ("GET", "/v1/label-queue"): "read",
    ("GET", "/v1/labels/{name}/agreement"): "read",
    ("GET", "/v1/labels/{name}/learning-curve"): "read",
    ("GET", "/v1/probes"): "read",
    ("POST", "/v1/probes"): "train",
    ("GET", "/v1/probes/{name}"): "read",
    ("DELETE", "/v1/probes/{name}"): "train",
    ("POST", "/v1/probes/{name}/predict"): "read",
    ("POST", "/v1/probes/import"): "train",
    ("GET", "/v1/probes/{name}/export"): "read",
    ("POST", "/v1/probes/{name}/predictions"): "train",
    ("GET", "/v1/probes/{name}/suggestions"): "read",
    ("GET", "/v1/probes/{name}/card"): "read",
    ("GET", "/v1/probes/{name}/suspects"): "read",
    ("GET", "/v1/probes/{name}/curves"): "read",
    ("GET", "/v1/map"): "read",
    ("POST", "/v1/map"): "train",
    ("GET", "/v1/map/versions"): "read",
    ("GET", "/v1/map/points"): "read",
    ("GET", "/v1/map/colours"): "read",
    ("GET", "/v1/map/place"): "read",
    ("GET", "/v1/map/outliers"): "read",
    ("GET", "/v1/map/duplicates"): "read",
    ("GET", "/v1/calibrations"): "read",
    ("POST", "/v1/calibrations"): "train",
    ("GET", "/v1/calibrations/{subject}"): "read",
    ("DELETE", "/v1/calibrations/{subject}"): "train",
    ("POST", "/v1/evaluations"): "train",
    ("GET", "/v1/evaluations/{job_id}/page"): "read",
    ("POST", "/v1/reports"): "report",
    ("GET", "/v1/reports"): "read",
    ("GET", "/v1/reports/{draft_id}"): "read",
    ("GET", "/v1/reports/{draft_id}/export"): "report",
    ("POST", "/v1/reports/{draft_id}/review"): "report",
    ("POST", "/v1/reports/{draft_id}/accept"): "report",
    ("POST", "/v1/reports/{draft_id}/edit"): "report",
    ("POST", "/v1/reports/{draft_id}/reject"): "report",
    ("GET", "/v1/models"): "read",
    ("GET", "/v1/models/{model}"): "read",
    ("GET", "/v1/routes"): "report",
    ("GET", "/v1/routes/{name}"): "report",
    ("PUT", "/v1/routes/{name}"): "admin",
    ("DELETE", "/v1/routes/{name}"): "admin",
    ("POST", "/v1/routes/{name}/test"): "admin",
    ("POST", "/v1/routes/{name}/run"): "admin",
    ("GET", "/v1/pacs"): "read",
    ("PUT", "/v1/pacs/{name}"): "admin",
    ("DELETE", "/v1/pacs/{name}"): "admin",
    ("POST", "/v1/pacs/{name}/echo"): "write",
    ("POST", "/v1/pacs/{name}/find"): "write",
    ("POST", "/v1/pacs/{name}/pull"): "write",
    ("POST", "/v1/pacs/{name}/sync"): "write",
    ("POST", "/v1/pacs/{name}/studies/{uid}"): "write",
    ("GET", "/v1/pacs/{name}/studies"): "read",
    ("POST", "/v1/pacs/{name}/retry"): "write",
    ("GET", "/v1/pacs/{name}/deliveries"): "read",
    ("POST", "/v1/pacs/{name}/release"): "write",
    ("POST", "/v1/studies/{uid}/fetch"): "write",
    ("POST", "/v1/reports/{draft_id}/send"): "write",
    ("GET", "/v1/reports/{draft_id}/deliveries"): "read",
}
UNDESCRIBED = {
    *("/", "/ohif", "/ohif/{address:path}", "/openapi.json", "/docs", "/docs/{name}"),
    *(
        "/app",
        "/app/session",
        "/app/session/oidc",
        "/app/session/oidc/callback",
        "/app/{address:path}",
        "/app/built/{name:path}",
    ),
}


@dataclass(frozen=True)
class Service:
    """A server with a key of each scope and three invalid ones."""

    client: TestClient
    routes: frozenset[tuple[str, str]]
    opening: dict[str, str]
    useless: dict[str, str]

    def status(self, method: str, path: str, key: str | None) -> int:
        filled = re.sub(r"\{[^}]+\}", "0", path)
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return self.client.request(method, filled, headers=headers).status_code


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    app = create_app(Settings(home=tmp_path_factory.mktemp("authorization") / "home"))
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        keys = app.state.server.archive.index.api_keys
        opening = {scope: keys.create(scope, [scope])[1] for scope in SCOPES}
        over = datetime.now(UTC) - timedelta(seconds=1)
        revoked, shown = keys.create("revoked", ["admin"])
        keys.revoke(revoked.id)
        useless = {
            "revoked": shown,
            "expired": keys.create("expired", ["admin"], expires_at=over)[1],
            "wrong": "msk_" + revoked.id + "_" + "0" * 64,
        }
        # Wrong keys are counted by address; this test sends more of them than a person may.
        app.state.gate._wrong = type(app.state.gate._wrong)(1e9, 10**9)
        routes = frozenset(
            (method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item
        )
        yield Service(client, routes, opening, useless)


def test_the_table_has_every_route_and_no_other(service: Service) -> None:
    assert service.routes == TABLE.keys()


def test_every_route_is_in_the_openapi_description(service: Service) -> None:
    def every(routes: Iterable[Any]) -> Iterator[Any]:
        for route in routes:
            inner = getattr(route, "original_router", None)
            yield from [route] if inner is None else every(inner.routes)

    app: Any = service.client.app
    hidden = {one.path for one in every(app.routes) if not getattr(one, "include_in_schema", False)}
    assert hidden == UNDESCRIBED
    assert len([one for one in every(app.routes) if isinstance(one, APIRoute)]) >= len(TABLE)


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_opens_only_its_routes(service: Service, scope: str) -> None:
    opened = {route: service.status(*route, service.opening[scope]) for route in TABLE}
    for route, needed in TABLE.items():
        if needed in (None, "any", scope) or scope == "admin":
            assert opened[route] not in (401, 403), route
        else:
            assert opened[route] == 403, route


@pytest.mark.parametrize("kind", ["revoked", "expired", "wrong", "none"])
def test_invalid_keys_are_refused_everywhere(service: Service, kind: str) -> None:
    for route, needed in TABLE.items():
        status = service.status(*route, service.useless.get(kind))
        assert (status == 401) is (needed is not None), route


def test_a_key_is_accepted_only_in_the_header(service: Service) -> None:
    key = service.opening["admin"]
    assert service.client.get(f"/v1/jobs?key={key}&access_token={key}").status_code == 401
    assert service.client.get("/v1/jobs", headers={"X-API-Key": key}).status_code == 401
    assert service.client.get("/v1/jobs", headers={"Authorization": f"Basic {key}"}).status_code == 401
    assert service.client.get("/v1/jobs", headers={"Authorization": f"bearer {key}"}).status_code == 200


def test_no_key_is_in_the_catalogue_or_the_description(service: Service) -> None:
    home: Path = service.client.app.state.server.settings.home  # type: ignore[attr-defined]
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for key in (*service.opening.values(), *service.useless.values()):
        assert key.rsplit("_", 1)[1].encode() not in written or set(key.rsplit("_", 1)[1]) == {"0"}
    schemes = service.client.get("/openapi.json").json()["components"]["securitySchemes"]
    assert [scheme["scheme"] for scheme in schemes.values()] == ["bearer"]
