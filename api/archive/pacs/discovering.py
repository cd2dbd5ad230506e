"""What a PACS holds is compared with the ledger, so that what is new or has grown waits to be brought in.

By Orthanc's list of changes, which says all that has happened since a number; else by questions for study
dates. Studies come late, and grow: a later sync asks again for those of the last days before the one before,
and once a week for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from medsiglip.ingest.pacs.records import PacsQuery
from medsiglip.ingest.privacy.deidentify import parse_date

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.study_ledger import StudyNames
    from medsiglip.ingest.pacs.client import PacsClient
    from medsiglip.ingest.pacs.records import PacsStudy

OVERLAP = timedelta(days=7)
"""How long before the last sync a study may be dated that this one still looks for."""
WHOLE = timedelta(days=7)
"""How long after all was compared all is compared again, for old studies come late too."""
FIRST_DAYS = 32
MOST_DAYS = 3650
FEW, MANY = 50, 1000
"""Studies of one question, below which the next one is about more days, and above which about fewer."""
_NO_LIMIT = 10_000_000
_NOTED_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a sync looks for, and where it is noted. `names` are those of a study in the ledger, `on_found`
    gets how many were found, `require_key` raises before names are noted that nothing is known by any more.
    """

    connection: str
    query: PacsQuery
    names: Callable[[PacsStudy], StudyNames]
    on_found: Callable[[int], None]
    clock: Callable[[], date] = date.today
    require_key: Callable[[], None] = lambda: None


def discover_by_date(
    archive: OpenedArchive, client: PacsClient, wanted: Discovery, since: date | None
) -> int:
    """Note the studies from a day on, or all, also those without a date; returns how many the PACS has
    listed.
    """
    if since is None:
        return _note(archive, wanted, client.studies(replace(wanted.query, limit=_NO_LIMIT)))
    count, begin, days = 0, since, FIRST_DAYS
    last = wanted.clock()
    while begin <= last:
        end = min(begin + timedelta(days=days - 1), last)
        # The last question has no end, for clocks differ, and studies are dated by them.
        asked = replace(
            wanted.query,
            limit=_NO_LIMIT,
            from_date=f"{begin:%Y%m%d}",
            to_date=None if end == last else f"{end:%Y%m%d}",
        )
        found = _note(archive, wanted, client.studies(asked))
        count += found
        begin = end + timedelta(days=1)
        days = min(days * 2, MOST_DAYS) if found < FEW else max(days // 2, 1) if found > MANY else days
    return count


def discover_by_changes(
    archive: OpenedArchive, changes: Iterable[tuple[int, str]], client: PacsClient, wanted: Discovery
) -> Iterator[tuple[int, int]]:
    """Note the studies that a list of changes speaks of, with the number of instances that the PACS says of
    each now; gives, once for a while, the number to go on from and how many were found since.
    """
    seen: set[str] = set()
    number, count = None, 0
    for number, uid in changes:
        if uid not in seen:
            seen.add(uid)
            query = PacsQuery(study_instance_uid=uid, limit=1)
            found = [one for one in client.studies(query) if one.study_instance_uid == uid]
            count += _note(archive, wanted, found)
        if len(seen) >= _NOTED_TOGETHER:
            yield number, count
            seen, count = set(), 0
    if number is not None:
        yield number, count


def _note(archive: OpenedArchive, wanted: Discovery, studies: Iterable[PacsStudy]) -> int:
    count, part = 0, []
    for one in studies:
        part.append((wanted.names(one), one.instances))
        count += 1
        if len(part) >= _NOTED_TOGETHER:
            wanted.require_key()
            archive.index.pacs_studies.discover(wanted.connection, part)
            part = []
            wanted.on_found(count)
    if part:
        wanted.require_key()
    archive.index.pacs_studies.discover(wanted.connection, part)
    wanted.on_found(count)
    return count


@dataclass(frozen=True, slots=True)
class Reach:
    """How far syncs by date have come: all that is dated from `begin` on (None: all) was compared on the day
    `whole`, and what is new on the day `through`. `question` says what was looked for.
    """

    question: str
    begin: date | None
    whole: date
    through: date

    @classmethod
    def read(cls, stored: Mapping[str, Any], question: str) -> Reach | None:
        """What an earlier sync has stored, if that looked for the same."""
        days = [parse_date(str(stored.get(name) or "")) for name in ("begin", "whole", "through")]
        begin, whole, through = days
        if stored.get("question") != question or whole is None or through is None:
            return None
        return cls(question, begin, whole, through)

    def to_json(self) -> dict[str, str | None]:
        """What the next sync reads."""
        begin = None if self.begin is None else self.begin.isoformat()
        days = {"whole": self.whole.isoformat(), "through": self.through.isoformat()}
        return {"question": self.question, "begin": begin, **days}

    def is_whole_due(self, today: date) -> bool:
        """Whether all is to be compared again."""
        return not timedelta(0) <= today - self.whole < WHOLE


def next_reach(
    former: Reach | None, question: str, since: date | None, today: date
) -> tuple[date | None, Reach]:
    """From which study date on a sync looks, None for all, and how far it will have come."""
    if since is not None or former is None:
        return since, Reach(question, since, today, today)
    if former.is_whole_due(today):
        return former.begin, Reach(question, former.begin, today, today)
    return former.through - OVERLAP, Reach(question, former.begin, former.whole, today)
