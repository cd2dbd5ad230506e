"""Upkeep of the archive's index: counts, verification, rebuilding, compaction, recovery and export."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medsiglip.answers.service import ArchiveInfo, Recovery, Verification
from medsiglip.api.archive.files import AnyPath, output_folder
from medsiglip.api.archive.upkeep.outdated import count_outdated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from medsiglip.api.archive.opened import OpenedArchive

# Texts that the axes of the index are learnt on: enough for their directions, few enough for a slow encoder.
_TEXTS = 256


def index_info(archive: OpenedArchive) -> ArchiveInfo:
    """Counts of the archive."""
    outdated = count_outdated(archive.index.instances.rendering_counts())
    return ArchiveInfo(
        **asdict(archive.index.info()), outdated=outdated, spaces=_spaces(archive), home=str(archive.home)
    )


def _spaces(archive: OpenedArchive) -> dict[str, int]:
    """How many images each space holds, by its name."""
    return {one.name: one.images for one in archive.index.spaces.listed()}


def verify(archive: OpenedArchive, *, deep: bool = False) -> Verification:
    """Whether catalogue, vectors and search index agree; with `deep`, also each vector file with its
    checksum, and the snapshot on disk with the vector files.
    """
    return Verification.model_validate(archive.index.verify(deep))


def rebuild(archive: OpenedArchive) -> ArchiveInfo:
    """Rebuild the search index from the stored vectors, to suit the texts of the bundled prompt sets."""
    from medsiglip.errors import ModelError
    from medsiglip.index.search.kinds.bounded import LEAST

    queries = None
    if sum(one.images for one in archive.index.instances.rendering_counts()) >= LEAST:
        with suppress(ModelError):  # without its model the index is as exact; a former sample stays
            queries = prompt_vectors(archive)
    archive.index.rebuild(queries)
    return index_info(archive)


def prompt_vectors(archive: OpenedArchive) -> NDArray[np.float32]:
    """Vectors of some texts of all bundled prompt sets, float32 [m, d]."""
    import numpy as np

    from medsiglip.zero_shot.prompt_file import list_prompt_sets, load_prompt_set

    sets = [load_prompt_set(name) for name in list_prompt_sets()]
    texts = {
        text
        for one in sets
        for prompts in one.prompts.values()
        for text in (*prompts.present, *prompts.absent)
    }
    ordered = sorted(texts)
    _ = archive.space  # the model follows a home that was switched to another
    chosen = np.linspace(0, len(ordered) - 1, min(_TEXTS, len(ordered))).astype(int)
    return archive.encoder.encode_texts([ordered[place] for place in chosen])


def compact(archive: OpenedArchive) -> ArchiveInfo:
    """Merge small vector files."""
    merged = archive.index.compact()
    return index_info(archive).model_copy(update=asdict(merged))


def recover(archive: OpenedArchive) -> Recovery:
    """Make the home fit its catalogue, an older one than the home was left with; see
    `medsiglip.index.storage.older_catalogue`. The archive must not be open.
    """
    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.api.object_place import object_place
    from medsiglip.index.storage.older_catalogue import recover as recover_home

    place = object_place(archive.settings)
    recovered = recover_home(archive.home, database_url=catalogue_url(archive.settings), objects=place)
    return Recovery.model_validate(recovered)


def export(archive: OpenedArchive, out: AnyPath) -> dict[str, Any]:
    """Write `images.parquet` into the folder `out`."""
    index = archive.index
    folder = output_folder(out, mode=0o700)
    rows = index.export(folder)
    return {"path": str(folder / "images.parquet"), "images": rows}
