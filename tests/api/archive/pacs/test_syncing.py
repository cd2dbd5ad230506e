"""A sync finds what is new and what has grown, asks for no more, and keeps to its hours."""

from __future__ import annotations

import random
import socket
import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs import discovering, syncing
from medsiglip.api.archive.pacs.discovering import Reach, next_reach
from medsiglip.api.archive.pacs.pulling import AT_ONCE, Patience
from medsiglip.api.archive.pacs.syncing import SyncOptions
from medsiglip.api.errors import ServiceError
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.pacs.study_ledger import StudyNames
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.records import PacsStudy
from tests.api.archive.pacs.scripted_home import LATE, archive, held, open_home, pacs
from tests.api.archive.pacs.scripted_pacs import AWAY, ScriptedPacs, days_of
from tests.api.archive.pacs.small_studies import SmallStudy

__all__ = ["archive", "open_home", "pacs"]
NIGHT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


def test_only_what_is_new_or_missing_is_fetched(archive: Archive, pacs: ScriptedPacs) -> None:
    studies = [SmallStudy(number, 2, date=LATE) for number in range(3)]
    for study in studies:
        pacs.add(study)
    first = archive.pacs_sync("main")
    assert (first.found, first.asked, first.here, first.instances, first.waiting) == (3, 3, 3, 6, 0)
    pacs.asked.clear()
    again = archive.pacs_sync("main")
    assert (again.found, again.asked, pacs.asked) == (3, 0, [])
    grown, new = SmallStudy(1, 4, date=LATE), SmallStudy(9, date=LATE)
    pacs.add(grown)
    pacs.add(new)
    third = archive.pacs_sync("main")
    assert (third.asked, third.here, third.instances) == (2, 2, 3)
    assert sorted(pacs.asked) == sorted([f"{grown.sop(3)}+{grown.sop(4)}", new.uid])
    assert held(archive) == {sop for one in (studies[0], grown, studies[2], new) for sop in one.sops()}
    assert archive.verify().ok


def test_periods_cover_every_day_once_and_find_every_study(archive: Archive, pacs: ScriptedPacs) -> None:
    chosen, first = random.Random(3), date(1999, 12, 30)
    days = [first + timedelta(days=chosen.randrange(0, 9000)) for _ in range(300)]
    for number, day in enumerate(days):
        uid = f"1.2.{number}"
        pacs.files[uid], pacs.dates[uid] = {}, f"{day:%Y%m%d}"
    pacs.files["1.3"], pacs.dates["1.3"] = {}, f"{first - timedelta(days=1):%Y%m%d}"
    wanted = discovering.Discovery(
        "main", SyncOptions().query, syncing_names(archive), lambda _count: None, lambda: date(2026, 3, 1)
    )
    client = pacs.open(Connection("main", "dicomweb"), lambda _: None)
    found = discovering.discover_by_date(archive, client, wanted, first)
    assert found == 300
    assert archive.index.pacs_studies.waiting("main") == 300
    periods = [days_of(query) for query in pacs.queries]
    assert periods[0][0] == first
    assert periods[-1][1] is None
    for (_, end), (begin, _) in pairwise(periods):
        assert end is not None
        assert begin == end + timedelta(days=1)
    assert len(periods) < 40


def syncing_names(archive: Archive) -> Callable[[PacsStudy], StudyNames]:
    from medsiglip.api.archive.pacs.ledger import names_of
    from medsiglip.ingest.privacy.deidentify import bound_key

    key = bound_key(archive.index)
    return lambda study: names_of(key, study.study_instance_uid)


def test_later_syncs_look_back_some_days_and_once_a_week_at_all() -> None:
    monday = date(2026, 3, 2)
    begin, reach = next_reach(None, "q", None, monday)
    assert begin is None
    for number in range(1, 7):
        begin, reach = next_reach(
            Reach.read(reach.to_json(), "q"), "q", None, monday + timedelta(days=number)
        )
        assert begin == monday + timedelta(days=number - 8)
    begin, reach = next_reach(Reach.read(reach.to_json(), "q"), "q", None, monday + timedelta(days=7))
    assert begin is None
    assert Reach.read(reach.to_json(), "another") is None
    assert Reach.read({}, "q") is None
    since = date(2020, 1, 1)
    begin, reach = next_reach(reach, "q", since, monday)
    assert begin == since
    assert next_reach(reach, "q", None, monday + timedelta(days=9))[0] == since


