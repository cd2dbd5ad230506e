"""Pages of cases, facets, and collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.browsing import (
    Case,
    CaseList,
    ChangedCollection,
    Collection,
    CollectionList,
    Facet,
    FacetList,
    FacetValue,
    RemovedBy,
)
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.header.burned_in import may_preview

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.browsing.browsing_records import CaseRecord, SeriesPicture


def list_cases(
    archive: OpenedArchive,
    where: Sequence[str] = (),
    *,
    sort: str = "-added_at",
    limit: int = 100,
    cursor: str | None = None,
) -> CaseList:
    """A page of the cases of which an image passes all filters.

    Raises CatalogError `bad-filter`, `bad-sort`, `bad-cursor`.
    """
    browser = archive.index.browser
    page = browser.page(where, sort=sort, limit=limit, cursor=cursor)
    removed: tuple[RemovedBy, ...] = ()
    if where and not page.total:
        counts = zip(where, browser.without_each(where), strict=True)
        removed = tuple(RemovedBy(where=text, cases=count) for text, count in counts)
    return CaseList(
        cases=tuple(case_of(one) for one in page.cases),
        total=page.total,
        total_capped=page.capped,
        cursor=page.cursor,
        warnings=archive.index.filters.warnings(where),
        removed_by=removed,
    )


def case_of(record: CaseRecord) -> Case:
    """A case as it is answered."""
    picture = min(record.pictures, key=_less_telling)
    return Case(
        study_instance_uid=record.study_instance_uid,
        patient_key=record.patient_key,
        patient_age=record.patient_age,
        patient_sex=record.patient_sex,
        study_date=record.study_date,
        study_description=record.study_description,
        added_at=record.added_at.isoformat(),
        modalities=record.modalities,
        body_parts=record.body_parts,
        series=record.series,
        images=record.images,
        labels=dict(record.labels),
        image_id=picture.image_id,
        withheld=not may_preview(picture.quality),
        quality=record.quality,
        drafts=record.drafts,
    )


def _less_telling(picture: SeriesPicture) -> tuple[bool, bool, int, int]:
    """What makes a picture a worse one to stand for a case: it is withheld, it shows nothing or is there to
    plan others, or its series is small.
    """
    is_poor = any(picture.quality.get(name) == 1 for name in ("blank", "near_blank", "localizer"))
    return not may_preview(picture.quality), is_poor, -picture.images, picture.image_id


def list_facets(archive: OpenedArchive, where: Sequence[str] = ()) -> FacetList:
    """How many of the cases that fit have each value of each facet. Raises CatalogError `bad-filter`."""
    found = archive.index.browser.facets(where)
    facets = (
        Facet(
            field=facet.field,
            title=facet.title,
            values=tuple(
                FacetValue(value=one.value, count=one.count, capped=False, where=one.where)
                for one in facet.values
            ),
            more=facet.more,
        )
        for facet in found.facets
    )
    return FacetList(facets=tuple(facets), total=found.total, total_capped=False)


def list_collections(archive: OpenedArchive) -> CollectionList:
    """All collections, by name."""
    found = archive.index.collections.listed()
    return CollectionList(collections=tuple(Collection.model_validate(one) for one in found))


def change_collection(
    archive: OpenedArchive, name: str, author: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> ChangedCollection:
    """Put studies into a collection, which is made if needed, and take studies out, by the UIDs of the
    archive. Raises CatalogError `too-many-collections`.
    """
    change = archive.index.collections.change(name, author, add=add, remove=remove)
    held = Collection.model_validate(change.collection)
    return ChangedCollection(
        **held.model_dump(), added=change.added, removed=change.removed, unknown=change.unknown
    )


def remove_collection(archive: OpenedArchive, name: str) -> RemovedName:
    """Remove a collection; its cases stay. Raises ServiceError `unknown-collection`."""
    if not archive.index.collections.remove(name):
        raise ServiceError(
            "unknown-collection", f"there is no collection {name}: GET /v1/collections lists them."
        )
    return RemovedName(name=name, removed=True)


def stored_study_uids(archive: OpenedArchive, uids: Sequence[str]) -> list[str]:
    """As `medsiglip.api.archive.queries.stored_study_uid`, of many."""
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    if key is None or key.phi != "strict":
        return list(uids)
    known = archive.index.patients_of(uids)
    return [uid if uid in known else key.uid(uid) for uid in uids]
