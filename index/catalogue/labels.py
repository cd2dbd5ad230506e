"""Labels: values given to instances, series or studies, and those that each image, series or study has."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, literal, or_, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_expression import MAX_NAME
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import StoredPaths
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import LEVEL_IDS, files, images, instances, labels, series, studies
from medsiglip.index.errors import CatalogError, excerpt
from medsiglip.index.records import LabelOutcome, LabelRecord, LabelSummary, Level

Values = dict[str, float]
Key = tuple[str, str, str]


class LabelStore:
    """The labels of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database, paths: StoredPaths) -> None:
        self._database = database
        self._paths = paths

    def put(self, records: Sequence[LabelRecord]) -> LabelOutcome:
        """Label cases in the index; a later value for the same name and key replaces an earlier one.

        A path stands for the pixels that the file held when it was ingested. All records are stored or none;
        raises `CatalogError` `bad-label`.
        """
        stored = [self._paths.label(record) for record in records]
        with self._database.write() as connection:
            values, unmatched = matched(connection, stored)
            _replace(connection, values)
        left = tuple(replace(record, key=self._paths.given(record.key)) for record in unmatched)
        return LabelOutcome(len(records) - len(left), left)

    def studies_of(self, records: Sequence[LabelRecord]) -> list[str]:
        """The UIDs of the studies that hold what `records` would label, sorted, without those of keys that are
        not in the index. Raises `CatalogError` `bad-label` for a kind of key that there is not.
        """
        wanted = _keys_by_kind(self._paths.label(record) for record in records)
        with self._database.read() as connection:
            found = {
                uid
                for kind, keys in wanted.items()
                for uid in connection.execute(_studies_with(kind, list(keys))).scalars()
            }
        return sorted(found)

    def summaries(self) -> list[LabelSummary]:
        """How many records each label has, by name and level."""
        positive = func.count().filter(labels.c.value > 0)
        statement = (
            select(labels.c.name, labels.c.level, func.count(), positive)
            .group_by(labels.c.name, labels.c.level)
            .order_by(labels.c.name, labels.c.level)
        )
        with self._database.read() as connection:
            return [LabelSummary(*row) for row in connection.execute(statement)]


def matched(
    connection: Connection, records: Sequence[LabelRecord]
) -> tuple[dict[tuple[Key, str], LabelRecord], list[LabelRecord]]:
    """The last record for each key in the index and name, and the records whose key is not in the index.

    Raises `CatalogError` `bad-label`.
    """
    keys = _found_keys(connection, records)
    values: dict[tuple[Key, str], LabelRecord] = {}
    unmatched = []
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
        else:
            values[key, name] = record
    return values, unmatched


def _found_keys(connection: Connection, records: Iterable[LabelRecord]) -> dict[tuple[str, str], Key]:
    wanted = _keys_by_kind(records)
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


def _keys_by_kind(records: Iterable[LabelRecord]) -> dict[str, dict[str, None]]:
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        wanted[record.key_kind][record.key] = None
    return wanted


def _bad_kind(kind: str, kinds: Iterable[str]) -> CatalogError:
    return CatalogError("bad-label", f"Labels cannot be keyed by {kind!r}; use one of {', '.join(kinds)}.")


def _studies_with(kind: str, keys: list[str]) -> Select[str]:
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


def _replace(connection: Connection, values: dict[tuple[Key, str], LabelRecord]) -> None:
    if not values:
        return
    at_key = delete(labels).where(
        labels.c.level == bindparam("at_level"),
        labels.c.uid == bindparam("at_uid"),
        labels.c.pixel_hash == bindparam("at_hash"),
    )
    classified = dict.fromkeys(key for (key, _), record in values.items() if record.is_class)
    if classified:
        connection.execute(at_key.where(labels.c.is_class), [_place(key) for key in classified])
    named = [{**_place(key), "at_name": name} for key, name in values]
    connection.execute(at_key.where(labels.c.name == bindparam("at_name")), named)
    rows = [
        {
            "level": level,
            "uid": uid,
            "pixel_hash": pixel_hash,
            "name": name,
            "value": float(record.value),
            "is_class": record.is_class,
        }
        for ((level, uid, pixel_hash), name), record in values.items()
        if record.value is not None
    ]
    insert_rows(connection, labels, rows)


