"""Answers about maps: cases laid out in a plane, what their points mean, and what stands alone or twice."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Level, Moment


class Map(Answer):
    """A map of the archive: how it was made, and what it is worth.

    `points` are there now, of the `rows` that the archive had when it was made; more than 100,000 are
    sampled. `neighbours_kept` is the share of the `neighbours` true nearest of a point that are near it on
    the plane too, and `trustworthiness` how far what is near on the plane is near in truth, both 0 to 1.
    `fields` are what points may be coloured by, with their values, the most frequent first; scores have none.
    `outdated` is true where images came or went since.
    """

    version: int
    level: Level
    points: int
    rows: int
    method: str
    seed: int
    neighbours: int
    neighbours_kept: Figure = None
    trustworthiness: Figure = None
    fields: dict[str, tuple[str, ...]]
    created_at: Moment
    outdated: bool
    space: str
    warnings: tuple[str, ...] = ()


class KeptMap(Answer):
    """A version of a level's map."""

    level: Level
    version: int
    points: int
    created_at: Moment


class MapList(Answer):
    """The maps of the space that the archive works in, by level, the newest first."""

    maps: tuple[KeptMap, ...]


class MapColours(Answer):
    """What the points of a map have of a field, in the order of its points.

    `codes` is base64 of a byte for each. Of a `category` it is a place in `names`, of which `counts` says how
    many there are, or 255 where it is not known; the last name, `other`, stands for what is not among the 20
    most frequent. Of a `number` it is 0 for `low` to 250 for `high`, or 255.
    """

    level: Level
    version: int
    field: str
    kind: Literal["category", "number"]
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    unknown: int
    low: Figure = None
    high: Figure = None
    codes: str


class PlacedCase(Answer):
    """A point of a map with its case: `index` is its place among the points, `score` its cosine to what was
    asked."""

    index: int | None
    x: Figure = None
    y: Figure = None
    image_id: int
    study_instance_uid: str
    score: float


class MapPlace(Answer):
    """Where a text or a stored image belongs: its nearest cases in truth, best first, and where they stand.

    `x` and `y` are those of the neighbour of a text that lies in the middle of the others, and of an image
    its own, null where it is not on the map; `study_instance_uid` is that of an image. `scatter` is the
    median distance of the neighbours from the one in their middle, where the whole map is 2 wide: above some
    tenths the place of a text says little.
    """

    level: Level
    version: int
    study_instance_uid: str | None = None
    x: Figure = None
    y: Figure = None
    scatter: Figure = None
    neighbours: tuple[PlacedCase, ...]
    warnings: tuple[str, ...] = ()


class Outlier(Answer):
    """A case that is like no other: `apart` is 1 less its mean cosine to the nearest of other studies, and
    `share` the share of points that lie at least as far apart.
    """

    index: int
    x: float
    y: float
    image_id: int
    study_instance_uid: str
    apart: float
    share: float


class OutlierList(Answer):
    """The points of a map that lie farthest from all of other studies, the farthest first."""

    level: Level
    version: int
    outliers: tuple[Outlier, ...]


class NearDuplicate(Answer):
    """One case of a group of near-duplicates."""

    index: int
    x: float
    y: float
    image_id: int
    study_instance_uid: str
    patient_key: str


class DuplicateGroup(Answer):
    """Cases of several studies that are nearly the same: `cosine` is that of the most alike pair. `patients`
    above 1 says that they count as different people.
    """

    cosine: float
    patients: int
    cases: tuple[NearDuplicate, ...]


class DuplicateList(Answer):
    """Groups of near-duplicates, the most alike first; `total` groups in all."""

    level: Level
    version: int
    min_cosine: float
    total: int
    groups: tuple[DuplicateGroup, ...]
