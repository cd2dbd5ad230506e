"""A PACS is followed: what is new in it or has grown is brought in, and the next sync goes on from there."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.pacs.connections import connection_of, open_pacs
from medsiglip.api.archive.pacs.discovering import (
    Discovery,
    Reach,
    discover_by_changes,
    discover_by_date,
    next_reach,
)
from medsiglip.api.archive.pacs.finding import MOST_FOUND, query_of
from medsiglip.api.archive.pacs.intake import Intake
from medsiglip.api.archive.pacs.pace import FOLDER, OutsideHoursError, local_now, seconds_until
from medsiglip.api.archive.pacs.pulling import Patience, Work, pace_of, work
from medsiglip.api.archive.pacs.tally import Tally
from medsiglip.api.archive.webhooks import announcing_failed_sync
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.records import PacsQuery
from medsiglip.ingest.privacy.deidentify import parse_date

if TYPE_CHECKING:
    from medsiglip.answers.pacs import SyncReport
    from medsiglip.api.archive.opened import OpenedArchive

_RENEW_SECONDS = 15.0
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """`since` is the study date from which on all is compared; None goes on from the sync before, or at
    first compares all. `query` says which studies are wanted.
    """

    since: date | None = None
    query: PacsQuery = field(default_factory=PacsQuery)
    patience: Patience = field(default_factory=Patience)

    @classmethod
    def of(
        cls, since: str | None, where: Mapping[str, str] | None, patience: Patience | None = None
    ) -> SyncOptions:
        """The options from texts: a day as YYYY-MM-DD, and fields of a query. Raises ServiceError
        `bad-pacs-question`.
        """
        day = parse_date(query_of({"from_date": since}).from_date or "")
        query = query_of(where or {}, MOST_FOUND)
        if query.from_date or query.to_date:
            raise ServiceError("bad-pacs-question", "a sync goes by study dates itself: give it `since`.")
        return cls(day, query, patience or Patience())


def pacs_sync(
    archive: OpenedArchive,
    name: str,
    options: SyncOptions | None = None,
    *,
    on_progress: OnProgress = silent,
) -> SyncReport:
    """Compare what a PACS holds with what is here, and bring in what is new or has grown; what was forgotten
    here stays away. Interrupted at any moment, the next sync goes on.

    Outside of the hours of the connection nothing is asked: a sync that its hours end leaves studies waiting,
    as the report says. Raises CatalogError `unknown-pacs`; PacsError, of these `pacs-busy` while another sync
    of the connection is at work, and `outside-hours` where it may not begin.
    """
    with announcing_failed_sync(archive, name), _leased(archive, name) as lease:
        sync = _Sync(archive, name, options or SyncOptions(), lease, on_progress)
        return sync.run()


class _Sync:
    def __init__(
        self, archive: OpenedArchive, name: str, options: SyncOptions, lease: _Lease, on_progress: OnProgress
    ) -> None:
        self._archive = archive
        self._options = options
        self._lease = lease
        self._tally = Tally()
        self._found = 0

        def progress(stage: str, done: int, total: int | None) -> None:
            lease.renew()
            on_progress(stage, done, total)

        self._on_progress = progress
        self._intake = Intake(
            archive, connection_of(archive, name), self._tally, purpose="sync", on_progress=progress
        )

    def run(self) -> SyncReport:
        name, ledger = self._intake.name, self._archive.index.pacs_studies
        self._require_hours()
        self._intake.recover()
        try:
            self._patiently(self._discover)
            self._intake.total = self._tally.asked + ledger.waiting(name)
            self._bring()
        except OutsideHoursError:
            pass
        return self._tally.sync_report(self._found, ledger.waiting(name))

    def _bring(self) -> None:
        name, ledger = self._intake.name, self._archive.index.pacs_studies
        due = Work(
            lambda: ledger.due(name, _AT_ONCE),
            self._intake.bring,
            self._options.patience,
            self._require_hours,
        )
        work(self._archive, self._intake, due)

    def _require_hours(self) -> None:
        hours = self._intake.connection.hours
        wait = 0.0 if hours is None else seconds_until(hours, local_now())
        if hours is not None and wait:
            raise OutsideHoursError(self._intake.name, hours, wait)

    def _patiently(self, do: Callable[[], None]) -> None:
        patience = self._options.patience
        for number in range(patience.tries + 1):
            try:
                do()
                return
            except PacsError as error:
                is_last = number == patience.tries or isinstance(error, OutsideHoursError)
                if is_last or not error.may_pass:
                    raise
            self._on_progress("looking", self._found, None)
            patience.sleep(2.0**number)

    def _discover(self) -> None:
        self._found = 0
        name = self._intake.name
        intake = self._intake
        wanted = Discovery(
            name,
            self._options.query,
            intake.names_found,
            self._note_found,
            require_key=intake.require_key,
        )
        asks_for_all = self._options.query == PacsQuery() and self._options.since is None
        spend = pace_of(self._archive, self._intake, self._require_hours)
        with open_pacs(self._archive, name, spend) as client:
            if self._intake.connection.changes_url is not None and asks_for_all:
                from medsiglip.ingest.pacs.changes import changes

                since = int(self._progress().get("change", 0))
                found = changes(self._intake.connection, since, spend)
                for number, count in discover_by_changes(self._archive, found, client, wanted):
                    self._found += count
                    self._store({"change": number})
                return
            today, question = date.today(), self._digest()
            former = Reach.read(self._progress(), question)
            begin, reach = next_reach(former, question, self._options.since, today)
            self._found = discover_by_date(self._archive, client, wanted, begin)
        self._store(reach.to_json())

    def _digest(self) -> str:
        """What the sync looks for, so that another question begins anew: it may name a person."""
        asked = {name: getattr(self._options.query, name) for name in PacsQuery.__dataclass_fields__}
        return self._intake.digest(json.dumps(asked, sort_keys=True))

    def _progress(self) -> dict[str, Any]:
        return dict(self._archive.index.sync_leases.progress(self._intake.name))

    def _store(self, progress: dict[str, Any]) -> None:
        self._lease.store({**self._progress(), **progress})

    def _note_found(self, count: int) -> None:
        self._on_progress("looking", self._found + count, None)


class _Lease:
    """The right to sync a connection, of one run."""

    def __init__(self, archive: OpenedArchive, name: str) -> None:
        self._leases = archive.index.sync_leases
        self._name = name
        self._host = socket.gethostname()[:64]
        self._holder = f"{self._host}:{token_hex(8)}"
        self._renewed = time.monotonic()

    def begin(self) -> None:
        """No other sync of the connection is at work on this machine."""
        self._take(f"{self._host}:")

    def renew(self) -> None:
        if time.monotonic() - self._renewed >= _RENEW_SECONDS:
            self._take()
            self._renewed = time.monotonic()

    def _take(self, ended: str | None = None) -> None:
        if not self._leases.take(self._name, self._holder, ended):
            raise _busy(self._name)

    def store(self, progress: dict[str, Any]) -> None:
        self._leases.set_progress(self._name, self._holder, progress)

    def give_back(self) -> None:
        self._leases.give_back(self._name, self._holder)


def _busy(name: str) -> PacsError:
    message = f"Another sync of the PACS {name} is at work: wait until it has ended."
    return PacsError("pacs-busy", message, may_pass=True)


@contextmanager
def _leased(archive: OpenedArchive, name: str) -> Iterator[_Lease]:
    """Sync a connection alone. A lock says whether a former holder on this machine has ended: nobody waits
    for the lease of one that was killed, nor takes that of one which says nothing for long.
    """
    import fcntl

    archive.index.pacs_connections.get(name)
    place = archive.home / FOLDER / f"{name.encode().hex()[:100]}.sync"
    place.parent.mkdir(0o700, parents=True, exist_ok=True)
    with place.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(name) from None
        lease = _Lease(archive, name)
        lease.begin()
        try:
            yield lease
        finally:
            lease.give_back()
