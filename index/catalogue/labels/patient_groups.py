"""Patients that share a picture: one group, because they may be one person, and a classifier that has seen
the picture of one has seen the other's. Nearly blank pictures prove nothing, and are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from sqlalchemy import Connection, func, select

from medsiglip.index.catalogue.labels.repeated_pictures import blank_hashes, repeated_hashes
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, images, instances, patients, series, studies
from medsiglip.index.label_records import PatientGroups
from medsiglip.index.records import CaseTable

PICTURES = (
    instances.join(series, instances.c.series_id == series.c.id)
    .join(studies, series.c.study_id == studies.c.id)
    .join(patients, studies.c.patient_id == patients.c.id)
)
"""Instances with their patients."""


def patient_groups(connection: Connection, table: CaseTable) -> PatientGroups:
    """The group of each row: patients are in one group who share the pixels of an instance, with each other
    or each with a third, anywhere in the catalogue.

    A group is named by the smallest pixel hash of its patients' pictures, of those that are not repeated
    blanks. Unlike patient keys, these names are the same in another home with the same pictures, and so are
    folds that follow their order.
    """
    blank = blank_hashes(connection, repeated_hashes())
    names = _group_names(connection, table.patient_keys, blank)
    members: dict[str, set[str]] = defaultdict(set)
    for key, name in names.items():
        members[name].add(key)
    return PatientGroups(
        names=tuple(names[key] for key in table.patient_keys),
        sharing=sum(len(keys) for keys in members.values() if len(keys) > 1),
        shared=sum(len(keys) > 1 for keys in members.values()),
        largest=max(map(len, members.values()), default=0),
        same_pixels=tuple(_same_pixels(connection, table, blank)),
    )


def groups_of_patients(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    """The name of the group of each of these patients; of one without a picture its key."""
    return _group_names(connection, keys, blank_hashes(connection, repeated_hashes()))


def _group_names(connection: Connection, keys: Collection[str], blank: frozenset[str]) -> dict[str, str]:
    joined = _joined(connection, blank)
    smallest = _smallest_hashes(connection, sorted({*keys, *joined}), blank)
    united: dict[int, str] = {}
    for key, number in joined.items():
        united[number] = min(smallest[key], united.get(number, smallest[key]))
    return {key: united[joined[key]] if key in joined else smallest.get(key, key) for key in keys}


def _smallest_hashes(connection: Connection, keys: Sequence[str], blank: frozenset[str]) -> dict[str, str]:
    statement = (
        select(patients.c.patient_key, func.min(instances.c.pixel_hash))
        .select_from(PICTURES)
        .where(one_of(patients.c.patient_key, keys), ~one_of(instances.c.pixel_hash, sorted(blank)))
        .group_by(patients.c.patient_key)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _joined(connection: Connection, blank: frozenset[str]) -> dict[str, int]:
    """A number for each patient that shares a picture with another, the same for those that are connected."""
    repeated = (
        select(instances.c.pixel_hash)
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .group_by(instances.c.pixel_hash)
        .having(func.count(studies.c.patient_id.distinct()) > 1)
    )
    pairs = (
        select(instances.c.pixel_hash, patients.c.patient_key)
        .select_from(PICTURES)
        .where(instances.c.pixel_hash.in_(repeated), ~one_of(instances.c.pixel_hash, sorted(blank)))
        .distinct()
    )
    rows = connection.execute(pairs).all()
    if not rows:
        return {}
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    keys, place = np.unique(np.array([row[1] for row in rows]), return_inverse=True)
    hashes, picture = np.unique(np.array([row[0] for row in rows]), return_inverse=True)
    nodes = len(keys) + len(hashes)
    edges = coo_array((np.ones(len(rows), np.int8), (place, len(keys) + picture)), shape=(nodes, nodes))
    _, number = connected_components(edges, directed=False)
    return dict(zip(keys.tolist(), number[: len(keys)].tolist(), strict=True))


def _same_pixels(
    connection: Connection, table: CaseTable, blank: frozenset[str]
) -> Iterator[tuple[int, ...]]:
    """Rows of the table that hold identical pictures, for each picture that is in more than one row."""
    owner = LEVEL_IDS[table.level]
    image_ids = table.image_ids.tolist()
    owners = connection.execute(select(images.c.id, owner).where(one_of(images.c.id, image_ids)))
    first = {row[0]: row[1] for row in owners}
    row_of = {first[image_id]: row for row, image_id in enumerate(image_ids) if image_id in first}
    statement = (
        select(instances.c.pixel_hash, owner)
        .join(instances, images.c.instance_id == instances.c.id)
        .where(instances.c.pixel_hash.in_(repeated_hashes()))
        .distinct()
    )
    holders: dict[str, set[int]] = defaultdict(set)
    for pixel_hash, row_id in connection.execute(statement):
        if row_id in row_of and pixel_hash not in blank:
            holders[pixel_hash].add(row_of[row_id])
    for _, rows in sorted(holders.items()):
        if len(rows) > 1:
            yield tuple(sorted(rows))
