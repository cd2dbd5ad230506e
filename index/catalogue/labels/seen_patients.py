"""Patients whom a probe has seen: it was trained on them, or on one who shares a picture with them. Their
labels it has learned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import chain

from sqlalchemy import Connection, select

from medsiglip.index.catalogue.labels.patient_groups import PICTURES, groups_of_patients
from medsiglip.index.catalogue.labels.repeated_pictures import blank_hashes
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import instances, patients
from medsiglip.index.records import ProbeRecord

# Up to this many patients are followed by their own pictures; for more, the whole archive is grouped.
_FEW = 100


def seen_patients(
    connection: Connection, keys: Iterable[str], probes: Iterable[ProbeRecord]
) -> dict[str, frozenset[str]]:
    """Those of the patients `keys` whom each probe has seen, by the probe's name.

    Patients who share a picture, directly or through others, are one, as in
    `medsiglip.index.catalogue.labels.patient_groups`.
    """
    asked = frozenset(keys)
    trained = {probe.name: frozenset(probe.summary.get("patients", ())) for probe in probes}
    told = frozenset(chain.from_iterable(trained.values()))
    if not asked or not told:
        return dict.fromkeys(trained, frozenset())
    groups = _groups_around(connection, asked) if len(asked) <= _FEW else None
    if groups is None:
        groups = groups_of_patients(connection, asked | told)
    found = {}
    for name, theirs in trained.items():
        seen = {groups[key] for key in theirs if key in groups}
        found[name] = frozenset(key for key in asked if groups[key] in seen)
    return found


def holders_of_pictures(connection: Connection, pixel_hashes: Collection[str]) -> dict[str, set[str]]:
    """The keys of the patients who have each of these pictures, by pixel hash; none for nearly blank ones."""
    found: dict[str, set[str]] = {pixel_hash: set() for pixel_hash in pixel_hashes}
    blank = blank_hashes(connection, one_of(instances.c.pixel_hash, sorted(found)))
    for pixel_hash, key in _holders_of(connection, found.keys() - blank):
        found[pixel_hash].add(key)
    return found


def _groups_around(connection: Connection, keys: Collection[str]) -> dict[str, str] | None:
    """A name for the group of each of these patients, and of all others in it, by patient key; None where
    they are many.
    """
    reached: set[str] = set()
    holders: dict[str, set[str]] = defaultdict(set)
    following = set(keys)
    while following:
        reached |= following
        if len(reached) > _FEW:
            return None
        new = _pictures_of(connection, following) - holders.keys()
        following = set()
        for pixel_hash, key in _holders_of(connection, new):
            holders[pixel_hash].add(key)
            following.add(key)
        following -= reached
    members = {key: {key} for key in reached}
    for together in holders.values():
        if len(together) > 1:
            united = set().union(*(members[key] for key in together))
            members.update(dict.fromkeys(united, united))
    return {key: min(theirs) for key, theirs in members.items()}


def _pictures_of(connection: Connection, keys: Collection[str]) -> set[str]:
    """The pixel hashes of the patients' instances, without nearly blank pictures."""
    statement = select(instances.c.pixel_hash).select_from(PICTURES)
    theirs = statement.where(one_of(patients.c.patient_key, sorted(keys)))
    found = set(connection.execute(theirs.distinct()).scalars())
    return found - blank_hashes(connection, one_of(instances.c.pixel_hash, sorted(found)))


def _holders_of(connection: Connection, hashes: Collection[str]) -> list[tuple[str, str]]:
    """The patients who have these pictures, each with the pixel hash."""
    statement = select(instances.c.pixel_hash, patients.c.patient_key).select_from(PICTURES)
    theirs = statement.where(one_of(instances.c.pixel_hash, sorted(hashes)))
    return [(row[0], row[1]) for row in connection.execute(theirs.distinct())]
