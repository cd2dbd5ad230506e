"""`CaseBrowser`: pages of cases and their facets, of one catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select

from medsiglip.index.browsing.browsing_records import CasePage, CaseRecord, Facets
from medsiglip.index.browsing.case_facts import case_records
from medsiglip.index.browsing.case_pages import case_page, study_uids
from medsiglip.index.browsing.facets import FacetCounter
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import chunks
from medsiglip.index.catalogue.schema import studies

_AT_ONCE = 200


class CaseBrowser:
    """Questions about the cases of one catalogue; each may raise `CatalogError` `bad-filter`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._facets = FacetCounter()

    def page(
        self,
        where: Sequence[str] = (),
        *,
        sort: str = "-added_at",
        limit: int = 100,
        cursor: str | None = None,
    ) -> CasePage:
        """A page of the cases that fit, see `case_page`; raises `CatalogError` `bad-sort`, `bad-cursor`."""
        with self._database.read() as connection:
            return case_page(connection, where, sort, limit, cursor)

    def facets(self, where: Sequence[str] = ()) -> Facets:
        """How many of the cases that fit have each value of each facet."""
        with self._database.read() as connection:
            return self._facets.facets(connection, where)

    def without_each(self, where: Sequence[str]) -> list[int]:
        """How many cases would fit without each of the filters, in their order."""
        with self._database.read() as connection:
            return self._facets.without_each(connection, where)

    def uids(self, where: Sequence[str] = ()) -> list[str]:
        """The UIDs of all cases that fit, in the order in which they came."""
        with self._database.read() as connection:
            return study_uids(connection, where)

    def records(self, study_instance_uids: Sequence[str]) -> Iterator[CaseRecord]:
        """The cases of these UIDs, in order and part by part; those that are gone are left out."""
        for chunk in chunks(study_instance_uids, _AT_ONCE):
            with self._database.read() as connection:
                columns = (studies.c.study_instance_uid, studies.c.id)
                found = select(*columns).where(one_of(studies.c.study_instance_uid, chunk))
                rows = {row[0]: row[1] for row in connection.execute(found)}
                records = case_records(connection, [rows[uid] for uid in chunk if uid in rows])
            yield from records
