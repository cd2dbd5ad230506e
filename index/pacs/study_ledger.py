"""The studies of each PACS that were asked for: what waits, what is here, and where studies came from.

A study has one row for each PACS. It is known there by one of three names, and by one at a time: by the UID
that the PACS gives it while it is to be fetched, by the UID of this home once it is here, and by a keyed hash
once it was forgotten. A home that keeps UIDs as they are has the same for the first two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_studies
from medsiglip.index.catalogue.rows import chunks, record_of
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.newest_first import Place

LedgerStatus = Literal["waiting", "here", "incomplete", "failed", "forgotten"]
STATUSES: tuple[LedgerStatus, ...] = get_args(LedgerStatus)
MOST_ATTEMPTS = 8
"""How often a study is fetched before a person has to ask for it again."""
FIRST_WAIT_SECONDS = 60.0
"""Before the second attempt; each further one waits twice as long."""
LONGEST_WAIT_SECONDS = 6 * 3600.0
ANNOUNCED_SECONDS = 8 * 24 * 3600.0
"""How long a study that its PACS announced is left to the job that first looks whose it is."""
_INTERRUPTED = (
    "The last attempt to fetch this study was ended with its process: see why that ended, then let it wait "
    "again with `pacs retry {name}`."
)
_ROWS = 500
_row = pacs_studies.c


@dataclass(frozen=True, slots=True)
class StudyNames:
    """A study by the UID that its PACS gives it, by that of this home, and by what is kept of it once it was
    forgotten; `persons` are what is kept of its patient, if that was forgotten as a whole.
    """

    asked: str
    own: str
    forgotten: str
    persons: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """The names, each once."""
        return tuple(dict.fromkeys((self.asked, self.own, self.forgotten)))


@dataclass(frozen=True, slots=True)
class LedgerStudy:
    """A study of a PACS as the home has asked for it. `failure` has `code` and `message`."""

    connection: str
    study_instance_uid: str
    status: LedgerStatus
    expected: int | None
    received: int
    attempts: int
    not_before: datetime
    failure: Mapping[str, Any] | None
    found_at: datetime
    changed_at: datetime

    @property
    def place(self) -> Place:
        """Where the study stands in pages of the ledger."""
        return Place(self.changed_at, self.study_instance_uid)


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a study: `status` is `here`, `incomplete` or `failed`; `may_pass` says that a failed one
    is to be fetched again by itself. `expected` is how many instances the PACS has listed, `reported` what
    the ledger expected when the attempt began: if that has changed meanwhile, the study waits again.
    """

    names: StudyNames
    status: LedgerStatus
    expected: int | None
    received: int
    reported: int | None = None
    failure: Mapping[str, str] | None = None
    may_pass: bool = False


