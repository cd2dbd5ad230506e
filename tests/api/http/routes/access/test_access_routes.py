"""Keys, saved views, pages of the audit trail, health and folders of ingests, as a client asks for them."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from medsiglip.answers.access import AuditEntry
from medsiglip.api.archive import folders
from medsiglip.api.archive.folders import list_folders
from medsiglip.api.errors import ServiceError
from medsiglip.api.settings import Settings
from medsiglip.client.client import ApiError, Client
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService
from tests.waiting import eventually


def refused(call: object) -> str:
    with pytest.raises(ApiError) as failed:
        call()  # type: ignore[operator]
    return failed.value.code


def test_keys_are_made_listed_and_ended(service: LiveService) -> None:
    with service.client() as admin:
        made = admin.create_key("  workstation 3 ", ["report", "read"], expires_days=90)
        assert (made.name, made.scopes, made.revoked_at) == ("workstation 3", ("read", "report"), None)
        left = datetime.fromisoformat(str(made.expires_at)) - datetime.now(UTC)
        assert timedelta(days=89, hours=23) < left <= timedelta(days=90)
        every = admin.keys()
        [listed] = [one for one in every if one.id == made.id]
        assert listed.model_dump() == {k: v for k, v in made.model_dump().items() if k != "key"}
        assert refused(lambda: admin.create_key("a\nb", ["read"])) == "bad-key-name"
        assert refused(lambda: admin.create_key("a", ["root"])) == "bad-request"
        assert refused(lambda: admin.create_key("a", [])) == "bad-request"
        with Client(service.url, api_key=made.key) as other:
            told = other.session()
            assert (told.key_id, told.expires_at, told.open) == (made.id, made.expires_at, False)
            assert refused(other.keys) == "missing-scope"
            assert admin.revoke_key(made.id).revoked_at is not None
            eventually(lambda: _code(other) == "wrong-key")
        assert refused(lambda: admin.revoke_key("0" * 12)) == "unknown-key"
        newest = admin.audit_events(limit=2).events
        assert [(one.action, one.details.get("key_id")) for one in newest[1:]] == [("revoke-key", made.id)]


def _code(client: Client) -> str:
    try:
        client.session()
    except ApiError as error:
        return error.code
    return "ok"


def test_a_session_of_a_revoked_key_ends_with_it(service: LiveService) -> None:
    with service.client() as admin, httpx.Client(base_url=service.url) as browser:
        made = admin.create_key("browser", ["read"])
        signed_in = browser.post("/v1/session", json={"key": made.key}).raise_for_status()
        assert browser.get("/v1/session").json() == signed_in.json()
        assert browser.get("/v1/studies?limit=1").status_code == 200
        admin.revoke_key(made.id)
        eventually(lambda: browser.get("/v1/session").status_code == 401)
        assert browser.get("/v1/session").json()["code"] == "session-ended"


def test_each_key_has_its_own_views(service: LiveService) -> None:
    query = "where=modality%3DCT&sort=-study_date"
    with service.client("read") as anna, service.client("report") as no_reader:
        kept = anna.save_view("CT, neueste zuerst: Köln"[:17], "cases", query)
        assert (kept.page, kept.query) == ("cases", query)
        assert [one.model_dump() for one in anna.views()] == [kept.model_dump()]
        with service.client() as other:
            assert other.views() == []
            assert refused(lambda: other.remove_view(kept.name)) == "unknown-view"
        changed = anna.save_view(kept.name, "map")
        assert [(one.page, one.query) for one in anna.views()] == [("map", "")]
        assert changed.created_at >= kept.created_at
        for bad in ("../keys", "a/b", "", " a", "a" * 65, "a\u202eb"):
            assert refused(partial(anna.save_view, bad, "cases")) == "bad-request"
        assert refused(lambda: anna.save_view("a", "Cases")) == "bad-request"
        assert refused(lambda: anna.save_view("a", "cases", "q" * 9000)) == "bad-request"
        anna.remove_view(kept.name)
        assert anna.views() == []
        assert refused(no_reader.views) == "missing-scope"


def test_the_trail_is_read_in_pages_from_its_end(service: LiveService, phantoms: Phantoms) -> None:
    uid, other = list(phantoms.by_study)[:2]
    with service.client("read") as reader, service.client() as admin:
        for one in (uid, uid, other):
            reader.study(one)
        seen = reader.session().key_id
        viewed = admin.audit_events(study=uid, actor=seen, action="view", limit=2)
        assert [(one.actor, one.name, one.action, one.studies) for one in viewed.events] == [
            (seen, "read", "view", (uid,))
        ] * 2
        first = admin.audit_events(actor=seen, limit=2)
        assert first.events[0].studies == (other,)
        rest: list[AuditEntry] = [*first.events]
        while first.before is not None:
            first = admin.audit_events(actor=seen, before=first.before, limit=2)
            rest += first.events
        assert [one.sequence for one in rest] == sorted((one.sequence for one in rest), reverse=True)
        assert {one.actor for one in rest} == {seen}
        with service.http() as http:
            whole = [line for line in http.get("/v1/audit").text.splitlines() if f'"actor": "{seen}"' in line]
        assert len(rest) == len(whole)
        assert refused(lambda: admin.audit_events(action="peek")) == "unknown-action"
        assert admin.audit_events(study="1.2.3", actor="nobody").events == ()
        assert refused(lambda: reader.audit_events(limit=1)) == "missing-scope"


def test_who_has_seen_a_study(service: LiveService, phantoms: Phantoms) -> None:
    uid = list(phantoms.by_study)[3]
    with service.client("read") as reader, service.client() as admin:
        reader.study(uid)
        found = admin.study_audit(uid, limit=2)
        # Looking who has seen it is a look at it.
        assert [(one.name, one.action) for one in found.events] == [("admin", "view"), ("read", "view")]
        again = admin.study_audit(uid, before=found.events[0].sequence)
        assert again.events[0] == found.events[1]
        assert all(uid in one.studies for one in again.events)
        assert len(admin.study_audit(uid).events) == len(again.events) + 1
        assert refused(lambda: reader.study_audit(uid)) == "missing-scope"


def test_how_the_service_does(service: LiveService) -> None:
    with service.client() as admin:
        eventually(lambda: admin.health().ready)
        health = admin.health()
        assert {one.name for one in health.checks} >= {"database", "disk", "encoder", "search"}
        assert (health.home, health.database) == (str(service.home), "sqlite")
        counts = {"answers"}  # of the checks themselves
        held = health.index.model_dump(exclude={"search": counts})
        assert held == admin.info().index.model_dump(exclude={"search": counts})
        assert health.encoder is not None
        assert health.encoder.state == "ready"
        assert any(one.ok for one in health.workers)
        assert health.disk_free_bytes > health.min_free_bytes == 100 << 20
        values = {one.name: one.value for one in health.settings}
        assert values.keys() == Settings.model_fields.keys()
        assert values["home"] == str(service.home)
        assert datetime.fromisoformat(health.started_at) <= datetime.now(UTC)
    with service.client("read") as reader:
        assert refused(reader.health) == "missing-scope"


def test_the_folders_of_an_ingest(service: LiveService, phantoms: Phantoms) -> None:
    root = phantoms.dicom.parent
    with service.client("write") as writer:
        top = writer.ingest_roots()
        assert (top.roots, top.path, top.folders) == ((str(root),), None, ())
        below = writer.ingest_roots(root)
        assert (below.path, below.parent) == (str(root), None)
        assert "dicom" in below.folders
        inner = writer.ingest_roots(root / "dicom")
        assert inner.parent == str(root)
        assert inner.folders == tuple(sorted(one.name for one in phantoms.dicom.iterdir() if one.is_dir()))
        assert refused(lambda: writer.ingest_roots(root.parent)) == "path-not-allowed"
        assert refused(lambda: writer.ingest_roots(root / "none")) == "no-such-path"
        assert refused(lambda: writer.ingest_roots(phantoms.labels)) == "not-a-folder"
    with service.client("read") as reader:
        assert refused(reader.ingest_roots) == "missing-scope"


def test_no_link_leads_out_of_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "a" / "b", root / ".hidden", outside / "secret"):
        folder.mkdir(parents=True)
    (root / "file.dcm").write_text("")
    (root / "out").symlink_to(outside)
    (root / "within").symlink_to(root / "a")
    (root / "round").symlink_to(root / "round")
    (root / "broken").symlink_to(root / "none")
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    found = list_folders([root], str(root))
    assert (found.folders, found.files, found.is_cut) == (("a", "caf\\xe9", "within"), 1, False)
    for path in (root / "out", root / "out" / "secret", root / "a" / ".." / ".." / "outside", outside):
        with pytest.raises(ServiceError) as failed:
            list_folders([root], str(path))
        assert failed.value.code == "path-not-allowed"
        assert "secret" not in str(failed.value)
    assert list_folders([root], str(root / "within")).path == str(root / "a")
    assert list_folders([], None).roots == ()


def test_a_large_folder_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        (tmp_path / f"{n}").mkdir()
    monkeypatch.setattr(folders, "MOST_FOLDERS", 4)
    found = list_folders([tmp_path], str(tmp_path))
    assert (found.folders, found.is_cut) == (("0", "1", "2", "3"), True)
    monkeypatch.setattr(folders, "MOST_ENTRIES", 3)
    found = list_folders([tmp_path], str(tmp_path))
    assert (len(found.folders), found.is_cut) == (3, True)
