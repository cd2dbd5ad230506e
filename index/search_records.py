"""What a search is asked, in what way, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import Hit, Level

How = Literal["compared", "proven", "approximate"]
"""How the nearest rows were found: every row that may answer was compared; a bound proves that none is
missing; neither, so that some may be missing.
"""
Compare = Literal["means", "sets"]
LIMITED = ("per_patient", "per_study", "per_series", "per_label")


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """In what way is searched; the hits are chosen best first among what passes `where`.

    `exact` False lets a kind of index miss some where that saves time; None does so where the vectors lie in
    an engine. `compare` `sets` compares the images
    of studies with each other, `means` the normalised means of their vectors. Hits have a score of at least
    `min_score`. There are at most `per_patient` hits of one patient, and so on; `per_label` counts a hit for
    each of its labels above 0.5, and one without such a label always counts as nothing. With `dedupe` a row
    whose vector has at least this cosine with that of a hit above it, or at image level the same pixels, is
    collapsed into that hit.

    `diversity` is 1 - lambda of maximal marginal relevance (Carbonell and Goldstein, The use of MMR,
    diversity-based reranking, SIGIR 1998): each hit is the one with the highest (1 - diversity) * score -
    diversity * (highest cosine with a hit chosen before), among the 100 best of those that are left.
    """

    k: int = 10
    level: Level = "image"
    where: tuple[str, ...] = ()
    exact: bool | None = None
    compare: Compare = "means"
    min_score: float | None = None
    per_patient: int | None = None
    per_study: int | None = None
    per_series: int | None = None
    per_label: int | None = None
    dedupe: float | None = None
    diversity: float = 0.0

    @property
    def limits(self) -> dict[str, int]:
        """How many hits there may be of one `patient`, `study`, `series` or `label`, where that is given."""
        given = {name.removeprefix("per_"): getattr(self, name) for name in LIMITED}
        return {name: most for name, most in given.items() if most is not None}

    @property
    def chooses(self) -> bool:
        """Whether hits are chosen otherwise than best first."""
        return bool(self.limits) or self.dedupe is not None or self.diversity > 0


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One question: a vector float32 [d], of any length but 0, and for `compare` `sets` the vectors float32
    [m, d] of its images.

    `exclude_patients` do not answer. `own_image`, or at study level `own_study`, goes before others of the
    same score, such as copies of it. `words` also rank studies by their reports' text, and the two rankings
    are fused. `cursor` goes on behind an earlier answer to the same question; `question` tells questions
    apart, by default by their vector.
    """

    vector: NDArray[np.float32]
    images: NDArray[np.float32] | None = None
    exclude_patients: tuple[str, ...] = ()
    own_image: int | None = None
    own_study: str | None = None
    words: str | None = None
    cursor: str | None = None
    question: bytes = b""


@dataclass(frozen=True, slots=True)
class CollapsedRow:
    """A near-duplicate that stands behind a hit: `cosine` is that of its vector with the hit's, and
    `same_pixels` says that their pixel data are the same.
    """

    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    score: float
    cosine: float
    same_pixels: bool


@dataclass(frozen=True, slots=True)
class MatchedImages:
    """An image of the question, by its number from 0, and the image of a hit that is most like it."""

    query: int
    image_id: int
    cosine: float


@dataclass(frozen=True, slots=True)
class FoundHit:
    """A hit with what else is known of it: how many near-duplicates were collapsed into it, the first of
    them, the pairs of images that matched, and its rank by vector and by words, from 1.
    """

    hit: Hit
    collapsed: int = 0
    duplicates: tuple[CollapsedRow, ...] = ()
    pairs: tuple[MatchedImages, ...] = ()
    found_by: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class FilterStep:
    """Filters that compare columns of one level, and how many of its rows pass them."""

    level: Level
    filters: tuple[str, ...]
    passing: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """How an answer came about.

    `spec` and `device` are of the index that was searched, which holds `images` images, of which `passing`
    pass the filters (None: there are none). `looked_at` counts the vectors that were compared with
    the query, `candidates` the ranked rows among which the hits were chosen. `milliseconds` are by stage, of
    all `together` questions that were answered at once.
    """

    spec: str
    device: str
    level: Level
    compare: Compare
    images: int
    passing: int | None
    filters: tuple[FilterStep, ...]
    how: How
    looked_at: int
    candidates: int
    together: int
    milliseconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """An answer: hits, best first, and the cursor behind them, None at the end."""

    hits: tuple[FoundHit, ...]
    cursor: str | None
    how: How
    explanation: Explanation
    warnings: tuple[str, ...] = ()
