"""Removing deleted studies from what PACS were asked for, and from what they asked this home to commit to."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, insert, select

from medsiglip.index.catalogue.database import now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.pacs.schema import pacs_connections, pacs_studies, storage_commitments

_NOTHING = {"status": "forgotten", "expected": None, "received": 0, "attempts": 0, "failure": None}
_TIMES = ("not_before", "found_at", "changed_at")


def forget_pacs_studies(connection: Connection, study_instance_uids: Collection[str]) -> int:
    """Delete the rows of a study, by any of its UIDs; returns how many there were."""
    theirs = one_of(pacs_studies.c.study_instance_uid, list(study_instance_uids))
    return connection.execute(delete(pacs_studies).where(theirs)).rowcount


def keep_away_from_pacs(connection: Connection, name: str) -> None:
    """Keep so much of a study, or of a patient, that no sync brings it from any PACS: `name`, with each."""
    connection.execute(delete(pacs_studies).where(pacs_studies.c.study_instance_uid == name))
    pacs = connection.execute(select(pacs_connections.c.name)).scalars().all()
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
