"""What is not here of the studies that were asked for, and when studies and patients were forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from sqlalchemy import and_, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_studies

_ROWS = 500
_row = pacs_studies.c


class ForgottenNames:
    """The ledgers of all PACS of one catalogue, as what is forgotten needs them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def not_here(self) -> Iterator[str]:
        """The UIDs of studies that are not here whole, as their PACS gives them, of every PACS."""
        uid, after = _row.study_instance_uid, ""
        while True:
            these = and_(_row.status.in_(("waiting", "incomplete", "failed")), uid > after)
            with self._database.read() as sql:
                statement = select(uid).distinct().where(these).order_by(uid).limit(_ROWS)
                found = list(sql.execute(statement).scalars())
            yield from found
            if len(found) < _ROWS:
                return
            after = found[-1]

    def forgotten_at(self, names: Collection[str]) -> dict[str, datetime]:
        """When studies or patients were forgotten, by what is kept of them, of those of `names` that were."""
        these = and_(one_of(_row.study_instance_uid, sorted(names)), _row.status == "forgotten")
        last = select(_row.study_instance_uid, func.max(_row.changed_at)).where(these)
        with self._database.read() as sql:
            found = sql.execute(last.group_by(_row.study_instance_uid))
            return {row[0]: row[1] for row in found}
