"""What images, series and studies have of labels that are given with the question instead of being stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, select

from medsiglip.index.catalogue.labels import Key, Values, matched
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import images, instances, series, studies
from medsiglip.index.records import LabelRecord, Level


def of_level(
    connection: Connection, level: Level, row_ids: Collection[int], records: Sequence[LabelRecord]
) -> dict[int, Values]:
    """The given values of images, series or studies, by row id.

    The rules are those of `medsiglip.index.catalogue.labels`: for an image the most specific value; for a
    series or study its own, failing that the highest within, failing that the study's.
    """
    given: dict[Key, Values] = defaultdict(dict)
    for (key, name), record in matched(connection, records)[0].items():
        if record.value is not None:
            given[key][name] = record.value
    found: dict[int, Values] = {row_id: {} for row_id in row_ids}
    highest: dict[int, Values] = defaultdict(dict)
    nothing: Values = {}
    for row_id, keys in _images(connection, level, row_ids):
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


def _images(
    connection: Connection, level: Level, row_ids: Collection[int]
) -> Iterator[tuple[int, tuple[Key, Key, Key, Key]]]:
    """The owner of each image, and the keys under which it may be labelled, the most specific last."""
    owner = {"image": images.c.id, "series": images.c.series_id, "study": images.c.study_id}[level]
    uids = (studies.c.study_instance_uid, series.c.series_instance_uid, instances.c.sop_instance_uid)
    statement = (
        select(owner, *uids, instances.c.pixel_hash)
        .join(instances, images.c.instance_id == instances.c.id)
        .join(series, images.c.series_id == series.c.id)
        .join(studies, images.c.study_id == studies.c.id)
        .distinct()
    )
    asked = statement.where(one_of(owner, list(row_ids)))
    for row_id, study, of_series, instance, pixels in connection.execute(asked):
        yield (
            row_id,
            (
                ("study", study, ""),
                ("series", of_series, ""),
                ("instance", instance, ""),
                ("instance", instance, pixels),
            ),
        )
