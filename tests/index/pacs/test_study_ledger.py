"""What waits, what is here and what stays away, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.pacs.schema import pacs_studies
from medsiglip.index.errors import CatalogError
from medsiglip.index.pacs.study_ledger import (
    MOST_ATTEMPTS,
    STATUSES,
    LedgerStudy,
    Settled,
    StudyLedger,
    StudyNames,
)
from medsiglip.index.storage.deletion import PacsNames
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, unit_vectors
from tests.index.sent_statements import sent_statements

PACS = "main"


def named(number: int) -> StudyNames:
    """A study of a home that hides UIDs."""
    return StudyNames(f"1.2.{number}", f"2.25.{number}", f"2.25.9{number}")


@pytest.fixture
def ledger(index: CaseIndex) -> StudyLedger:
    for name in (PACS, "other"):
        index.pacs_connections.put(name, {"kind": "dicomweb", "url": "http://127.0.0.1/dicom-web"})
    return index.pacs_studies


def due(ledger: StudyLedger) -> list[str]:
    return [one.study_instance_uid for one in ledger.due(PACS)]


def fetched(ledger: StudyLedger, number: int, **outcome: Any) -> LedgerStudy:
    """What the ledger has of a study after one attempt at it."""
    before = ledger.find(PACS, named(number))
    assert before is not None
    assert ledger.begin(PACS, before.study_instance_uid)
    given = {"status": "here", "expected": 3, "received": 3, "reported": before.expected, **outcome}
    ledger.settle(PACS, [Settled(named(number), **given)])
    after = ledger.find(PACS, named(number))
    assert after is not None
    return after


def test_a_study_waits_until_it_is_here_and_again_when_it_has_grown(ledger: StudyLedger) -> None:
    assert ledger.discover(PACS, [(named(1), 3), (named(2), None)]) == 2
    assert (due(ledger), ledger.waiting(PACS)) == (["1.2.1", "1.2.2"], 2)
    here = fetched(ledger, 1)
    assert (here.status, here.study_instance_uid, here.received) == ("here", "2.25.1", 3)
    assert ledger.discover(PACS, [(named(1), 3), (named(2), None)]) == 0
    assert due(ledger) == ["1.2.2"]
    assert ledger.discover(PACS, [(named(1), 5)]) == 1
    assert due(ledger) == ["1.2.2", "1.2.1"]
    assert ledger.states(PACS, [named(1), named(7)])["1.2.1"].expected == 5
    assert ledger.came_from("2.25.1") == []  # it is known by the UID of the PACS while it waits
    fetched(ledger, 1, expected=5, received=5)
    assert ledger.came_from("2.25.1") == [PACS]


def test_a_study_that_grows_while_it_is_fetched_waits_again(ledger: StudyLedger) -> None:
    ledger.discover(PACS, [(named(1), 3)])
    ledger.begin(PACS, "1.2.1")
    ledger.discover(PACS, [(named(1), 4)])
    ledger.settle(PACS, [Settled(named(1), "here", 3, 3, reported=3)])
    assert due(ledger) == ["1.2.1"]


def test_what_came_in_part_or_failed_is_tried_again_ever_later(
    ledger: StudyLedger, catalogue: Catalogue, home: Path
) -> None:
    ledger.discover(PACS, [(named(1), 3), (named(2), 3), (named(3), 3)])
    part = fetched(ledger, 1, status="incomplete", received=2, failure={"code": "x", "message": "y"})
    assert (part.status, part.received, part.study_instance_uid) == ("incomplete", 2, "1.2.1")
    assert fetched(ledger, 2, status="failed", received=0, may_pass=True).status == "waiting"
    assert fetched(ledger, 3, status="failed", received=0).status == "failed"
    assert due(ledger) == []
    waits = []
    for _ in range(MOST_ATTEMPTS):
        _let_time_pass(catalogue.url_in(home))
        if "1.2.2" not in due(ledger):
            break
        again = fetched(ledger, 2, status="failed", received=0, may_pass=True)
        waits.append((again.not_before - again.changed_at).total_seconds())
    assert len(waits) == MOST_ATTEMPTS - 1
    assert waits == sorted(waits)
    assert waits[1] == 2 * waits[0] > 0
    assert again.status == "failed"
    assert ledger.retry(PACS) == 3
    assert sorted(due(ledger)) == ["1.2.1", "1.2.2", "1.2.3"]


def _let_time_pass(url: str, days: float = 1) -> None:
    """Make every study due that is not given up."""
    engine = create_engine(url)
    with engine.begin() as sql:
        before = datetime.now(UTC) - timedelta(days=days)
        sql.execute(update(pacs_studies).values(not_before=before))
    engine.dispose()


def test_an_attempt_that_the_line_ended_does_not_count(ledger: StudyLedger) -> None:
    ledger.discover(PACS, [(named(1), 3)])
    assert ledger.begin(PACS, "1.2.1")
    assert due(ledger) == []
    ledger.hand_back(PACS, ["1.2.1"])
    [again] = ledger.due(PACS)
    assert again.attempts == 0
    assert not ledger.begin(PACS, "1.2.999")


def test_a_study_whose_last_attempt_was_ended_with_its_process_has_failed(
    ledger: StudyLedger, catalogue: Catalogue, home: Path
) -> None:
    ledger.discover(PACS, [(named(1), 3), (named(2), 3)])
    for _ in range(MOST_ATTEMPTS):
        _let_time_pass(catalogue.url_in(home))
        assert due(ledger) == ["1.2.1", "1.2.2"]
        assert ledger.begin(PACS, "1.2.1")
        ledger.resume(PACS, ["1.2.1"])
    failed = ledger.find(PACS, named(1))
    assert failed is not None
    assert failed.failure is not None
    assert (failed.status, failed.failure["code"]) == ("failed", "pacs-interrupted")
    assert (due(ledger), ledger.retry(PACS)) == (["1.2.2"], 1)
    assert sorted(due(ledger)) == ["1.2.1", "1.2.2"]


def test_what_one_process_has_brought_another_does_not_take_back(ledger: StudyLedger) -> None:
    ledger.discover(PACS, [(named(1), 3)])
    fetched(ledger, 1)
    ledger.settle(PACS, [Settled(named(1), "failed", 3, 0, reported=3, may_pass=True)])
    ledger.settle(PACS, [Settled(named(1), "incomplete", 3, 2, reported=3, may_pass=True)])
    here = ledger.find(PACS, named(1))
    assert here is not None
    assert (here.status, here.failure) == ("here", None)


def test_a_clock_that_was_set_back_lets_nothing_wait_for_years(
    ledger: StudyLedger, catalogue: Catalogue, home: Path
) -> None:
    ledger.discover(PACS, [(named(1), 3)])
    for days, expected in ((0.2, []), (4000, ["1.2.1"])):
        _let_time_pass(catalogue.url_in(home), -days)
        assert due(ledger) == expected


def test_forgotten_studies_stay_away_until_somebody_asks_for_them(
    ledger: StudyLedger, index: CaseIndex
) -> None:
    index.add([make_bundle(1, 3)], unit_vectors(3, 1))
    [uid] = [one.study_instance_uid for one in index.studies()]
    here = StudyNames("1.2.1", uid, "2.25.91")
    ledger.discover(PACS, [(here, 3), (named(2), 1)])
    ledger.settle(PACS, [Settled(here, "here", 3, 3, reported=3)])
    kept = {uid: "2.25.91", "2.25.2": "2.25.92"}
    names = PacsNames(lambda one: kept.get(one, "2.25.99"))  # the last is the patient
    index.remove_patient(index.patients_of([uid])[uid], names)
    index.remove_study("2.25.2", names._replace(asked="1.2.2"))  # one that only waits
    forgotten = {one.study_instance_uid for one in ledger.page(PACS, status="forgotten")}
    assert forgotten == {"2.25.91", "2.25.92", "2.25.99"}
    theirs = replace(named(3), persons=("2.25.98", "2.25.99"))
    assert ledger.discover(PACS, [(theirs, 1)]) == ledger.discover("other", [(theirs, 1)]) == 0
    assert ledger.page(PACS) == [] == ledger.due(PACS)
    assert ledger.discover(PACS, [(here, 4), (named(2), 9)]) == 0
    ledger.settle(PACS, [Settled(here, "here", 3, 3)])  # one that was being fetched meanwhile
    assert due(ledger) == []
    assert not ledger.announced(PACS, named(2))  # by the PACS: nobody asks for it
    assert ledger.announced(PACS, theirs)
    assert due(ledger) == []  # before somebody has looked whose it is
    assert ledger.is_away(PACS, theirs)
    assert not ledger.announced(PACS, theirs)
    assert len(ledger.page(PACS, status="forgotten")) == 4
    ledger.ask(PACS, [named(2), named(3)])
    assert ledger.announced(PACS, theirs)
    assert not ledger.is_away(PACS, theirs)  # somebody has asked for it
    assert sorted(due(ledger)) == ["1.2.2", "1.2.3"]
    assert len(ledger.page(PACS, status="forgotten")) == 2


def test_an_announced_study_waits_for_its_job_or_for_a_sync(ledger: StudyLedger) -> None:
    for _ in range(2):
        assert ledger.announced(PACS, named(1))
        assert (due(ledger), ledger.waiting(PACS)) == ([], 1)
    assert not ledger.is_away(PACS, replace(named(1), persons=("2.25.98",)))
    assert ledger.begin(PACS, "1.2.1")
    ledger.settle(PACS, [Settled(named(1), "here", 3, 3)])
    assert ledger.announced(PACS, named(1))
    assert due(ledger) == ["1.2.1"]  # known here: it has grown, or was changed
    assert ledger.announced(PACS, named(2))
    assert ledger.discover(PACS, [(named(2), 4)]) == 1
    assert sorted(due(ledger)) == ["1.2.1", "1.2.2"]


def test_without_names_a_forgotten_study_leaves_nothing(ledger: StudyLedger, index: CaseIndex) -> None:
    index.add([make_bundle(1, 3)], unit_vectors(3, 1))
    [uid] = [one.study_instance_uid for one in index.studies()]
    ledger.ask(PACS, [StudyNames(uid, uid, "2.25.91")])
    index.remove_study(uid)
    assert [ledger.page(PACS, status=status) for status in STATUSES] == [[]] * len(STATUSES)
    with pytest.raises(CatalogError) as caught:
        index.remove_study(uid)
    assert caught.value.code == "unknown-study"


def test_pages_hold_each_study_once_the_last_changed_first(ledger: StudyLedger) -> None:
    ledger.discover(PACS, [(named(number), 1) for number in range(25)])
    fetched(ledger, 7)
    read: list[str] = []
    after = None
    while part := ledger.page(PACS, after=after, limit=4):
        read += [one.study_instance_uid for one in part]
        after = part[-1].place
    assert read[0] == "2.25.7"
    assert sorted(read) == sorted({"2.25.7", *(f"1.2.{n}" for n in range(25) if n != 7)})
    assert [one.study_instance_uid for one in ledger.page(PACS, status="here")] == ["2.25.7"]
    assert ledger.page("other") == []


def test_no_statement_grows_with_the_studies(ledger: StudyLedger) -> None:
    lengths = []
    for count in (3, 700):
        with sent_statements() as sent:
            ledger.discover(PACS, [(named(number), 1) for number in range(count)])
            ledger.discover(PACS, [(named(number), 2) for number in range(count)])
            ledger.ask(PACS, [named(number) for number in range(count)])
            ledger.states(PACS, [named(number) for number in range(count)])
            ledger.hand_back(PACS, [named(number).asked for number in range(count)])
        lengths.append(max(map(len, sent)))
    assert lengths[0] == lengths[1]


def test_one_process_syncs_a_pacs_at_a_time(ledger: StudyLedger, index: CaseIndex) -> None:
    leases = index.sync_leases
    assert leases.take(PACS, "a")
    assert leases.take(PACS, "a")
    assert not leases.take(PACS, "b")
    assert leases.take("other", "b")
    assert not leases.take("unknown", "b")
    leases.set_progress(PACS, "b", {"change": 1})  # who does not hold it changes nothing
    assert leases.progress(PACS) == {}
    leases.set_progress(PACS, "a", {"change": 7})
    leases.give_back(PACS, "b")
    assert not leases.take(PACS, "b")
    leases.give_back(PACS, "a")
    assert leases.take(PACS, "b")
    assert leases.progress(PACS) == {"change": 7}


def test_a_connection_that_is_not_there_has_no_ledger(ledger: StudyLedger) -> None:
    for write in (
        lambda: ledger.discover("unknown", [(named(1), 1)]),
        lambda: ledger.ask("unknown", [named(1)]),
        lambda: ledger.retry("unknown"),
    ):
        with pytest.raises(CatalogError) as caught:
            write()
        assert caught.value.code == "unknown-pacs"
