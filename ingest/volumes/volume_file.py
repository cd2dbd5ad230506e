"""The pixels of NIfTI, NRRD and MetaImage volumes: a file is a series, with slices in radiological view.

SimpleITK reads them, and gives positions and directions in the patient's coordinates of DICOM (towards the
left, the back and the head, PS3.3 C.7.6.2.1.1), whatever the file's own are.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.volumes.volume_header import (
    check_whole,
    layout_of,
    local_copy,
    open_reader,
    volume_hash,
)
from medsiglip.ingest.volumes.volume_layout import VolumeLayout

if TYPE_CHECKING:
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.units.plan import Slice


class VolumeFile:
    """The stored values of a volume file, slice by slice. Raises `DecodeError` `undecodable-volume`."""

    def __init__(self, header: Header) -> None:
        self._header = header

    def pixel_hash(self) -> str:
        """The hash of the file, and of its data file where that is another."""
        try:
            check_whole(self._header.path)
            return volume_hash(self._header.path)
        except (OSError, EOFError, zlib.error):
            raise decode_error("undecodable-volume") from None

    def quality(self) -> Mapping[str, float | str | bool]:
        """Nothing: such files hold only a grid of values."""
        return {}

    def images(
        self, slices: Sequence[Slice]
    ) -> Iterator[tuple[Slice, NDArray[Any], PixelAttributes, str | None]]:
        """Each slice as [H, W] or RGB [H, W, 3], with its attributes and rendering."""
        with local_copy(self._header.path) as path:
            try:
                reader = open_reader(path)
                layout = layout_of(reader, path)
                pixels = _Pixels(reader, layout)
                attributes = attributes_of_volume(self._header.modality, layout)
                rendering = rendering_of_volume(attributes, layout)
                for item in slices:
                    yield item, pixels.slice(item.frame), attributes, rendering
            except OverflowError:
                raise decode_error("picture-too-large") from None
            except (RuntimeError, OSError):  # SimpleITK raises these for all errors
                raise decode_error("undecodable-volume") from None


class _Pixels:
    """Slices of an open volume: each read from the file by itself where the format allows it, else from
    memory.
    """

    def __init__(self, reader: Any, layout: VolumeLayout) -> None:
        self._reader = reader
        self._layout = layout
        self._whole: Any = None

    def slice(self, frame: int) -> NDArray[Any]:
        layout = self._layout
        volume, number = divmod(frame, layout.slices)
        index = layout.index_of(number)
        if layout.readable_by_slice:
            array = self._extract(volume, index)
        else:
            array = self._view()
            if layout.is_vector and not layout.is_rgb:
                array = array[..., volume]
            elif layout.dimension == 4:
                array = array[volume]
            array = np.take(array, index, axis=layout.slice_axis)
        return layout.upright(array)

    def _extract(self, volume: int, index: int) -> NDArray[Any]:
        """One slice from the file: [z, y, x] without the axis of the slices."""
        import SimpleITK

        size = list(self._reader.GetSize())
        start = [0] * len(size)
        axis = 2 - self._layout.slice_axis
        if len(size) > 2:
            start[axis], size[axis] = index, 1
        if len(size) == 4:
            start[3], size[3] = volume, 1
        self._reader.SetExtractIndex(start)
        self._reader.SetExtractSize(size)
        array = SimpleITK.GetArrayFromImage(self._reader.Execute())
        if len(size) == 4:
            array = array[0]
        return array[(slice(None),) * self._layout.slice_axis + (0,)] if len(size) > 2 else array

    def _view(self) -> NDArray[Any]:
        """The whole file [t, z, y, x, component]: a view of what SimpleITK holds, not another copy."""
        import SimpleITK

        if self._whole is None:
            self._whole = self._reader.Execute()
        array: NDArray[Any] = SimpleITK.GetArrayViewFromImage(self._whole)
        return array[None] if self._layout.dimension == 2 else array


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