def test_outside_its_hours_a_sync_asks_nothing(
    archive: Archive, pacs: ScriptedPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.add_pacs("main", url="http://127.0.0.1:9/dicom-web", hours="20:00-06:00")
    for number in range(3):
        pacs.add(SmallStudy(number, date=LATE))
    moments = [NIGHT.replace(hour=19)]
    monkeypatch.setattr(syncing, "local_now", lambda: moments[-1])
    with pytest.raises(PacsError) as caught:
        archive.pacs_sync("main")
    assert (caught.value.code, caught.value.may_pass, caught.value.retry_after) == (
        "outside-hours",
        True,
        3600,
    )
    assert (pacs.queries, pacs.asked) == ([], [])
    moments.append(NIGHT)

    def morning(uid: str) -> None:
        if len(pacs.asked) == 2:
            moments.append(NIGHT.replace(hour=7))

    pacs.before = morning
    report = archive.pacs_sync("main")
    assert (report.found, report.here, report.waiting) == (3, 1, 2)
    assert len(pacs.asked) == 2  # the second was begun before the hours ended
    assert len(held(archive)) == 1
    moments.append(NIGHT)
    assert archive.pacs_sync("main").here == 2
    # A person may bring in a study at any time.
    moments.append(NIGHT.replace(hour=7))
    assert archive.pacs_pull("main", [SmallStudy(0).uid]).here == 1


def let_leases_pass(archive: Archive) -> None:
    with sqlite3.connect(archive.home / "catalog.db") as connection:
        connection.execute("UPDATE pacs_connections SET lease_until = '2001-01-01 00:00:00.000000'")
    connection.close()


def test_one_sync_of_a_pacs_works_at_a_time(archive: Archive, pacs: ScriptedPacs) -> None:
    pacs.add(SmallStudy(1, date=LATE))
    found: list[str] = []

    def another(_uid: str) -> None:
        assert archive.pacs_connections().connections[0].syncing
        let_leases_pass(archive)  # nothing was said for long
        with Archive(archive.home) as other, pytest.raises(PacsError) as caught:
            other.pacs_sync("main")
        found.append(caught.value.code)

    pacs.before = another
    assert archive.pacs_sync("main").here == 1
    assert found == ["pacs-busy"]
    assert not archive.pacs_connections().connections[0].syncing
    # A holder on this machine that was killed is not waited for, one on another machine is.
    lease = archive.index.sync_leases
    assert lease.take("main", f"{socket.gethostname()}:killed")
    archive.pacs_sync("main")
    assert lease.take("main", "elsewhere:1")
    with pytest.raises(PacsError, match="Another sync"):
        archive.pacs_sync("main")


def test_a_pacs_that_is_away_is_waited_for(archive: Archive, pacs: ScriptedPacs) -> None:
    study = SmallStudy(1, date=LATE)
    pacs.add(study)
    pacs.problems[study.uid] = [AWAY, AWAY]
    with pytest.raises(PacsError):
        archive.pacs_sync("main", SyncOptions(patience=AT_ONCE))
    waits: list[float] = []
    patient = SyncOptions(patience=Patience(2, waits.append))
    assert archive.pacs_sync("main", patient).here == 1
    assert waits == [1.0]


@pytest.mark.parametrize(
    ("since", "where"),
    [("yesterday", {}), (None, {"from_date": "2026-01-01"}), (None, {"colour": "red"})],
)
def test_an_order_that_makes_no_sense_is_refused(since: str | None, where: dict[str, str]) -> None:
    with pytest.raises(ServiceError) as caught:
        SyncOptions.of(since, where)
    assert caught.value.code == "bad-pacs-question"


def test_jobs_bring_in_what_was_asked_for(archive: Archive, pacs: ScriptedPacs) -> None:
    from medsiglip.api.archive.pacs.ledger import ask_for

    studies = [SmallStudy(number, date=LATE) for number in range(3)]
    for study in studies:
        pacs.add(study)
    kept = ask_for(archive, "main", [studies[0].uid])
    queue = archive.index.jobs
    pull = queue.submit("pacs-pull", {"connection": "main", "study_instance_uids": kept})
    sync = queue.submit(
        "pacs-sync", {"connection": "main", "since": "2026-01-01", "where": {"modality": "OT"}}
    )
    Worker(archive, poll_seconds=0.05).run(once=True)
    pulled, synced = queue.get(pull.id), queue.get(sync.id)
    assert (pulled.status, pulled.result["here"], pulled.result["asked"]) == ("done", 1, 1)
    assert (synced.status, synced.result["here"], synced.result["found"]) == ("done", 2, 3)
    assert pacs.queries[-1].modality == "OT"
    assert held(archive) == {study.sop(1) for study in studies}


def test_a_job_waits_for_a_pacs_that_is_away(archive: Archive, pacs: ScriptedPacs) -> None:
    from medsiglip.api.archive.pacs.ledger import ask_for

    study = SmallStudy(1, date=LATE)
    pacs.add(study)
    pacs.problems[study.uid] = [AWAY]
    kept = ask_for(archive, "main", [study.uid])
    queue = archive.index.jobs
    job = queue.submit("pacs-pull", {"connection": "main", "study_instance_uids": kept})
    Worker(archive, poll_seconds=0.05).run(once=True)
    waiting = queue.get(job.id)
    assert (waiting.status, waiting.attempts) == ("queued", 0)
    assert waiting.error is not None
    assert waiting.error["code"] == "pacs-unreachable"
