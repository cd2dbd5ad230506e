"""The scores that a question gets from cases of the whole archive: what those of hits are compared with."""

from __future__ import annotations

import numpy as np

from medsiglip.index.catalogue.case_queries import images_of_patients
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.search.set_to_set import StoredSets, rough_scores
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import Ids, Vectors, unit_length

VECTORS = 4096
"""How many images, series or studies are compared by their vectors, at most."""
SETS = 256
"""How many studies are compared image by image, at most."""
# Images of each set that are compared.
_THIN = 32


def background(space: CurrentSpace, asked: Asked, options: SearchOptions) -> Vectors:
    """The scores, float32 [m], of rows of the level that are spread evenly over all, without those of the
    patients who do not answer; filters do not count. Of large studies compared set to set an even choice of
    32 images counts. A question of another dimension has no scores.
    """
    return space.settled(lambda: _background(space, asked, options))


def _background(space: CurrentSpace, asked: Asked, options: SearchOptions) -> Vectors:
    with space.view() as (loaded, connection):
        if asked.vector.shape != (loaded.active.space.dimension,):  # the home was switched to another model
            return np.empty(0, np.float32)
        theirs = images_of_patients(connection, asked.exclude_patients)
        left_out = np.array([one for ids in theirs.values() for one in ids], np.int64)
        if options.compare == "sets":
            return _set_scores(loaded, asked, left_out)
        ids, vectors = loaded.kept_sample(options.level, VECTORS)
        scores: Vectors = vectors @ unit_length(np.asarray(asked.vector, np.float32)[None])[0]
        return scores[~np.isin(ids, loaded.owners(options.level, left_out))]


def _set_scores(loaded: LoadedSpace, asked: Asked, left_out: Ids) -> Vectors:
    _, members = loaded.group_level("study")
    studies = members.groups[~np.isin(members.groups, loaded.owners("study", left_out))]
    studies = studies[:: -(-len(studies) // SETS) or 1]
    if not len(studies):
        return np.empty(0, np.float32)
    images = asked.vector[None] if asked.images is None else asked.images
    few = unit_length(np.asarray(images, np.float32))[:: -(-len(images) // _THIN)]
    sets = StoredSets.of([loaded.index.ids[members.of(one)] for one in studies.tolist()], loaded.index.rows)
    return rough_scores(few, sets.thinned(_THIN)).astype(np.float32)
