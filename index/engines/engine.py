"""What a vector engine is: the protocol of every server that a home's vectors can lie in.

An engine is derived from the catalogue and the shards, and is fed by `medsiglip.index.engines.outbox`. What
it answers is never taken at its word: candidates are kept where the catalogue has them and they pass the
filters, and are ranked again by exact scores of the vectors in the shards. So an engine may round vectors and
may miss some; it must not lack what was put, and must not answer with what was removed once `flush` returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.catalogue.filter_expression import Term
from medsiglip.index.catalogue.filters import Filter
from medsiglip.index.records import Level
from medsiglip.index.vectors import Dtype, Ids, Vectors

LEVELS: tuple[Level, ...] = ("image", "series", "study")

FieldKind = Literal["number", "whole", "text"]

_OF_STUDIES: dict[str, FieldKind] = {
    "patient": "whole",
    "patient_sex": "text",
    "patient_age": "number",
    "study_date": "text",
}
_OF_SERIES: dict[str, FieldKind] = {
    "study": "whole",
    "modality": "text",
    "body_part_examined": "text",
    "view_position": "text",
    "laterality": "text",
    "manufacturer": "text",
    "orientation": "text",
}
_OF_IMAGES: dict[str, FieldKind] = {"series": "whole", "frame": "whole", "rendering": "text"}

FIELDS: dict[Level, dict[str, FieldKind]] = {
    "image": {**_OF_IMAGES, **_OF_SERIES, **_OF_STUDIES},
    "series": {**_OF_SERIES, **_OF_STUDIES},
    "study": dict(_OF_STUDIES),
}
"""The fields that the rows of each level are put with, and their kinds. `series`, `study` and `patient` are
row ids, always given; every other field may be absent (None). A `whole` is an int64 and a `number` a float64.
Texts are as the catalogue has them; `study_date` is YYYY-MM-DD. All but the row ids have the names of
filters, whose codes (`medsiglip.index.catalogue.filters.FIELDS`) are compared without regard to case.
"""


class Collection(NamedTuple):
    """The vectors of one level of one space: `space_id` is the space's row id, which a home never gives
    twice, and `dimension` the number of values of a vector.
    """

    space_id: int
    level: Level
    dimension: int


@dataclass(frozen=True, slots=True, eq=False)
class VectorRows:
    """Rows for an engine: `ids` int64 [n], each once, `vectors` float32 [n, d] of unit length, and the
    columns `fields` [n], of all names in `FIELDS` of the level.
    """

    ids: Ids
    vectors: Vectors
    fields: Mapping[str, Sequence[int | float | str | None]]


@dataclass(frozen=True, slots=True, eq=False)
class PushedFilter:
    """One `--where` expression: its `terms`, of which one must hold, for engines that compare fields, and the
    same as an SQL `condition` on images, for those beside the catalogue.
    """

    terms: tuple[Term, ...]
    condition: Filter


class Candidates(NamedTuple):
    """What an engine found for each query, best first: one array of ids int64 [c] and one of rough inner
    products float32 [c]; c may differ between queries.
    """

    ids: tuple[Ids, ...]
    scores: tuple[NDArray[np.float32], ...]


class Held(NamedTuple):
    """Ids int64 [n], ascending, and the vectors as an engine has them, float32 [n, d]."""

    ids: Ids
    vectors: Vectors


class VectorEngine(Protocol):
    """All vectors of one home at one engine. Safe for several threads; used by several processes at once.

    Names of what an engine keeps are unique to the home's identity, so that homes may share a server. Every
    method may raise `CatalogError` `engine-unreachable` for an engine that is away for a while (the same call
    succeeds once it is back), and `engine-refused` where it does not let this user in. Messages name the
    address without user and password.
    """

    @property
    def name(self) -> str:
        """The kind and address, without user and password: `pgvector`, `milvus://host:port/database`. The
        home's catalogue remembers it.
        """

    @property
    def dtype(self) -> Dtype:
        """What values are rounded to: `held` gives `vectors.astype(dtype).astype("float32")` of what was put,
        to the last bit.
        """

    @property
    def most(self) -> int:
        """The largest `count` of `nearest`."""

    def put(self, collection: Collection, rows: VectorRows) -> None:
        """Store rows, replacing those of the same ids; at most some thousands at a time. The collection is
        made when it is first put to. A repeated call changes nothing.
        """

    def remove(self, collection: Collection, ids: Ids) -> None:
        """Remove the rows with these ids, int64 [n]; unknown ids, and a collection that was never put to, are
        ignored.
        """

    def flush(self) -> None:
        """Return when all that was put and removed so far outlives a kill of the engine, and `nearest`,
        `held` and `count` of every process answer by it.
        """

    def takes(self, level: Level, asked: PushedFilter) -> bool:
        """Whether `nearest` at a level can apply a filter by itself: exactly, or so that more pass; a row of
        a level passes if one of its images may. A filter that would leave out a row that passes is not taken.
        """

    def nearest(
        self, collection: Collection, queries: Vectors, count: int, filters: Sequence[PushedFilter] = ()
    ) -> Candidates:
        """About the `count` nearest of each query, float32 [q, d] of unit length, by inner product, of those
        that pass all `filters`, each of which it `takes`; none for a collection that was never put to.
        """

    def held(self, collection: Collection, after: int, limit: int) -> Held:
        """The first `limit` rows with ids above `after`; fewer only at the end."""

    def count(self, collection: Collection) -> int:
        """How many rows a collection has; 0 for one that was never put to."""

    def spaces(self) -> list[int]:
        """The row ids of all spaces of the home that there are collections of, ascending."""

    def drop(self, space_id: int) -> None:
        """Remove all collections of a space; none is no error. The next `put` makes them again."""

    def close(self) -> None:
        """Disconnect."""
