"""Contradictions between the labels of identical pictures.

Files of one content are one picture, though a table of labels may name each of them, and the same pixels may
be stored as several instances. Where their labels cannot all be right, figures mean less than they seem to.
Nearly blank pictures are left out: two patients may both have one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator

from sqlalchemy import Connection, Select, and_, func, or_, select

from medsiglip.index.catalogue.labels.label_values import Key
from medsiglip.index.catalogue.labels.repeated_pictures import blank_hashes, is_repeated
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import instances, labels, series, studies
from medsiglip.index.label_records import LabelConflict

_INSTANCES = instances.join(series, instances.c.series_id == series.c.id).join(
    studies, series.c.study_id == studies.c.id
)
_UIDS = {
    "study": studies.c.study_instance_uid,
    "series": series.c.series_instance_uid,
    "instance": instances.c.sop_instance_uid,
}


def label_conflicts(
    connection: Connection, keys: Collection[Key], contradicted: Collection[tuple[Key, str]]
) -> tuple[LabelConflict, ...]:
    """The contradictions that pictures below `keys` take part in. `contradicted` names labels that were given
    both values at one key, of which only one is stored.

    Reads only pictures that the archive holds more than once or that have several classes.
    """
    hashes, blank = _doubtful(connection, keys)
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for (_, _, pixel_hash), name in contradicted:
        if pixel_hash not in blank:
            found[pixel_hash].add((name,))
    said: dict[str, dict[str, set[bool]]] = defaultdict(lambda: defaultdict(set))
    classes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for pixel_hash, values, columns in _labels_of_instances(connection, hashes):
        for name, value in values.items():
            said[pixel_hash][name].add(value > 0)
        for column, names in columns.items():
            classes[pixel_hash][column] |= names
    for pixel_hash, by_name in said.items():
        found[pixel_hash] |= {(name,) for name, values in by_name.items() if len(values) > 1}
    for pixel_hash, by_column in classes.items():
        found[pixel_hash] |= {tuple(sorted(names)) for names in by_column.values() if len(names) > 1}
    counts = Counter(names for clashes in found.values() for names in clashes)
    return tuple(LabelConflict(names, pictures) for names, pictures in sorted(counts.items()))


def _doubtful(connection: Connection, keys: Collection[Key]) -> tuple[list[str], frozenset[str]]:
    """Pixel hashes of the instances below `keys` that the archive holds more than once, or to which several
    classes of a column were given: those that show something, and the nearly blank ones.
    """
    hashes: set[str] = set()
    for level, column in _UIDS.items():
        uids = sorted({uid for at, uid, _ in keys if at == level})
        if uids:
            below = select(instances.c.pixel_hash).select_from(_INSTANCES).where(one_of(column, uids))
            doubtful = below.where(or_(is_repeated(), column.in_(_several_classes(level, uids))))
            hashes.update(connection.execute(doubtful.distinct()).scalars())
    blank = blank_hashes(connection, one_of(instances.c.pixel_hash, sorted(hashes)))
    return sorted(hashes - blank), blank


def _several_classes(level: str, uids: list[str]) -> Select[str]:
    """Those of the UIDs at which several classes of one column are stored."""
    return (
        select(labels.c.uid)
        .where(labels.c.level == level, labels.c.class_column.is_not(None), one_of(labels.c.uid, uids))
        .group_by(labels.c.uid, labels.c.class_column)
        .having(func.count(labels.c.name.distinct()) > 1)
    )


def _labels_of_instances(
    connection: Connection, hashes: list[str]
) -> Iterator[tuple[str, dict[str, float], dict[str, set[str]]]]:
    """Pixel hash, values by name and classes by column of each labelled instance with one of these hashes; of
    what is given at several levels, the most specific.
    """
    hash_of: dict[int, str] = {}
    values: dict[int, dict[str, float]] = defaultdict(dict)
    classes: dict[int, dict[str, set[str]]] = defaultdict(dict)
    fits = or_(labels.c.pixel_hash == "", labels.c.pixel_hash == instances.c.pixel_hash)
    for level, uid in _UIDS.items():
        statement = (
            select(
                instances.c.id,
                instances.c.pixel_hash,
                labels.c.name,
                labels.c.value,
                labels.c.class_column,
            )
            .select_from(_INSTANCES)
            .join(labels, and_(labels.c.level == level, labels.c.uid == uid))
            .where(one_of(instances.c.pixel_hash, hashes), fits)
            .order_by(labels.c.pixel_hash)
        )
        of_level: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for row_id, pixel_hash, name, value, column in connection.execute(statement):
            hash_of[row_id] = pixel_hash
            values[row_id][name] = value
            if column is not None:
                of_level[row_id][column].add(name)
        for row_id, columns in of_level.items():
            classes[row_id].update(columns)
    for row_id, pixel_hash in hash_of.items():
        yield pixel_hash, values[row_id], classes[row_id]
