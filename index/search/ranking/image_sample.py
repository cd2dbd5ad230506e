"""Images of an archive, spread evenly: what a new image or a text is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.index.catalogue.filter_queries import parsed, passing_by_level
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.vectors import Ids, Vectors


@dataclass(frozen=True, slots=True, eq=False)
class ImageSample:
    """Ids [n] of images with their `vectors` float32 [n, d], out of so many `images` that pass filters."""

    image_ids: Ids
    vectors: Vectors
    images: int


def image_sample(space: CurrentSpace, count: int, where: Sequence[str] = ()) -> ImageSample:
    """At most `count` images of those that pass all filters; see `CaseIndex.image_sample`."""
    return space.settled(lambda: _image_sample(space, count, where))


def _image_sample(space: CurrentSpace, count: int, where: Sequence[str]) -> ImageSample:
    with space.view() as (loaded, connection):
        if not where:
            return ImageSample(*loaded.kept_sample("image", count), len(loaded.index.ids))
        rows = passing_by_level(connection, parsed(connection, where))
        passing = np.logical_and.reduce([loaded.mask(level, theirs) for level, theirs in rows.items()])
        ids = loaded.index.ids[passing]
        taken = ids[:: -(-len(ids) // count) or 1]
        return ImageSample(taken, loaded.index.rows(taken), len(ids))
