"""What questions about the cases of an archive answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class SeriesPicture:
    """The image in the middle of a series, which has `images` images; `quality` is that of this image."""

    image_id: int
    images: int
    quality: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A study as a person thinks of it. `series`, `images` and `drafts` are counts, `images` those of the
    active space; `quality` names what at least one image is (`QUALITY_MARKS`), `pictures` has one of each
    series that has images.
    """

    study_instance_uid: str
    patient_key: str
    patient_age: float | None
    patient_sex: str | None
    study_date: str | None
    study_description: str | None
    added_at: datetime
    modalities: tuple[str, ...]
    body_parts: tuple[str, ...]
    series: int
    images: int
    labels: Mapping[str, float]
    pictures: tuple[SeriesPicture, ...]
    quality: tuple[str, ...]
    drafts: int


@dataclass(frozen=True, slots=True)
class CasePage:
    """Cases in order. `total` counts those that fit up to `MOST_COUNTED`; `capped` says that there are more.
    `cursor` is None on the last page.
    """

    cases: tuple[CaseRecord, ...]
    total: int
    capped: bool
    cursor: str | None


@dataclass(frozen=True, slots=True)
class FacetValue:
    """A value, how many of the cases have it, and the filter that asks for it."""

    value: str
    count: int
    where: str


@dataclass(frozen=True, slots=True)
class Facet:
    """The values of a field, of which `more` are not listed."""

    field: str
    title: str
    values: tuple[FacetValue, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Facets:
    """How many of the `total` cases that fit have each value."""

    facets: tuple[Facet, ...]
    total: int


@dataclass(frozen=True, slots=True)
class CollectionRecord:
    """Cases that somebody put together; `cases` counts those of the archive."""

    name: str
    author: str
    created_at: datetime
    cases: int


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """A collection after a change, with how many cases came and went, and the UIDs that nothing here has."""

    collection: CollectionRecord
    added: int
    removed: int
    unknown: tuple[str, ...]


QUALITY_MARKS = (
    "blank",
    "near_blank",
    "window_warning",
    "lossy",
    "localizer",
    "projection",
    "reformatted",
)
"""The qualities of images that are yes or no, and of which a case is told: `quality.NAME=1`."""
MOST_COUNTED = 10_000
"""As many cases are counted for the total of a page."""
