"""Who was forgotten stays away, also where the secret key is rotated while studies are brought in."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.ingestion import ingest_apart
from medsiglip.api.archive.keys import rotate_secret
from medsiglip.api.archive.pacs.discovering import Discovery, discover_by_date
from medsiglip.api.archive.pacs.intake import Intake
from medsiglip.api.archive.pacs.pulling import AT_ONCE
from medsiglip.api.archive.pacs.syncing import SyncOptions
from medsiglip.api.archive.pacs.tally import Tally
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.archive.pacs.scripted_home import LATE, archive, held, nothing_lies_about, open_home, pacs
from tests.api.archive.pacs.scripted_pacs import AWAY, ScriptedPacs
from tests.api.archive.pacs.small_studies import SmallStudy

__all__ = ["archive", "open_home", "pacs"]


@pytest.fixture
def elsewhere(open_home: Callable[[], Archive]) -> Callable[[Callable[[Archive], Any]], None]:
    """Does something as another process would, which knows patients by the key as it is then."""

    def done(do: Callable[[Archive], Any]) -> None:
        def opened() -> None:
            with open_home() as other:
                do(other)

        Context().run(opened)

    return done


def forget_and_rotate(other: Archive) -> None:
    rotate_secret(other)
    for one in {study.patient_key for study in other.studies().studies}:
        other.forget(patient=one)


def two_of_one_patient(archive: Archive, pacs: ScriptedPacs) -> tuple[SmallStudy, SmallStudy]:
    """One that is here, and one that waits."""
    first, second = (SmallStudy(number, date=LATE, patient="A") for number in (1, 2))
    for study in (first, second):
        pacs.add(study)
    pacs.problems[second.uid] = [AWAY]
    with pytest.raises(PacsError):
        archive.pacs_sync("main", SyncOptions(patience=AT_ONCE))
    assert held(archive) == set(first.sops())
    return first, second


def test_no_rotation_while_a_sync_fetches(
    archive: Archive, pacs: ScriptedPacs, elsewhere: Callable[[Callable[[Archive], Any]], None]
) -> None:
    study = SmallStudy(1, date=LATE)
    pacs.add(study)
    refused = []

    def rotated(_uid: str) -> None:
        with pytest.raises(CatalogError) as raised:
            elsewhere(rotate_secret)
        refused.append(raised.value.code)

    pacs.before = rotated
    assert archive.pacs_sync("main").here == 1
    assert refused == ["sync-running"]
    elsewhere(rotate_secret)


def test_who_is_forgotten_while_a_pull_fetches_stays_away(
    archive: Archive, pacs: ScriptedPacs, elsewhere: Callable[[Callable[[Archive], Any]], None]
) -> None:
    two_of_one_patient(archive, pacs)
    pacs.before = lambda _uid: elsewhere(forget_and_rotate)
    with pytest.raises(CatalogError) as raised:
        archive.pacs_pull("main")
    assert raised.value.code == "key-rotated"
    pacs.before = lambda _uid: None
    archive.pacs_pull("main")
    archive.pacs_sync("main")
    assert held(archive) == set()
    assert nothing_lies_about(archive)


def test_who_is_forgotten_while_a_pull_ingests_stays_away(
    archive: Archive,
    pacs: ScriptedPacs,
    elsewhere: Callable[[Callable[[Archive], Any]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, _ = two_of_one_patient(archive, pacs)

    def rotated(*given: Any, **named: Any) -> Any:
        done = ingest_apart(*given, **named)

        def of_first(other: Archive) -> None:
            rotate_secret(other)
            [one] = {study.patient_key for study in other.studies().studies}
            other.forget(patient=one)

        elsewhere(of_first)
        return done

    with monkeypatch.context() as patched:
        patched.setattr("medsiglip.api.archive.pacs.intake.ingest_apart", rotated)
        with pytest.raises(CatalogError) as raised:
            archive.pacs_pull("main")
    assert raised.value.code == "key-rotated"
    archive.pacs_pull("main")
    archive.pacs_sync("main")
    assert held(archive) == set()
    assert archive.pacs_pull("main", [first.uid]).here == 1  # somebody asks for it


def test_nothing_is_noted_by_the_former_key(
    archive: Archive, pacs: ScriptedPacs, elsewhere: Callable[[Callable[[Archive], Any]], None]
) -> None:
    pacs.add(SmallStudy(1, date=LATE))
    made = Intake(archive, Connection("main", "dicomweb"), Tally())
    elsewhere(rotate_secret)
    wanted = Discovery(
        "main", PacsQuery(), made.names_found, lambda _count: None, require_key=made.require_key
    )
    with pytest.raises(CatalogError) as raised:
        discover_by_date(archive, pacs.open(made.connection, lambda _: None), wanted, None)
    assert raised.value.code == "key-rotated"
    assert archive.index.pacs_studies.waiting("main") == 0


def test_what_cannot_be_forgotten_is_said(
    archive: Archive, pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Intake(archive, Connection("main", "dicomweb"), Tally())
    made._forget("1.2.3")  # nothing of it is here

    def busy(*_: Any) -> None:
        raise CatalogError("catalog-busy", "Another process writes.")

    monkeypatch.setattr(type(archive.index), "remove_study", busy)
    with pytest.raises(CatalogError, match="Another process"):
        made._forget("1.2.3")
