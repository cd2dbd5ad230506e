"""`map make`: the cases of an archive laid out in a plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.answers.maps import Map
from medsiglip.api.archive.mapping.shown import map_answer
from medsiglip.api.archive.opened import silent
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.search.neighbour_graph import NeighbourGraph
    from medsiglip.index.storage.maps.map_file import MapPoints

OnProgress = Callable[[str, int, int | None], None]
MOST_POINTS = 100_000
"""Points of a map; of more rows, so many are spread evenly over all."""
MOST_SEED = 2**31 - 1
# More than hold a point in its place, so that some of other studies are among them.
_NEIGHBOURS = 31


def make_map(
    archive: OpenedArchive, *, level: str = "study", seed: int = 0, on_progress: OnProgress = silent
) -> Map:
    """Lay out the studies, series or images of the archive, as the next version of the level's map.

    Places come from each one's nearest by cosine: t-SNE (`medsiglip.mapping.layout`), the same for the same
    archive and `seed` on one machine. Takes about two minutes for 100,000 on two cores. Raises ServiceError
    `bad-level` or `bad-number`, and CatalogError `no-space`, or `space-switched` where the home works in
    another space by now.
    """
    wanted = level_named(level)
    if not 0 <= seed <= MOST_SEED:
        raise ServiceError("bad-number", f"the seed {seed} cannot be used: give one from 0 to {MOST_SEED}.")
    _ = archive.searchable_space

    def compared(done: int, of: int) -> None:
        on_progress("comparing", done, of)

    graph = archive.index.neighbour_graph(wanted, _NEIGHBOURS, most=MOST_POINTS, on_step=compared)
    points, figures = _laid_out(graph, seed, lambda done, of: on_progress("laying out", done, of))
    summary = {**figures, "seed": seed, "rows": graph.rows, "newest": graph.newest}
    archive.index.maps.put(graph.space, wanted, points, summary)
    record = archive.index.maps.find(wanted)
    assert record is not None
    return map_answer(archive, record)


def _laid_out(
    graph: NeighbourGraph, seed: int, on_step: Callable[[int, int], object]
) -> tuple[MapPoints, dict[str, object]]:
    """The points, and how they were made and what they are worth."""
    from medsiglip.index.storage.maps.map_file import MapPoints
    from medsiglip.mapping.distortion import kept_neighbours, trustworthiness
    from medsiglip.mapping.layout import METHOD, NEIGHBOURS, lay_out
    from medsiglip.mapping.likeness import loneliness, nearest_others

    count = len(graph.row_ids)
    width = min(NEIGHBOURS, max(count - 1, 0))
    nearest = graph.neighbours[:, :width]
    places = lay_out(graph.vectors, nearest, seed=seed, on_step=on_step)
    kept = kept_neighbours(places, nearest)
    near, alike = nearest_others(graph.neighbours, graph.cosines, graph.studies)
    named = np.where(near >= 0, graph.row_ids[np.maximum(near, 0)] if count else near, 0)
    points = MapPoints(graph.row_ids, places, kept.astype(np.float32), loneliness(alike), named, alike)
    figures: dict[str, object] = {"method": METHOD, "neighbours": width}
    figures["neighbours_kept"] = float(kept.mean()) if count > 1 else None
    figures["trustworthiness"] = trustworthiness(graph.vectors, places, width) if width else None
    return points, figures
