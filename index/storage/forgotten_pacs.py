"""Removing deleted studies from what PACS were asked for, and from what they asked this home to commit to."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, delete, insert, select

from medsiglip.index.catalogue.database import now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_studies, storage_commitments

_NOTHING = {"status": "forgotten", "expected": None, "received": 0, "attempts": 0, "failure": None}
_TIMES = ("not_before", "found_at", "changed_at")


def forget_pacs_studies(
    connection: Connection, study_instance_uids: Collection[str], name: str | None
) -> int:
    """Let rows of a study, by any of its UIDs, say no more than that it was forgotten. `name` is what is kept
    of it; None keeps nothing. Returns how many rows there were.
    """
    uid = pacs_studies.c.study_instance_uid
    theirs = one_of(uid, list(study_instance_uids))
    asked = select(pacs_studies.c.connection).where(theirs).distinct()
    pacs = list(connection.execute(asked).scalars())
    count = connection.execute(delete(pacs_studies).where(theirs)).rowcount
    if name is not None and pacs:
        kept = {**_NOTHING, "study_instance_uid": name, **dict.fromkeys(_TIMES, now_of(connection))}
        former = and_(uid == name, one_of(pacs_studies.c.connection, pacs))
        connection.execute(delete(pacs_studies).where(former))
        connection.execute(insert(pacs_studies), [{**kept, "connection": one} for one in pacs])
    return count


def forget_pacs_person(connection: Connection, name: str) -> None:
    """Keep of a patient so much that no sync brings a study of theirs: `name`, with each PACS."""
    uid = pacs_studies.c.study_instance_uid
    there = select(pacs_studies.c.connection).where(uid == name)
    missing = select(pacs_connections.c.name).where(pacs_connections.c.name.not_in(there))
    pacs = connection.execute(missing).scalars().all()
    kept = {**_NOTHING, "study_instance_uid": name, **dict.fromkeys(_TIMES, now_of(connection))}
    if pacs:
        connection.execute(insert(pacs_studies), [{**kept, "connection": one} for one in pacs])


def forget_commitments(connection: Connection, sop_instance_uids: Collection[str]) -> None:
    """Delete the requests that name one of these instances."""
    forgotten = set(sop_instance_uids)
    rows = connection.execute(select(storage_commitments.c.id, storage_commitments.c.instances))
    named = [row.id for row in rows if any(pair[1] in forgotten for pair in row.instances)]
    if named:
        connection.execute(delete(storage_commitments).where(one_of(storage_commitments.c.id, named)))
