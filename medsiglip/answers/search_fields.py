"""The further arguments of a search, of `Archive.search` and `Client.search` alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SINGLE = ("text", "image", "study", "image_id", "k", "level", "where", "include_same_patient")
"""The arguments of a search that stand beside `SearchFields`."""
WEIGHTS = ("text", "image", "study", "vector", "query", "positive", "negative")
MOST_QUERIES = 64
"""How many questions may be asked at once."""
MOST_HITS = 10_000
"""How many hits they may ask for in all."""
MOST_PARTS = 100
"""How many images or studies a question may be made of."""


class SearchFields(TypedDict, total=False):
    """What else a search may be asked, and how.

    `image_ids`, `images` (files) and `studies` name several, whose mean direction is asked about. `vector`
    has as many numbers as the index has dimensions, or is their base64 as little-endian float32. Of several
    kinds (`text`, `image`, `study`, `vector`) the unit vectors are added with the `weights` of each.

    `positive` and `negative` are images, by id, and studies, by UID, that hits should be like and unlike
    (Rocchio): the query becomes a * query + b * mean of positives - c * mean of negatives, with a = 1,
    b = 0.75 and c = 0.15 (Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section
    9.1.1) unless `weights` gives `query`, `positive` or `negative`. Positives alone are a question too.

    `crop` is a region of the one image that is asked about: left, top, right and bottom as fractions of the
    picture's width and height. `words` also ranks studies by their reports and fuses the two rankings; alone,
    they are the text as well.

    `exact` false may miss hits where that saves time; None does so for vectors in an engine alone.
    `min_score` is the lowest score of a hit. `per_patient`, `per_study`, `per_series` and `per_label` limit
    the hits of each. `dedupe` collapses hits whose vectors have at least this cosine with a better hit's, or
    that show the same pixels. `diversity`, 0 to 1, prefers hits that are unlike those above them. `compare`
    is `sets` or `means`, for studies. `cursor` is that of an answer, for its next page. `explain` adds
    `why_found`.
    """

    images: Sequence[Any]
    image_ids: Sequence[int]
    studies: Sequence[str]
    vector: Sequence[float] | NDArray[np.float32] | str | None
    weights: Mapping[str, float] | None
    positive: Sequence[int | str]
    negative: Sequence[int | str]
    crop: Sequence[float] | None
    words: str | None
    exact: bool | None
    min_score: float | None
    per_patient: int | None
    per_study: int | None
    per_series: int | None
    per_label: int | None
    dedupe: float | None
    diversity: float
    compare: str | None
    cursor: str | None
    explain: bool
