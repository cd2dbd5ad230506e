"""Studies that were asked for are brought in from a PACS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.pacs.connections import connection_of, open_pacs
from medsiglip.api.archive.pacs.finding import find
from medsiglip.api.archive.pacs.intake import Intake
from medsiglip.api.archive.pacs.landing import Purpose
from medsiglip.api.archive.pacs.ledger import ask_for, names_of
from medsiglip.api.archive.pacs.pace import FOLDER, OutsideHoursError, Pace
from medsiglip.api.archive.pacs.tally import Tally
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.errors import PacsError

if TYPE_CHECKING:
    from medsiglip.answers.pacs import PullReport
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import LedgerStudy
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.connection import Connection
    from medsiglip.ingest.pacs.records import PacsQuery

_LONGEST_WAIT_SECONDS = 30.0
_ROWS = 100


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a PACS that is away is tried again before the error is raised; the waits double from one
    second on. A job is tried again by its worker instead.
    """

    tries: int = 4
    sleep: Callable[[float], None] = time.sleep


AT_ONCE = Patience(0)
"""No patience."""


def pacs_pull(
    archive: OpenedArchive,
    name: str,
    study_instance_uids: Sequence[str] | None = None,
    *,
    query: PacsQuery | None = None,
    patience: Patience | None = None,
    on_progress: OnProgress = silent,
) -> PullReport:
    """Bring studies in, by the UIDs that the PACS gives them or those that a query finds, whatever became of
    them before; without either all that wait.

    Raises ServiceError `too-many-studies` where more match than the query's limit; CatalogError
    `unknown-pacs`; PacsError where the PACS cannot be asked. What is wrong with one study is in the report.
    """
    if query is not None:
        study_instance_uids = [*(study_instance_uids or ()), *_found(archive, name, query)]
    if study_instance_uids is None:
        return pull_waiting(archive, name, patience=patience, on_progress=on_progress)
    own = ask_for(archive, name, study_instance_uids)
    return pull_asked(archive, name, own, patience=patience, on_progress=on_progress)


def _found(archive: OpenedArchive, name: str, query: PacsQuery) -> Sequence[str]:
    found = find(archive, name, query)
    if found.answer.truncated:
        raise ServiceError(
            "too-many-studies",
            f"more than {query.limit} studies match: narrow the question, or bring them in by a sync.",
        )
    return found.study_instance_uids


def pull_asked(
    archive: OpenedArchive,
    name: str,
    own_uids: Sequence[str],
    *,
    purpose: Purpose = "pull",
    patience: Patience | None = None,
    on_progress: OnProgress = silent,
) -> PullReport:
    """Bring in studies that wait, by their UIDs in this home. Those that are here by now are only counted, so
    that a pull that was interrupted can be called again. Those that are `waiting` because their PACS
    announced them stay there if their patient was forgotten here.
    """
    tally = Tally()
    chosen = connection_of(archive, name)
    intake = Intake(archive, chosen, tally, purpose=purpose, on_progress=on_progress)
    wanted = _asked_rows(archive, name, own_uids)
    intake.total = len(wanted)
    recovered = intake.recover()
    _count_those_here(archive, name, [uid for uid in own_uids if uid not in recovered], tally)
    tried: list[str] = []

    def each(client: PacsClient, rows: Sequence[LedgerStudy]) -> Iterator[LedgerStudy]:
        for row in rows:
            tried.append(row.study_instance_uid)
            if purpose != "waiting" or not intake.is_away(client, row):
                yield row

    def bring(client: PacsClient, rows: Sequence[LedgerStudy]) -> None:
        try:
            intake.bring(client, each(client, rows))
        except PacsError:
            tried.pop()  # the one that the line ended is fetched again
            raise

    def next_rows() -> list[LedgerStudy]:
        done = set(tried)
        return [one for one in wanted if one.study_instance_uid not in done]

    work(archive, intake, Work(next_rows, bring, patience or Patience()))
    return tally.report()


def pull_waiting(
    archive: OpenedArchive,
    name: str,
    *,
    patience: Patience | None = None,
    on_progress: OnProgress = silent,
) -> PullReport:
    """Bring in all studies that wait and are due."""
    tally, ledger = Tally(), archive.index.pacs_studies
    intake = Intake(archive, connection_of(archive, name), tally, on_progress=on_progress)
    intake.recover()
    intake.total = tally.asked + ledger.waiting(name)
    work(archive, intake, Work(lambda: ledger.due(name, _ROWS), intake.bring, patience or Patience()))
    return tally.report()


@dataclass(frozen=True, slots=True)
class Work:
    """What `work` does: `bring` the `rows` in until there are none, with a pace that begins with `check`."""

    rows: Callable[[], Sequence[LedgerStudy]]
    bring: Callable[[PacsClient, Sequence[LedgerStudy]], None]
    patience: Patience
    check: Callable[[], None] = lambda: None


def work(archive: OpenedArchive, intake: Intake, what: Work) -> None:
    """Bring studies in over one kept conversation, which is begun again when it is lost."""
    failures = 0
    spend = pace_of(archive, intake, what.check)
    while rows := what.rows():
        before = intake.settled
        try:
            with open_pacs(archive, intake.name, spend) as client:
                while rows:
                    what.bring(client, rows)
                    archive.index.pacs_connections.note_seen(intake.name)
                    rows = what.rows()
        except PacsError as error:
            if not error.may_pass or isinstance(error, OutsideHoursError):
                raise
            failures = 1 if intake.settled > before else failures + 1
            if failures > what.patience.tries:
                raise
            what.check()
            intake.check()
            what.patience.sleep(min(2.0 ** (failures - 1), _LONGEST_WAIT_SECONDS))


def pace_of(archive: OpenedArchive, intake: Intake, check: Callable[[], None] = lambda: None) -> Pace:
    """The pace of a connection, which all processes of this home share."""

    def checked() -> None:
        check()
        intake.check()

    return pace_for(archive, intake.connection, checked)


def pace_for(archive: OpenedArchive, connection: Connection, check: Callable[[], None]) -> Pace:
    """`pace_of` for work that brings nothing in."""
    rate = connection.rate
    return Pace(rate, None if rate is None else _state(archive.home, connection.name), check=check)


def _state(home: Path, name: str) -> Path:
    return home / FOLDER / f"{name.encode().hex()[:100]}.pace"


def _asked_rows(archive: OpenedArchive, name: str, own_uids: Sequence[str]) -> list[LedgerStudy]:
    """Those of the studies that wait. A home that hides UIDs finds them by going through all that wait."""
    from medsiglip.ingest.privacy.deidentify import bound_key

    key, ledger = bound_key(archive.index), archive.index.pacs_studies
    if key.phi != "strict":
        found = ledger.states(name, [names_of(key, uid) for uid in own_uids])
        rows = [found[uid] for uid in own_uids if uid in found]
        return [row for row in rows if row.status in ("waiting", "incomplete")]
    wanted, rows, after = set(own_uids), [], None
    while page := ledger.page(name, status="waiting", after=after):
        rows += [row for row in page if key.uid(row.study_instance_uid) in wanted]
        after = page[-1].place
    return rows


def _count_those_here(archive: OpenedArchive, name: str, own_uids: Sequence[str], tally: Tally) -> None:
    from medsiglip.index.pacs.study_ledger import StudyNames

    own = [StudyNames(uid, uid, uid) for uid in own_uids]
    states = archive.index.pacs_studies.states(name, own)
    here = [one for one in states.values() if one.status == "here"]
    tally.count_here(len(here), sum(one.received for one in here))