def _place(key: Key) -> dict[str, str]:
    return dict(zip(("at_level", "at_uid", "at_hash"), key, strict=True))


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
    chosen = one_of(images.c.id, list(found))
    # From the least specific to the most: a later value overwrites.
    for statement in (
        _given(images.c.id, "study", studies.c.study_instance_uid).where(chosen),
        _given(images.c.id, "series", series.c.series_instance_uid).where(chosen),
        _given(images.c.id, "instance", instances.c.sop_instance_uid).where(
            chosen, labels.c.pixel_hash == ""
        ),
        _given(images.c.id, "instance", instances.c.sop_instance_uid).where(
            chosen, labels.c.pixel_hash == instances.c.pixel_hash
        ),
    ):
        for image_id, name, value in connection.execute(statement):
            found[image_id][name] = value
    return found


def of_groups(connection: Connection, level: Level, row_ids: Collection[int]) -> dict[int, Values]:
    """Labels of series or studies, by row id: their own value, else the highest within, else the study's."""
    found: dict[int, Values] = {row_id: {} for row_id in row_ids}
    if not _any(connection):
        return found
    group = LEVEL_IDS[level]
    fits = or_(labels.c.pixel_hash == "", labels.c.pixel_hash == instances.c.pixel_hash)
    uids = {"study": studies.c.study_instance_uid, "series": series.c.series_instance_uid}
    chosen = one_of(group, list(found))
    statements = [_given(group, "study", uids["study"]).where(chosen)] if level == "series" else []
    within = [_given(group, "instance", instances.c.sop_instance_uid).where(chosen, fits)]
    if level == "study":
        within.append(_given(group, "series", series.c.series_instance_uid).where(chosen))
    highest: dict[int, Values] = defaultdict(dict)
    for statement in statements:
        for row_id, name, value in connection.execute(statement.distinct()):
            found[row_id][name] = value
    for statement in within:
        for row_id, name, value in connection.execute(statement.distinct()):
            highest[row_id][name] = max(value, highest[row_id].get(name, value))
    for row_id, values in highest.items():
        found[row_id].update(values)
    own = _given(group, level, uids[level]).where(chosen)
    for row_id, name, value in connection.execute(own.distinct()):
        found[row_id][name] = value
    return found


def given_of_level(
    connection: Connection, level: Level, row_ids: Collection[int], records: Sequence[LabelRecord]
) -> dict[int, Values]:
    """The labels that images, series or studies would have if `records` were all that is
    stored, by row id.
    """
    given: dict[Key, Values] = defaultdict(dict)
    for (key, name), record in matched(connection, records)[0].items():
        if record.value is not None:
            given[key][name] = record.value
    found: dict[int, Values] = {row_id: {} for row_id in row_ids}
    highest: dict[int, Values] = defaultdict(dict)
    nothing: Values = {}
    for row_id, keys in _image_keys(connection, level, row_ids):
        of_study, of_series, by_uid, by_pixels = (given.get(key, nothing) for key in keys)
        if level == "image":
            found[row_id] = {**of_study, **of_series, **by_uid, **by_pixels}
            continue
        own, outer = (of_study, nothing) if level == "study" else (of_series, of_study)
        for inner in (by_uid, by_pixels, of_series if level == "study" else nothing):
            for name, value in inner.items():
                highest[row_id][name] = max(value, highest[row_id].get(name, value))
        found[row_id] = {**outer, **highest[row_id], **own}
    return found


def _image_keys(
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


def _given(owner: ColumnElement[int], level: str, uid: ColumnElement[str]) -> Select[int, str, float]:
    source = (
        images.join(instances, images.c.instance_id == instances.c.id)
        .join(series, images.c.series_id == series.c.id)
        .join(studies, images.c.study_id == studies.c.id)
        .join(labels, and_(labels.c.level == level, labels.c.uid == uid))
    )
    return select(owner, labels.c.name, labels.c.value).select_from(source)


def _any(connection: Connection) -> bool:
    return connection.execute(select(labels.c.id).limit(1)).first() is not None
