"""Pages of cases, how many have each value, and collections of cases."""

from __future__ import annotations

from pydantic import Field

from medsiglip.answers.answer import Answer, Labels, Moment


class Case(Answer):
    """A study in a page of cases. `series`, `images` and `drafts` are counts; `image_id` is the picture that
    stands for it, `withheld` where that may bear a name in its pixels. `quality` names what at least one
    image is: `blank`, `near_blank`, `window_warning`, `lossy`, `localizer`, `projection`, `reformatted`.
    """

    study_instance_uid: str
    patient_key: str
    patient_age: float | None
    patient_sex: str | None
    study_date: str | None
    study_description: str | None
    added_at: Moment
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    series: int
    images: int
    labels: Labels
    image_id: int
    withheld: bool
    quality: tuple[str, ...]
    drafts: int


class RemovedBy(Answer):
    """A filter, and how many cases there would be without it."""

    where: str
    cases: int


class CaseList(Answer):
    """A page of cases. `total` counts what fits, to 10,000 at most, and `total_capped` says that there are
    more. `cursor` is for the next page, null on the last. Where nothing fits, `removed_by` tells of each
    filter how many cases there would be without it.
    """

    cases: tuple[Case, ...]
    total: int
    total_capped: bool
    cursor: str | None
    warnings: tuple[str, ...] = ()
    removed_by: tuple[RemovedBy, ...] = ()


class FacetValue(Answer):
    """A value, '' for none, how many cases have it, and the filter that asks for it. `capped` says that there
    are more cases than `count`.
    """

    value: str
    count: int
    capped: bool
    where: str


class Facet(Answer):
    """The values of a field. `more` values, of fewer cases, are not listed."""

    field: str
    title: str
    values: tuple[FacetValue, ...]
    more: int = 0


class FacetList(Answer):
    """How many of the cases that fit have each value; a facet's own filters do not narrow its counts."""

    facets: tuple[Facet, ...]
    total: int
    total_capped: bool


class Collection(Answer):
    """Cases that somebody put together under a name; `author` is the id of a key."""

    name: str
    author: str
    created_at: Moment
    cases: int


class CollectionList(Answer):
    """All collections, by name."""

    collections: tuple[Collection, ...]


class ChangedCollection(Collection):
    """A collection after a change: how many cases came and went, and the UIDs that nothing here has."""

    added: int
    removed: int
    unknown: tuple[str, ...] = Field(description="UIDs that name nothing in the archive")
