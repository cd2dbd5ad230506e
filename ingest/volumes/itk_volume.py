"""NRRD and MetaImage volumes, read by SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.volumes.volume_layout import Grid
from medsiglip.ingest.volumes.volume_source import beginning_of, is_compressed_meta, local_copy, suffix_of

# SimpleITK's readers by name; that of MetaImage can read parts of a file.
_READERS = {"nr": "NrrdImageIO", "nh": "NrrdImageIO", "mh": "MetaImageIO"}


class ItkVolume:
    """An open file. Methods raise RuntimeError, as SimpleITK does for all errors."""

    def __init__(self, reader: Any, *, readable_by_slice: bool) -> None:
        self.readable_by_slice = readable_by_slice
        self.grid = _grid(reader)
        self._reader = reader
        self._whole: Any = None

    def whole(self) -> NDArray[Any]:
        """All values, [t, z, y, x, component] as far as there are such axes: a view of what SimpleITK holds,
        not another copy.
        """
        import SimpleITK

        if self._whole is None:
            self._whole = self._reader.Execute()
        array: NDArray[Any] = SimpleITK.GetArrayViewFromImage(self._whole)
        return array

    def slice(self, volume: int, index: int) -> NDArray[Any]:
        """One slice [y, x] from the file, across its z axis."""
        import SimpleITK

        size = list(self._reader.GetSize())
        start = [0] * len(size)
        start[2], size[2] = index, 1
        if len(size) == 4:
            start[3], size[3] = volume, 1
        self._reader.SetExtractIndex(start)
        self._reader.SetExtractSize(size)
        array: NDArray[Any] = SimpleITK.GetArrayFromImage(self._reader.Execute())
        return array.reshape(array.shape[-2:])


@contextmanager
def open_itk_volume(path: str) -> Iterator[ItkVolume]:
    """Open a file. Raises OSError, RuntimeError."""
    import SimpleITK

    itk: Any = SimpleITK  # its functions have no types
    itk.ProcessObject.SetGlobalWarningDisplay(False)  # what it prints may quote the header
    by_slice = suffix_of(path).startswith(".mh") and not is_compressed_meta(beginning_of(path))
    with local_copy(path) as local:
        reader = itk.ImageFileReader()
        reader.SetImageIO(_READERS[suffix_of(local)[1:3]])
        reader.SetNumberOfThreads(1)
        reader.SetFileName(local)
        reader.ReadImageInformation()
        yield ItkVolume(reader, readable_by_slice=by_slice)


def _grid(reader: Any) -> Grid:
    import SimpleITK

    itk: Any = SimpleITK
    dimension = reader.GetDimension()
    if dimension < 2:
        raise RuntimeError
    directions = np.eye(3)
    axes = min(dimension, 3)
    stated = np.asarray(reader.GetDirection(), float).reshape(dimension, dimension)
    directions[:axes, :axes] = stated[:axes, :axes]
    return Grid(
        tuple(reader.GetSize()),
        int(reader.GetNumberOfComponents()),
        _dtype(itk.GetPixelIDValueAsString(reader.GetPixelID())),
        directions,
        tuple(reader.GetSpacing()[:3]),
    )


def _dtype(pixel_type: str) -> np.dtype[Any]:
    """The numpy type of a SimpleITK pixel type, such as "vector of 8-bit unsigned integer"."""
    bits = next((n for n in (8, 16, 32, 64) if f"{n}-bit" in pixel_type), None)
    if bits is None or "complex" in pixel_type or "label" in pixel_type:
        raise RuntimeError
    kind = "f" if "float" in pixel_type else "u" if "unsigned" in pixel_type else "i"
    return np.dtype(f"{kind}{bits // 8}")
