"""Upkeep of the archive's index: counts, verification, rebuilding, compaction, recovery and export."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from medsiglip.answers.service import ArchiveInfo, Recovery, Verification
from medsiglip.api.archive.files import AnyPath, output_folder
from medsiglip.api.archive.outdated import count_outdated

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


def index_info(archive: OpenedArchive) -> ArchiveInfo:
    """Counts of the archive."""
    outdated = count_outdated(archive.index.instances.rendering_counts())
    return ArchiveInfo(**asdict(archive.index.info()), outdated=outdated, home=str(archive.home))


def verify(archive: OpenedArchive) -> Verification:
    """Whether catalogue, vectors and search index agree."""
    return Verification.model_validate(archive.index.verify())


def rebuild(archive: OpenedArchive) -> ArchiveInfo:
    """Rebuild the search index from the stored vectors."""
    archive.index.rebuild()
    return index_info(archive)


def compact(archive: OpenedArchive) -> ArchiveInfo:
    """Merge small vector files."""
    merged = archive.index.compact()
    return index_info(archive).model_copy(update=asdict(merged))


def recover(archive: OpenedArchive) -> Recovery:
    """Make the home fit its catalogue, an older one than the home was left with; see
    `medsiglip.index.storage.older_catalogue`. The archive must not be open.
    """
    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.index.storage.older_catalogue import recover as recover_home

    recovered = recover_home(archive.home, database_url=catalogue_url(archive.settings))
    return Recovery.model_validate(recovered)


def export(archive: OpenedArchive, out: AnyPath) -> dict[str, Any]:
    """Write `images.parquet` into the folder `out`."""
    index = archive.index
    folder = output_folder(out, mode=0o700)
    rows = index.export(folder)
    return {"path": str(folder / "images.parquet"), "images": rows}
