"""Removing deleted studies from what PACS were asked for, and from what they asked this home to commit to."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, insert, select

from medsiglip.index.catalogue.database import now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_studies, storage_commitments

_NOTHING = {"status": "forgotten", "expected": None, "received": 0, "attempts": 0, "failure": None}
_TIMES = ("not_before", "found_at", "changed_at")


def forget_pacs_studies(connection: Connection, study_instance_uids: Collection[str]) -> set[str]:
    """Delete the rows of studies, by any of their UIDs; returns those UIDs by which there were rows."""
    uid = pacs_studies.c.study_instance_uid
    theirs = one_of(uid, list(study_instance_uids))
    found = set(connection.execute(select(uid).where(theirs).distinct()).scalars())
    connection.execute(delete(pacs_studies).where(theirs))
    return found


def keep_away_from_pacs(connection: Connection, names: Sequence[str]) -> None:
    """Keep so much of studies, or of a patient, that no sync brings them from any PACS: their `names`, with
    each.
    """
    pacs = connection.execute(select(pacs_connections.c.name)).scalars().all()
    if not pacs or not names:
        return
    connection.execute(delete(pacs_studies).where(one_of(pacs_studies.c.study_instance_uid, list(names))))
    kept = {**_NOTHING, **dict.fromkeys(_TIMES, now_of(connection))}
    rows = [{**kept, "connection": one, "study_instance_uid": name} for name in names for one in pacs]
    connection.execute(insert(pacs_studies), rows)


def forget_commitments(connection: Connection, sop_instance_uids: Collection[str]) -> None:
    """Delete the requests that name one of these instances."""
    forgotten = set(sop_instance_uids)
    rows = connection.execute(select(storage_commitments.c.id, storage_commitments.c.instances))
    named = [row.id for row in rows if any(pair[1] in forgotten for pair in row.instances)]
    if named:
        connection.execute(delete(storage_commitments).where(one_of(storage_commitments.c.id, named)))
