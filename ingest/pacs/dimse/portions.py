"""In which requests a study is fetched, so that each fits an association and asks for nothing twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from medsiglip.ingest.pacs.dimse.contexts import packed
from medsiglip.ingest.pacs.records import PacsInstance

# A UID has up to 64 characters; longer lists are refused by some archives.
MOST_INSTANCES = 100


@dataclass(frozen=True, slots=True)
class Portion:
    """One request: a study, a series of it, or `instances` of a series; `count` is how many are expected."""

    count: int
    series_instance_uid: str | None = None
    instances: tuple[str, ...] = ()
    sop_classes: tuple[str, ...] = ()


def by_series(instances: Sequence[PacsInstance]) -> dict[str, list[PacsInstance]]:
    """Instances by their series, both in order."""
    series: dict[str, list[PacsInstance]] = {}
    for one in instances:
        series.setdefault(one.series_instance_uid, []).append(one)
    return series


def whole_study(instances: Sequence[PacsInstance], reserved: int = 1) -> list[Portion]:
    """Requests for all of a study: at STUDY level where its classes fit one association, else by series, and
    instance by instance of a series only where its own classes do not fit.
    """
    groups = packed((one.sop_class_uid for one in instances), reserved)
    if len(groups) == 1:
        return [Portion(len(instances), sop_classes=groups[0])]
    return [
        portion
        for uid, held in by_series(instances).items()
        for portion in _whole_series(uid, held, reserved)
    ]


def some_instances(
    wanted: Sequence[PacsInstance], held: Sequence[PacsInstance], reserved: int = 1
) -> list[Portion]:
    """Requests for `wanted` of what a study is known to hold: a series at once where it is wanted whole."""
    known = by_series(held)
    portions: list[Portion] = []
    for uid, some in by_series(wanted).items():
        asked = {one.sop_instance_uid for one in some}
        if uid in known and asked >= {one.sop_instance_uid for one in known[uid]}:
            portions += _whole_series(uid, some, reserved)
        else:
            portions += _one_by_one(uid, some, reserved)
    return portions


def smaller(
    portion: Portion, held: Sequence[PacsInstance], arrived: Collection[str], reserved: int = 1
) -> list[Portion]:
    """Smaller requests for what of a portion has not arrived, because the PACS failed at it; none where there
    is no smaller one.
    """
    missing = [
        one
        for one in held
        if one.sop_instance_uid not in arrived
        and one.sop_class_uid in portion.sop_classes
        and portion.series_instance_uid in (None, one.series_instance_uid)
        and (not portion.instances or one.sop_instance_uid in portion.instances)
    ]
    if portion.series_instance_uid is None:
        return some_instances(missing, held, reserved)
    if len(portion.instances) == 1:
        return []
    step = 1 if portion.instances else MOST_INSTANCES
    return [
        one
        for uid, some in by_series(missing).items()
        for at in range(0, len(some), step)
        for one in _one_by_one(uid, some[at : at + step], reserved)
    ]


def _whole_series(uid: str, held: Sequence[PacsInstance], reserved: int) -> Iterator[Portion]:
    groups = packed((one.sop_class_uid for one in held), reserved)
    if len(groups) == 1:
        yield Portion(len(held), uid, sop_classes=groups[0])
    else:
        yield from _one_by_one(uid, held, reserved)


def _one_by_one(uid: str, wanted: Sequence[PacsInstance], reserved: int) -> Iterator[Portion]:
    for group in packed((one.sop_class_uid for one in wanted), reserved):
        asked = [one.sop_instance_uid for one in wanted if one.sop_class_uid in group]
        for at in range(0, len(asked), MOST_INSTANCES):
            some = tuple(asked[at : at + MOST_INSTANCES])
            yield Portion(len(some), uid, some, group)
