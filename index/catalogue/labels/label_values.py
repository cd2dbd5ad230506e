"""Labels: values given to instances, series or studies, and those that each image, series or study has."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, or_, select

from medsiglip.index.catalogue.filter_expression import MAX_NAME
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, files, images, instances, labels, series, studies
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level

Values = dict[str, float]
Key = tuple[str, str, str]
_UIDS = {
    "study": studies.c.study_instance_uid,
    "series": series.c.series_instance_uid,
    "instance": instances.c.sop_instance_uid,
}
_MANY_TIMES = 4


class Matched(NamedTuple):
    """`values` holds the last record for each key in the index and name, `unmatched` the records whose key is
    not in the index. `contradicted` names the labels that copies of one file were given both values of.
    """

    values: dict[tuple[Key, str], LabelRecord]
    unmatched: list[LabelRecord]
    contradicted: set[tuple[Key, str]]


def matched(connection: Connection, records: Sequence[LabelRecord]) -> Matched:
    """The records by what they label in the index. Raises `CatalogError` `bad-label`."""
    keys = _found_keys(connection, records)
    values: dict[tuple[Key, str], LabelRecord] = {}
    unmatched, contradicted = [], set()
    for record in records:
        name = record.name.strip()
        is_number = record.value is None or math.isfinite(record.value)
        if not 0 < len(name) <= MAX_NAME or "\0" in name or not is_number:
            raise CatalogError(
                "bad-label",
                f"Label {excerpt(record.name)} with value {record.value!r} cannot be stored: it needs a name "
                f"of at most {MAX_NAME} characters, without NUL, and a number.",
            )
        key = keys.get((record.key_kind, record.key))
        if key is None:
            unmatched.append(record)
            continue
        earlier = values.get((key, name))
        if earlier is not None and earlier.key != record.key and _opposite(earlier.value, record.value):
            contradicted.add((key, name))
        values[key, name] = record
    return Matched(values, unmatched, contradicted)


def _opposite(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and (one > 0) != (other > 0)


def _found_keys(connection: Connection, records: Iterable[LabelRecord]) -> dict[tuple[str, str], Key]:
    wanted = keys_by_kind(records)
    sources: dict[str, Callable[[list[str]], Select[str, str, str, str]]] = {
        "path": _path_keys,
        "sop_instance_uid": lambda uids: _uid_keys(instances.c.sop_instance_uid, "instance", uids),
        "series_instance_uid": lambda uids: _uid_keys(series.c.series_instance_uid, "series", uids),
        "study_instance_uid": lambda uids: _uid_keys(studies.c.study_instance_uid, "study", uids),
    }
    found: dict[tuple[str, str], Key] = {}
    for kind, keys in wanted.items():
        if kind not in sources:
            raise _bad_kind(kind, sources)
        for key, level, uid, pixel_hash in connection.execute(sources[kind](list(keys))):
            found[kind, key] = (level, uid, pixel_hash)
    return found


def keys_by_kind(records: Iterable[LabelRecord]) -> dict[str, dict[str, None]]:
    """The keys of records, each once, by kind."""
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        wanted[record.key_kind][record.key] = None
    return wanted


def _bad_kind(kind: str, kinds: Iterable[str]) -> CatalogError:
    return CatalogError("bad-label", f"Labels cannot be keyed by {kind!r}; use one of {', '.join(kinds)}.")


def studies_with(kind: str, keys: list[str]) -> Select[str]:
    """The UIDs of the studies with such keys; raises `CatalogError` `bad-label` for a kind unknown here."""
    columns: dict[str, ColumnElement[str]] = {
        "path": files.c.path,
        "sop_instance_uid": instances.c.sop_instance_uid,
        "series_instance_uid": series.c.series_instance_uid,
        "study_instance_uid": studies.c.study_instance_uid,
    }
    if kind not in columns:
        raise _bad_kind(kind, columns)
    source = studies.join(series, series.c.study_id == studies.c.id)
    if kind in ("path", "sop_instance_uid"):
        source = source.join(instances, instances.c.series_id == series.c.id)
    if kind == "path":
        source = source.join(files, files.c.instance_id == instances.c.id)
    chosen = select(studies.c.study_instance_uid).select_from(
        source if kind != "study_instance_uid" else studies
    )
    return chosen.where(one_of(columns[kind], keys)).distinct()


def _path_keys(paths: list[str]) -> Select[str, str, str, str]:
    return (
        select(files.c.path, literal("instance"), instances.c.sop_instance_uid, instances.c.pixel_hash)
        .join(instances, files.c.instance_id == instances.c.id)
        .where(one_of(files.c.path, paths))
    )


def _uid_keys(column: ColumnElement[str], level: str, uids: list[str]) -> Select[str, str, str, str]:
    return select(column, literal(level), column, literal("")).where(one_of(column, uids)).distinct()


def names(connection: Connection) -> list[str]:
    """Every label name, sorted."""
    return list(connection.execute(select(labels.c.name).distinct().order_by(labels.c.name)).scalars())


def of_level(connection: Connection, level: Level, row_ids: Collection[int]) -> dict[int, Values]:
    """Labels of images, series or studies, by row id."""
    if level == "image":
        return of_images(connection, row_ids)
    return of_groups(connection, level, row_ids)


def of_images(connection: Connection, image_ids: Collection[int]) -> dict[int, Values]:
    """Labels of images, by row id: of a name given at several levels, the most specific value."""
    found: dict[int, Values] = {image_id: {} for image_id in image_ids}
    if not _any(connection):
        return found
    # From the least specific to the most: a later value overwrites.
    for level, *fits in (
        ("study",),
        ("series",),
        ("instance", labels.c.pixel_hash == ""),
        ("instance", labels.c.pixel_hash == instances.c.pixel_hash),
    ):
        for image_id, name, value in _given_to(connection, images.c.id, level, list(found), *fits):
            found[image_id][name] = value
    return found


def of_groups(connection: Connection, level: Level, row_ids: Collection[int]) -> dict[int, Values]:
    """Labels of series or studies, by row id: their own value, else the highest within, else the study's."""
    found: dict[int, Values] = {row_id: {} for row_id in row_ids}
    if not _any(connection):
        return found
    group, ids = LEVEL_IDS[level], list(found)
    fits = or_(labels.c.pixel_hash == "", labels.c.pixel_hash == instances.c.pixel_hash)
    within = [_given_to(connection, group, "instance", ids, fits)]
    if level == "study":
        within.append(_given_to(connection, group, "series", ids))
    else:
        for row_id, name, value in _given_to(connection, group, "study", ids):
            found[row_id][name] = value
    highest: dict[int, Values] = defaultdict(dict)
    for row_id, name, value in chain.from_iterable(within):
        highest[row_id][name] = max(value, highest[row_id].get(name, value))
    for row_id, values in highest.items():
        found[row_id].update(values)
    for row_id, name, value in _given_to(connection, group, level, ids):
        found[row_id][name] = value
    return found


