"""Connections to PACS, how they do, and what is here of their studies, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.pacs.schema import pacs_connections
from medsiglip.index.errors import CatalogError
from medsiglip.index.pacs import connections
from medsiglip.index.pacs.connections import HeldStudy, PacsConnectionStore
from medsiglip.index.pacs.study_ledger import Settled, StudyNames
from medsiglip.index.storage.deletion import PacsNames
from tests.index.index_cases import make_bundle, unit_vectors
from tests.index.sent_statements import sent_statements

OPTIONS = {"kind": "dicomweb", "url": "http://127.0.0.1/dicom-web"}


@pytest.fixture
def store(index: CaseIndex) -> PacsConnectionStore:
    return index.pacs_connections


def refused(call: object) -> str:
    with pytest.raises(CatalogError) as failed:
        call()  # type: ignore[operator]
    return failed.value.code


def test_a_connection_is_added_changed_and_removed(store: PacsConnectionStore) -> None:
    assert store.listed() == []
    added = store.put("second", OPTIONS)
    assert (added.options, added.last_seen_at, added.failure) == (OPTIONS, None, None)
    store.put("first", {"kind": "dimse"})
    assert [one.name for one in store.listed()] == ["first", "second"]
    store.note_seen("second")
    changed = store.put("second", {**OPTIONS, "rate": 2.0})
    assert changed.options == {**OPTIONS, "rate": 2.0}
    assert (changed.created_at, changed.last_seen_at is None) == (added.created_at, False)
    store.remove("second")
    assert [one.name for one in store.listed()] == ["first"]
    for call in (store.get, store.remove):
        assert refused(lambda call=call: call("second")) == "unknown-pacs"
    store.note_failure("second", "pacs-timeout", "too late")
    assert store.put("second", OPTIONS).failure is None


def test_how_far_a_sync_came_is_of_one_address(store: PacsConnectionStore, index: CaseIndex) -> None:
    for options, kept in (({"rate": 2.0}, {"change": 7}), ({"url": "https://other.example/"}, {})):
        store.put("main", OPTIONS)
        assert index.sync_leases.take("main", "me", None)
        index.sync_leases.set_progress("main", "me", {"change": 7})
        store.put("main", {**OPTIONS, **options})
        assert index.sync_leases.progress("main") == kept


def test_how_a_pacs_did_last_is_kept(store: PacsConnectionStore, index: CaseIndex) -> None:
    store.put("main", OPTIONS)
    store.note_failure("main", "pacs-timeout", "The PACS main is late.")
    failing = store.get("main")
    assert failing.failure == {"code": "pacs-timeout", "message": "The PACS main is late."}
    assert (failing.last_seen_at, failing.failed_at is None) == (None, False)
    store.note_seen("main")
    seen = store.get("main")
    assert (seen.failure, seen.failed_at, seen.last_seen_at is None) == (None, None, False)
    with sent_statements() as sent:  # while a sync goes on: no write for each study
        store.note_seen("main")
    assert not [one for one in sent if one.startswith("UPDATE")]
    with index._database.write_service_tables() as sql:  # it was seen some time ago
        sql.execute(update(pacs_connections).values(last_seen_at=datetime.now(UTC) - timedelta(hours=1)))
    store.note_seen("main")
    assert store.get("main").last_seen_at > datetime.now(UTC) - timedelta(minutes=30)  # type: ignore[operator]


def test_a_home_has_so_many_connections(store: PacsConnectionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 2)
    for name in "ab":
        store.put(name, OPTIONS)
    assert refused(lambda: store.put("c", OPTIONS)) == "too-many-pacs"
    store.put("b", {**OPTIONS, "rate": 1.0})
    store.remove("a")
    store.put("c", OPTIONS)
    assert refused(lambda: store.put("a", OPTIONS)) == "too-many-pacs"


def test_what_came_from_a_pacs_outlives_its_removal(store: PacsConnectionStore, index: CaseIndex) -> None:
    store.put("main", OPTIONS)
    names = StudyNames("1.2", "1.2", "2.25.9")
    index.pacs_studies.ask("main", [names])
    index.pacs_studies.begin("main", "1.2")
    index.pacs_studies.settle("main", [Settled(names, "here", 3, 3)])
    assert store.study_counts() == {("main", "here"): 1}
    assert index.sync_leases.take("main", "somebody")
    assert store.working() == {"main"}
    store.remove("main")
    assert store.working() == set()
    store.put("main", OPTIONS)
    assert store.study_counts() == {("main", "here"): 1}
    assert index.pacs_studies.came_from("1.2") == ["main"]


def test_what_is_here_of_studies_of_a_pacs(store: PacsConnectionStore, index: CaseIndex) -> None:
    store.put("main", OPTIONS)
    bundles = [make_bundle(study, 3, patient=f"patient{study}") for study in range(2)]
    index.add(bundles, unit_vectors(6))
    first, second = (one.study.study_instance_uid for one in bundles)
    names = StudyNames("1.2", "1.2", "2.25.9")
    index.pacs_studies.ask("main", [names])
    assert store.held("main", [first, second, "1.2"]) == {
        first: HeldStudy(3, 3),
        second: HeldStudy(3, 3),
    }
    index.pacs_studies.begin("main", "1.2")
    index.pacs_studies.settle("main", [Settled(names, "here", 2, 2)])
    assert store.held("main", ["1.2", second]) == {second: HeldStudy(3, 3), "1.2": HeldStudy(0, 0, 2)}
    assert store.held("other", ["1.2"]) == store.held("main", []) == {}
    with sent_statements() as few:
        store.held("main", ["1.2"])
    with sent_statements() as many:
        store.held("main", [f"1.2.{number}" for number in range(5000)])
    assert few == many


def test_what_one_pacs_brings_back_stays_forgotten_for_another(
    store: PacsConnectionStore, index: CaseIndex
) -> None:
    names = StudyNames("1.2", "1.2", "2.25.9")
    for name in ("main", "other"):
        store.put(name, OPTIONS)
        index.pacs_studies.ask(name, [names])
    gone = PacsNames(lambda _own: names.forgotten)
    index.remove_study("1.2", gone)
    assert store.study_counts() == {("main", "forgotten"): 1, ("other", "forgotten"): 1}
    index.pacs_studies.ask("main", [names])
    index.remove_study("1.2", gone)
    assert store.study_counts() == {("main", "forgotten"): 1, ("other", "forgotten"): 1}
    assert index.pacs_studies.discover("other", [(names, 3)]) == 0
