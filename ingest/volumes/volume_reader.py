"""Opening a volume with the library for its format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from medsiglip.ingest.volumes.volume_layout import VolumeLayout
from medsiglip.ingest.volumes.volume_source import suffix_of

if TYPE_CHECKING:
    from medsiglip.ingest.volumes.itk_volume import ItkVolume
    from medsiglip.ingest.volumes.nifti_volume import NiftiVolume


@contextmanager
def open_volume(path: str) -> Iterator[tuple[ItkVolume | NiftiVolume, VolumeLayout]]:
    """A file and its layout.

    Raises OSError, RuntimeError if it cannot be read or rendered, OverflowError if it is too large.
    """
    with _open(path) as volume:
        yield volume, VolumeLayout.of(volume.grid, readable_by_slice=volume.readable_by_slice)


def _open(path: str) -> AbstractContextManager[ItkVolume | NiftiVolume]:
    if suffix_of(path).startswith(".ni"):
        from medsiglip.ingest.volumes.nifti_volume import open_nifti_volume

        return open_nifti_volume(path)
    from medsiglip.ingest.volumes.itk_volume import open_itk_volume

    return open_itk_volume(path)