def _given_to(
    connection: Connection,
    owner: ColumnElement[int],
    level: str,
    row_ids: Sequence[int],
    *fits: ColumnElement[bool],
) -> Iterator[tuple[int, str, float]]:
    """Owner, name and value of the labels that were given at a level to what is below these owners.

    Where there are many more labels than owners, the owners are looked up first: SQLite, which does not know,
    would go through all labels of the level. An outer join is never turned round.
    """
    of_level = select(labels.c.id).where(labels.c.level == level).limit(_MANY_TIMES * len(row_ids) + 1)
    held: int = connection.execute(select(func.count()).select_from(of_level.subquery())).scalar_one()
    if not held:
        return
    uid = _UIDS[level]
    source = (
        images.join(instances, images.c.instance_id == instances.c.id)
        .join(series, images.c.series_id == series.c.id)
        .join(studies, images.c.study_id == studies.c.id)
        .join(
            labels,
            and_(labels.c.level == level, labels.c.uid == uid, *fits),
            isouter=held > _MANY_TIMES * len(row_ids),
        )
    )
    statement = select(owner, labels.c.name, labels.c.value).select_from(source)
    for row_id, name, value in connection.execute(statement.where(one_of(owner, row_ids)).distinct()):
        if name is not None:
            yield row_id, name, value


class GivenValues:
    """The labels that images, series or studies would have if some records were all that is stored:
    `by_row`, once each of their images was added.
    """

    def __init__(self, level: Level, row_ids: Collection[int], given: Mapping[tuple[Key, str], LabelRecord]):
        self._level = level
        self._given: dict[Key, Values] = defaultdict(dict)
        for (key, name), record in given.items():
            if record.value is not None:
                self._given[key][name] = record.value
        self._highest: dict[int, Values] = defaultdict(dict)
        self.by_row: dict[int, Values] = {row_id: {} for row_id in row_ids}

    def add(self, row_id: int, keys: Sequence[Key]) -> None:
        """Take in an image of a row, by the keys of `image_keys`."""
        nothing: Values = {}
        of_study, of_series, by_uid, by_pixels = (self._given.get(key, nothing) for key in keys)
        if self._level == "image":
            self.by_row[row_id] = {**of_study, **of_series, **by_uid, **by_pixels}
            return
        own, outer = (of_study, nothing) if self._level == "study" else (of_series, of_study)
        highest = self._highest[row_id]
        for inner in (by_uid, by_pixels, of_series if self._level == "study" else nothing):
            for name, value in inner.items():
                highest[name] = max(value, highest.get(name, value))
        self.by_row[row_id] = {**outer, **highest, **own}


def image_keys(
    connection: Connection, level: Level, row_ids: Collection[int]
) -> Iterator[tuple[int, tuple[Key, Key, Key, Key]]]:
    """The owner of each image, and the keys under which it may be labelled, the most specific last."""
    owner = LEVEL_IDS[level]
    uids = (studies.c.study_instance_uid, series.c.series_instance_uid, instances.c.sop_instance_uid)
    statement = (
        select(owner, *uids, instances.c.pixel_hash)
        .join(instances, images.c.instance_id == instances.c.id)
        .join(series, images.c.series_id == series.c.id)
        .join(studies, images.c.study_id == studies.c.id)
        .distinct()
    )
    chosen = statement.where(one_of(owner, list(row_ids)))
    for row_id, study, of_series, instance, pixels in connection.execute(chosen):
        yield (
            row_id,
            (
                ("study", study, ""),
                ("series", of_series, ""),
                ("instance", instance, ""),
                ("instance", instance, pixels),
            ),
        )


def stored_values(owner: ColumnElement[int], level: str, uid: ColumnElement[str]) -> Select[int, str, float]:
    """Owner, name and value of the labels that were given to a level, for each image below it."""
    source = (
        images.join(instances, images.c.instance_id == instances.c.id)
        .join(series, images.c.series_id == series.c.id)
        .join(studies, images.c.study_id == studies.c.id)
        .join(labels, and_(labels.c.level == level, labels.c.uid == uid))
    )
    return select(owner, labels.c.name, labels.c.value).select_from(source)


def _any(connection: Connection) -> bool:
    return connection.execute(select(labels.c.id).limit(1)).first() is not None
