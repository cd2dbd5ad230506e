"""Pictures of files beside those of a home whose pixel hashes may be of an earlier version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.ingest.units.plan import PlanOptions

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.workers.render_files import Rendered


def hash_options(index: CaseIndex) -> PlanOptions | None:
    """How to render files that are compared with a home; None where nothing is special."""
    if not index.pixel_hashes.any_older():
        return None
    return PlanOptions(older_hashes=True)


def as_stored(index: CaseIndex, rendered: Sequence[Rendered]) -> list[Rendered]:
    """The pictures, each with the pixel hash under which the home holds its pixels, if it does."""
    older = {one.pixel_hash: one.older_hash for one in rendered if one.older_hash is not None}
    stored = index.pixel_hashes.as_stored(older) if older else {}
    return [replace(one, pixel_hash=stored.get(one.pixel_hash, one.pixel_hash)) for one in rendered]
