"""What stands alone in an archive and what stands twice, as a map's making found it in the vectors' own
space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.maps import (
    DuplicateGroup,
    DuplicateList,
    NearDuplicate,
    Outlier,
    OutlierList,
)
from medsiglip.api.archive.mapping.shown import ShownMap, map_points
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.vectors import Ids

MOST_LISTED = 1000
LEAST_COSINE = 0.5
_MOST_OF_A_GROUP = 50


def map_outliers(
    archive: OpenedArchive, *, limit: int = 20, level: str = "study", version: int | None = None
) -> OutlierList:
    """The `limit` cases that are least like the nearest of other studies. Raises ServiceError `bad-number`,
    `no-map` or `unknown-map`.
    """
    _check_limit(limit)
    shown = map_points(archive, level=level, version=version)
    apart = shown.points.apart
    known = np.flatnonzero(~np.isnan(apart))
    best = known[np.argsort(-apart[known], kind="stable")][:limit]
    ascending = np.sort(apart[known])
    owners = archive.index.instances.owners_of_images(shown.image_ids[best].tolist())
    outliers = []
    for index in best.tolist():
        image_id = int(shown.image_ids[index])
        if image_id in owners:
            at_least = len(known) - int(np.searchsorted(ascending, apart[index], side="left"))
            x, y = shown.places[index].tolist()
            outliers.append(
                Outlier(
                    index=index,
                    x=x,
                    y=y,
                    image_id=image_id,
                    study_instance_uid=owners[image_id][0],
                    apart=float(apart[index]),
                    share=at_least / len(known),
                )
            )
    return OutlierList(level=shown.record.level, version=shown.record.version, outliers=tuple(outliers))


def map_duplicates(
    archive: OpenedArchive,
    *,
    min_cosine: float = 0.98,
    other_patients: bool = False,
    limit: int = 20,
    level: str = "study",
    version: int | None = None,
) -> DuplicateList:
    """Groups of cases of several studies that are linked by a cosine of at least `min_cosine`, the most alike
    first; with `other_patients` those alone that hold several patients. A group shows at most 50 cases.

    Each case is compared with its five nearest of other studies. Raises ServiceError `bad-number`, `no-map`
    or `unknown-map`.
    """
    from medsiglip.mapping.likeness import duplicate_groups

    _check_limit(limit)
    if not LEAST_COSINE <= min_cosine <= 1:
        raise ServiceError(
            "bad-number",
            f"near-duplicates have a cosine of {LEAST_COSINE} to 1; {min_cosine} is none of them.",
        )
    shown = map_points(archive, level=level, version=version)
    near = _places(shown)
    groups = duplicate_groups(near, shown.points.alike, min_cosine)
    wanted = groups if other_patients else groups[:limit]
    members = np.concatenate([*wanted, np.empty(0, np.int64)])
    owners = archive.index.instances.owners_of_images(shown.image_ids[members].tolist())
    found = [_group(shown, owners, one, near) for one in wanted]
    total = len(groups)
    if other_patients:
        found = [one for one in found if one.patients > 1]
        total = len(found)
    return DuplicateList(
        level=shown.record.level,
        version=shown.record.version,
        min_cosine=min_cosine,
        total=total,
        groups=tuple(found[:limit]),
    )


def _places(shown: ShownMap) -> Ids:
    """The neighbours of other studies as places among the points, int64 [n, 5]; -1 for none."""
    rows, near = shown.points.row_ids, shown.points.near
    if not len(rows):
        return near
    places = np.minimum(np.searchsorted(rows, near), len(rows) - 1)
    return np.where(rows[places] == near, places, -1)


def _group(shown: ShownMap, owners: Mapping[int, tuple[str, str]], members: Ids, near: Ids) -> DuplicateGroup:
    image_ids = shown.image_ids[members].tolist()
    theirs = np.isin(near[members], members)
    cases: list[NearDuplicate] = []
    for index, image_id in zip(members.tolist(), image_ids, strict=True):
        if image_id in owners and len(cases) < _MOST_OF_A_GROUP:
            study, key = owners[image_id]
            x, y = shown.places[index].tolist()
            cases.append(
                NearDuplicate(
                    index=index, x=x, y=y, image_id=image_id, study_instance_uid=study, patient_key=key
                )
            )
    return DuplicateGroup(
        cosine=float(np.nanmax(np.where(theirs, shown.points.alike[members], np.nan))),
        patients=len({owners[one][1] for one in image_ids if one in owners}),
        cases=tuple(cases),
    )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST_LISTED:
        raise ServiceError("bad-number", f"{limit} cannot be listed: ask for 1 to {MOST_LISTED}.")
