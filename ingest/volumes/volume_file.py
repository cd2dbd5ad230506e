"""The pixels of NIfTI, NRRD and MetaImage volumes: a file is a series, with slices in radiological view.

Directions are in the patient's coordinates of DICOM (towards the left, the back and the head, PS3.3
C.7.6.2.1.1), whatever the file's own are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.pixels.pixel_hash import PixelHash
from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.volumes.volume_layout import VolumeLayout
from medsiglip.ingest.volumes.volume_reader import open_volume
from medsiglip.ingest.volumes.volume_source import suffix_of, volume_hash

if TYPE_CHECKING:
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.units.plan import Slice
    from medsiglip.ingest.volumes.itk_volume import ItkVolume
    from medsiglip.ingest.volumes.nifti_volume import NiftiVolume


class VolumeFile:
    """The stored values of a volume file, slice by slice. Raises `DecodeError` `undecodable-volume`."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def pixel_hash(self, *, older: bool = False) -> PixelHash:
        """The hash of the file, and of its data file where that is another: that which its UIDs are made
        from, the same in all versions.
        """
        try:
            if suffix_of(self._header.path).startswith(".ni"):
                from medsiglip.ingest.volumes.nifti_volume import check_whole

                check_whole(self._header.path)
            return PixelHash(volume_hash(self._header.path))
        except (OSError, EOFError, zlib.error):
            raise decode_error("undecodable-volume") from None

    def quality(self) -> Mapping[str, float | str | bool]:
        """Nothing: such files hold only a grid of values."""
        return {}

    def images(
        self, slices: Sequence[Slice]
    ) -> Iterator[tuple[Slice, NDArray[Any], PixelAttributes, str | None]]:
        """Each slice as [H, W] or RGB [H, W, 3], with its attributes and rendering."""
        try:
            with open_volume(self._header.path) as (volume, layout):
                attributes = attributes_of_volume(self._header.modality, layout)
                rendering = rendering_of_volume(attributes, layout)
                for item in slices:
                    yield item, _pixels(volume, layout, item.frame), attributes, rendering
        except OverflowError:
            raise decode_error("picture-too-large") from None
        except (RuntimeError, OSError, EOFError, zlib.error):
            raise decode_error("undecodable-volume") from None


def _pixels(volume: ItkVolume | NiftiVolume, layout: VolumeLayout, frame: int) -> NDArray[Any]:
    """A slice as rendered: read by itself where the format allows it, else from memory."""
    number, slice_number = divmod(frame, layout.slices)
    index = layout.index_of(slice_number)
    if layout.readable_by_slice:
        return layout.upright(volume.slice(number, index))
    array = volume.whole()
    array = array[None] if layout.dimension == 2 else array
    if layout.is_vector and not layout.is_rgb:
        array = array[..., number]
    elif layout.dimension == 4:
        array = array[number]
    return layout.upright(np.take(array, index, axis=layout.slice_axis))


def attributes_of_volume(modality: str, layout: VolumeLayout) -> PixelAttributes:
    """The attributes of a volume.

    Values are Hounsfield units only if the metadata say CT and the type can hold the -1000 of air: headers
    have no field for the unit, and it is not inferred from the values.
    """
    bits = 8 * layout.dtype.itemsize
    return PixelAttributes(
        modality=modality,
        photometric_interpretation="RGB" if layout.is_rgb else "MONOCHROME2",
        bits_stored=min(bits, 32),
        hounsfield=modality == "CT" and bits > 8 and layout.dtype.kind in "if",
        pixel_aspect=layout.pixel_aspect,
    )


def rendering_of_volume(attributes: PixelAttributes, layout: VolumeLayout) -> str | None:
    """None for CT, MR and colour, which are rendered as in DICOM; percentiles for the rest."""
    from medsiglip.ingest.render.renderings import choose_rendering

    return "series-percentile" if not layout.is_rgb and choose_rendering(attributes) == "voi" else None
