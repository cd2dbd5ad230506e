"""Saved views when cases are deleted."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_plus

from sqlalchemy import Connection, and_, bindparam, delete, select

from medsiglip.index.catalogue.browsing.schema import saved_views

_WORD = re.compile(r"[0-9A-Za-z._-]+", re.ASCII)
_ROWS = 1000


def forget_in_views(connection: Connection, gone: Collection[str]) -> None:
    """Delete the views whose queries or names hold one of these keys of patients and UIDs of studies, series
    and instances, which are being deleted.
    """
    gone = frozenset(gone)
    owner, name, query = saved_views.c.owner, saved_views.c.name, saved_views.c.query
    asked = select(owner, name, query).execution_options(yield_per=_ROWS)
    naming = [
        {"its_owner": row.owner, "its_name": row.name}
        for row in connection.execute(asked)
        if not gone.isdisjoint(_WORD.findall(f"{row.name} {unquote_plus(row.query)}"))
    ]
    if naming:
        this = and_(owner == bindparam("its_owner"), name == bindparam("its_name"))
        connection.execute(delete(saved_views).where(this), naming)