class StudyLedger:
    """The ledger of one catalogue. Every method is one transaction; those that write raise `CatalogError`
    `unknown-pacs` for a connection that is not there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def discover(self, connection: str, found: Sequence[tuple[StudyNames, int | None]]) -> int:
        """Note studies that a PACS says it holds, with the number of their instances. Those that are new, and
        those of which it has said another number before, wait to be fetched; those that were forgotten, at
        whichever PACS, stay away. Returns how many wait because of this.
        """
        changed = 0
        for part in chunks(found, _ROWS):
            with self._database.write_service_tables() as sql:
                _lock(sql, connection)
                known, now = _known(sql, connection, part), now_of(sql)
                rows = [(names, count, _of(known, names)) for names, count in part]
                away = _forgotten(sql, part)
                due = [
                    one
                    for one in rows
                    if _is_to_fetch(*one[1:], now) and not _stays_away(one[0], one[2], away)
                ]
                _put_waiting(sql, connection, due, now)
                changed += len(due)
        return changed

    def ask(self, connection: str, studies: Sequence[StudyNames]) -> None:
        """Let studies wait that somebody asked for, whatever became of them before."""
        for part in chunks(studies, _ROWS):
            with self._database.write_service_tables() as sql:
                _lock(sql, connection)
                asked, now = [(names, None) for names in part], now_of(sql)
                known = _known(sql, connection, asked)
                rows = [(names, _expected(_of(known, names)), _of(known, names)) for names in part]
                _put_waiting(sql, connection, rows, now, asked_at=now)

    def announced(self, connection: str, names: StudyNames) -> bool:
        """Let a study wait that its PACS announces, without anybody who asks for it: False where it was
        forgotten, and nothing is noted. A new one is not due before `is_away` has said whose it is.
        """
        with self._database.write_service_tables() as sql:
            _lock(sql, connection)
            former, now = _of(_known(sql, connection, [(names, None)]), names), now_of(sql)
            away = _forgotten(sql, [(names, None)]).intersection([names.forgotten])
            if _stays_away(names, former, away):
                return False
            later = now + timedelta(seconds=ANNOUNCED_SECONDS)
            if former is not None:
                later = former.not_before if former.status == "waiting" else now
            _put_waiting(sql, connection, [(names, _expected(former), former)], now, later)
            return True

    def is_away(self, connection: str, names: StudyNames) -> bool:
        """Whether a study that was announced, and nobody has asked for since, is of a patient who was
        forgotten as a whole: it is forgotten then.
        """
        with self._database.write_service_tables() as sql:
            _lock(sql, connection)
            former, now = _of(_known(sql, connection, [(names, None)]), names), now_of(sql)
            away = _forgotten(sql, [(names, None)])
            if former is None or not _is_to_fetch(None, former, now) or away.isdisjoint(names.persons):
                return False
            nothing = {"status": "forgotten", "expected": None, "received": 0, "attempts": 0, "failure": None}
            values = {**nothing, "study_instance_uid": names.forgotten, **_times(now)}
            this = _this(connection, former.study_instance_uid)
            sql.execute(update(pacs_studies).where(this).values(**values))
            return True

    def due(self, connection: str, limit: int = 100) -> list[LedgerStudy]:
        """The studies that are to be fetched now, those first that have waited longest."""
        with self._database.read() as sql:
            is_due = and_(_row.connection == connection, _to_fetch(), _is_time(now_of(sql)))
            statement = select(pacs_studies).where(is_due).order_by(_row.not_before, _row.study_instance_uid)
            return [record_of(LedgerStudy, row) for row in sql.execute(statement.limit(limit))]

    def waiting(self, connection: str) -> int:
        """How many studies are to be fetched, now or later."""
        counted = select(func.count()).select_from(pacs_studies)
        with self._database.read() as sql:
            return int(sql.execute(counted.where(_row.connection == connection, _to_fetch())).scalar_one())

    def begin(self, connection: str, study_instance_uid: str) -> bool:
        """Count an attempt at a study; False where it is not to be fetched any more."""
        this = and_(_this(connection, study_instance_uid), _row.status.in_(("waiting", "incomplete")))
        with self._database.write_service_tables() as sql:
            later = now_of(sql) + timedelta(seconds=FIRST_WAIT_SECONDS)
            counted = update(pacs_studies).where(this).values(attempts=_row.attempts + 1, not_before=later)
            return sql.execute(counted).rowcount == 1

    def resume(self, connection: str, study_instance_uids: Sequence[str]) -> None:
        """Let studies be fetched at once whose attempt was ended with its process. Those of which it was the
        last attempt have failed: perhaps they end every process.
        """
        these = and_(_row.connection == connection, one_of(_row.study_instance_uid, study_instance_uids))
        with self._database.write_service_tables() as sql:
            now = now_of(sql)
            sql.execute(update(pacs_studies).where(these, _to_fetch_at_all()).values(not_before=now))
            failure = {"code": "pacs-interrupted", "message": _INTERRUPTED.format(name=connection)}
            failed = {"status": "failed", "failure": failure, "changed_at": now}
            is_over = and_(_row.status == "waiting", _row.attempts >= MOST_ATTEMPTS)
            sql.execute(update(pacs_studies).where(these, is_over).values(**failed))

    def hand_back(self, connection: str, study_instance_uids: Sequence[str]) -> None:
        """Take attempts back that ended for a reason outside of the studies: they are due at once."""
        these = and_(_row.connection == connection, one_of(_row.study_instance_uid, study_instance_uids))
        with self._database.write_service_tables() as sql:
            values = {"attempts": _row.attempts - 1, "not_before": now_of(sql)}
            sql.execute(
                update(pacs_studies).where(these, _to_fetch_at_all(), _row.attempts > 0).values(**values)
            )

    def settle(self, connection: str, outcomes: Sequence[Settled]) -> None:
        """Store what became of studies; those that were forgotten meanwhile stay forgotten."""
        with self._database.write_service_tables() as sql:
            _lock(sql, connection)
            known, now = _known(sql, connection, [(one.names, None) for one in outcomes]), now_of(sql)
            for one in outcomes:
                former = _of(known, one.names)
                if former is not None and former.status != "forgotten":
                    _settle(sql, former, one, now)

    def find(self, connection: str, names: StudyNames) -> LedgerStudy | None:
        """What the ledger has of a study."""
        with self._database.read() as sql:
            return _of(_known(sql, connection, [(names, None)]), names)

    def states(self, connection: str, studies: Sequence[StudyNames]) -> dict[str, LedgerStudy]:
        """What the ledger has of studies, by the UID of the PACS."""
        states: dict[str, LedgerStudy] = {}
        with self._database.read() as sql:
            for part in chunks(studies, _ROWS):
                known = _known(sql, connection, [(names, None) for names in part])
                found = ((names.asked, _of(known, names)) for names in part)
                states |= {uid: row for uid, row in found if row is not None}
        return states

    def page(
        self,
        connection: str,
        *,
        status: LedgerStatus | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> list[LedgerStudy]:
        """Studies of a PACS, the last changed first, without forgotten ones where these are not asked for."""
        wanted = [_row.connection == connection]
        wanted.append(_row.status != "forgotten" if status is None else _row.status == status)
        moment, uid = _row.changed_at, _row.study_instance_uid
        if after is not None:
            wanted.append(or_(moment < after.created_at, and_(moment == after.created_at, uid > after.id)))
        statement = select(pacs_studies).where(*wanted).order_by(moment.desc(), uid).limit(limit)
        with self._database.read() as sql:
            return [record_of(LedgerStudy, row) for row in sql.execute(statement)]

    def retry(self, connection: str) -> int:
        """Let all studies that failed, or came in part only, be fetched again; returns how many."""
        with self._database.write_service_tables() as sql:
            _lock(sql, connection)
            over = or_(_row.status.in_(("failed", "incomplete")), _row.attempts >= MOST_ATTEMPTS)
            these = and_(_row.connection == connection, over)
            now = now_of(sql)
            values = {"status": "waiting", "attempts": 0, "not_before": now, "changed_at": now}
            return sql.execute(update(pacs_studies).where(these).values(**values)).rowcount

    def came_from(self, study_instance_uid: str) -> list[str]:
        """The connections from which a study, by its UID in this home, was brought in, wholly or in part; the
        one that brought it last comes first.
        """
        brought = _row.status.in_(("here", "incomplete")) | (_row.received > 0)
        there = pacs_connections.c.removed_at.is_(None)
        statement = select(_row.connection).join(pacs_connections).where(there)
        statement = statement.where(_row.study_instance_uid == study_instance_uid, brought)
        with self._database.read() as sql:
            return list(sql.execute(statement.order_by(_row.changed_at.desc(), _row.connection)).scalars())


_Known = Mapping[str, LedgerStudy]


def _times(now: datetime) -> dict[str, datetime]:
    return dict.fromkeys(("not_before", "found_at", "changed_at"), now)


def _this(connection: str, study_instance_uid: str) -> ColumnElement[bool]:
    return and_(_row.connection == connection, _row.study_instance_uid == study_instance_uid)


def _to_fetch_at_all() -> ColumnElement[bool]:
    return _row.status.in_(("waiting", "incomplete"))


def _to_fetch() -> ColumnElement[bool]:
    return and_(_to_fetch_at_all(), _row.attempts < MOST_ATTEMPTS)


def _is_time(now: datetime) -> ColumnElement[bool]:
    # What lies further ahead than any wait was written before a clock was set back.
    return or_(_row.not_before <= now, _row.not_before > now + 2 * timedelta(seconds=ANNOUNCED_SECONDS))


def _lock(sql: Connection, connection: str) -> None:
    """Let one transaction at a time write the ledger of a connection, which must be there."""
    this = and_(pacs_connections.c.name == connection, pacs_connections.c.removed_at.is_(None))
    if sql.execute(select(pacs_connections.c.name).where(this).with_for_update()).first() is None:
        raise CatalogError(
            "unknown-pacs", f"There is no PACS {connection} in this home: `pacs list` shows them."
        )


def _known(sql: Connection, connection: str, studies: Sequence[tuple[StudyNames, Any]]) -> _Known:
    wanted = sorted({name for names, _ in studies for name in names.all})
    these = and_(_row.connection == connection, one_of(_row.study_instance_uid, wanted))
    rows = (record_of(LedgerStudy, row) for row in sql.execute(select(pacs_studies).where(these)))
    return {row.study_instance_uid: row for row in rows}


def _forgotten(sql: Connection, studies: Sequence[tuple[StudyNames, Any]]) -> frozenset[str]:
    """What is kept of those of the studies, and of their patients, that were forgotten, at any PACS."""
    wanted = sorted({name for names, _ in studies for name in (names.forgotten, *names.persons)})
    these = and_(one_of(_row.study_instance_uid, wanted), _row.status == "forgotten")
    return frozenset(sql.execute(select(_row.study_instance_uid).where(these)).scalars())


def _stays_away(names: StudyNames, former: LedgerStudy | None, away: frozenset[str]) -> bool:
    """Whether a study was forgotten, or its patient, and nobody has asked for it since."""
    if former is not None:
        return former.status == "forgotten"
    return not away.isdisjoint((names.forgotten, *names.persons))


def _of(known: _Known, names: StudyNames) -> LedgerStudy | None:
    return next((known[name] for name in names.all if name in known), None)


def _expected(former: LedgerStudy | None) -> int | None:
    return None if former is None else former.expected


def _is_to_fetch(count: int | None, former: LedgerStudy | None, now: datetime) -> bool:
    if former is None or (former.status == "waiting" and not former.attempts and former.not_before > now):
        return True  # it is new, or was announced
    if former.status == "forgotten" or count is None:
        return False
    return former.expected is not None and former.expected != count


def _put_waiting(
    sql: Connection,
    connection: str,
    studies: Sequence[tuple[StudyNames, int | None, LedgerStudy | None]],
    now: datetime,
    not_before: datetime | None = None,
    asked_at: datetime | None = None,
) -> None:
    """Replace the rows of studies by such that wait; `asked_at` where somebody has asked for them."""
    former = [row.study_instance_uid for _, _, row in studies if row is not None]
    sql.execute(
        delete(pacs_studies).where(
            and_(_row.connection == connection, one_of(_row.study_instance_uid, former))
        )
    )
    rows = {
        names.asked: {
            "connection": connection,
            "study_instance_uid": names.asked,
            "status": "waiting",
            "expected": count,
            "received": 0 if row is None or row.status == "forgotten" else row.received,
            "attempts": 0,
            "failure": None,
            **_times(now),
            "not_before": not_before or now,
            "found_at": now if row is None else asked_at or row.found_at,
        }
        for names, count, row in studies
    }
    if rows:
        sql.execute(insert(pacs_studies), list(rows.values()))


def _settle(sql: Connection, former: LedgerStudy, outcome: Settled, now: datetime) -> None:
    if former.status == "waiting" and former.expected != outcome.reported:
        return  # it has grown while it was fetched
    if former.status == "here" and outcome.status != "here":
        return  # another process has brought it meanwhile
    is_given_up = outcome.status == "failed" and not outcome.may_pass
    waits_on = outcome.status == "failed" and not is_given_up and former.attempts < MOST_ATTEMPTS
    wait = min(FIRST_WAIT_SECONDS * 2.0 ** max(former.attempts - 1, 0), LONGEST_WAIT_SECONDS)
    # What the PACS said of the whole study is compared with what it says of it later.
    reported = former.expected if former.expected is not None else outcome.expected
    values = {
        "study_instance_uid": outcome.names.own if outcome.status == "here" else outcome.names.asked,
        "status": "waiting" if waits_on else outcome.status,
        "expected": reported,
        "received": max(outcome.received, former.received),
        "attempts": 0 if outcome.status == "here" else former.attempts,
        "not_before": now + timedelta(seconds=wait),
        "failure": None if outcome.failure is None else dict(outcome.failure),
        "changed_at": now,
    }
    this = _this(former.connection, former.study_instance_uid)
    sql.execute(update(pacs_studies).where(this).values(**values))
