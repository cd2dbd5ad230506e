"""NIfTI volumes, read by nibabel: ITK refuses NIfTI-2 and axes that are not at right angles, and reads NaN as
0.
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.volumes.volume_beginning import NIFTI_SIZES
from medsiglip.ingest.volumes.volume_layout import Grid
from medsiglip.ingest.volumes.volume_source import beginning_of, is_packed

# From the coordinates of NIfTI (towards the right, the front and the head) to those of DICOM.
_TO_DICOM = np.diag([-1.0, -1.0, 1.0])
_RIGHT_ANGLE_TOLERANCE = 1e-6


class NiftiVolume:
    """An open file. Methods raise RuntimeError for what cannot be read."""

    def __init__(self, image: Any, *, readable_by_slice: bool) -> None:
        self.readable_by_slice = readable_by_slice
        self._proxy = image.dataobj
        self._is_scaled = (self._proxy.slope, self._proxy.inter) != (1.0, 0.0)
        self.grid = self._grid(image.header)
        self._whole: NDArray[Any] | None = None

    def whole(self) -> NDArray[Any]:
        """All values, [t, z, y, x, component] as far as there are such axes."""
        if self._whole is None:
            self._whole = self._arranged()
        return self._whole

    def _arranged(self) -> NDArray[Any]:
        values = self._read(())
        if values.dtype.names:
            values = _components(values)
            return np.moveaxis(values.T, 0, -1)
        size = self.grid.size
        if self.grid.components > 1:  # [x, y, z, 1, component]
            return np.moveaxis(values.reshape((*size, -1), order="F").T, 0, -1)
        return values.reshape(size, order="F").T

    def slice(self, volume: int, index: int) -> NDArray[Any]:
        """One slice [y, x] from the file, across its z axis."""
        return self._read((slice(None), slice(None), index, volume)[: len(self.grid.size)]).T

    def _read(self, part: tuple[Any, ...]) -> NDArray[Any]:
        try:
            if part:
                values = np.asarray(self._proxy[part])
            elif self._is_scaled:
                values = np.asarray(self._proxy, np.float32)
            else:
                values = self._proxy.get_unscaled()
        except (MemoryError, OverflowError):
            raise
        except Exception:
            raise RuntimeError from None
        return values if values.dtype.names else np.asarray(values, self.grid.dtype)

    def _grid(self, header: Any) -> Grid:
        size = [int(n) for n in self._proxy.shape]
        dtype, components = np.dtype(header.get_data_dtype()), 1
        if dtype.names:
            components, dtype = len(dtype.names), np.dtype(np.uint8)
        while len(size) > 3 and size[-1] == 1:
            size.pop()
        if len(size) == 5 and size[3] == 1 and components == 1:
            components, size = size[4], size[:3]
        if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8) or not 2 <= len(size) <= 4:
            raise RuntimeError
        dtype = np.dtype(np.float32) if self._is_scaled else dtype.newbyteorder("=")
        axes = _axes(header)
        spacing = np.linalg.norm(axes, axis=0)
        return Grid(tuple(size), components, dtype, axes / spacing, tuple(map(float, spacing)))


@cache
def _kinds() -> tuple[Any, Any]:
    """NIfTI-1 and NIfTI-2 of nibabel without the extensions of a header, which hold no geometry.

    nibabel loads them whole, of whatever size they say they are, and parses those that are DICOM.
    """
    from nibabel.nifti1 import Nifti1Extensions, Nifti1Header, Nifti1Image
    from nibabel.nifti2 import Nifti2Header, Nifti2Image

    class NoExtensions(Nifti1Extensions):
        @classmethod
        def from_fileobj(cls, fileobj: Any, size: int, byteswap: bool) -> Any:
            return cls()

    images = []
    for image, header in ((Nifti1Image, Nifti1Header), (Nifti2Image, Nifti2Header)):
        bare = type(f"Bare{header.__name__}", (header,), {"exts_klass": NoExtensions})
        images.append(type(f"Bare{image.__name__}", (image,), {"header_class": bare}))
    return images[0], images[1]


def _components(values: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB and RGBA values [x, y, z] as [x, y, z, component]."""
    return np.stack([values[name] for name in values.dtype.names or ()], axis=-1)


@contextmanager
def open_nifti_volume(path: str) -> Iterator[NiftiVolume]:
    """Open a file, packed or not. Raises OSError, RuntimeError."""
    from nibabel.fileholders import FileHolder

    start = beginning_of(path)
    packed = is_packed(path)
    with open_source(path) as opened:
        content: Any = gzip.GzipFile(fileobj=opened) if packed else opened
        kind = _kinds()[start[4:8] == b"n+2\0"]
        try:
            image = kind.from_file_map({"image": FileHolder(fileobj=content)}, mmap=False)
            volume = NiftiVolume(image, readable_by_slice=not packed)
        except MemoryError:
            raise
        except Exception:  # nibabel's own errors, and those of numpy for a header that contradicts itself
            raise RuntimeError from None
        yield volume


def _axes(header: Any) -> NDArray[np.float64]:
    """The steps along the axes x, y and z in mm, one in each column, in the coordinates of DICOM.

    Those of the sform, else of the qform (nifti1.h, methods 3 and 2), else the axes of the file, taken for
    those of DICOM (as ITK takes method 1).
    """
    for code, affine in (("sform_code", header.get_sform), ("qform_code", header.get_qform)):
        if int(header[code]) <= 0:
            continue
        try:
            axes: NDArray[np.float64] = _TO_DICOM @ np.asarray(affine(), float)[:3, :3]
        except ValueError:  # a quaternion that is no rotation
            continue
        lengths = np.linalg.norm(axes, axis=0)
        if np.isfinite(axes).all() and lengths.min() > 0 and _has_volume(axes / lengths):
            return axes
    steps = np.abs(np.asarray(header["pixdim"][1:4], float))
    return np.diag(np.where(np.isfinite(steps) & (steps > 0), steps, 1.0))


def _has_volume(directions: NDArray[np.float64]) -> bool:
    return bool(abs(np.linalg.det(directions)) > _RIGHT_ANGLE_TOLERANCE)


def check_whole(path: str) -> None:
    """Check that a file holds all values of its header, and that its gzip is complete.

    Raises EOFError if not, and OSError, zlib.error.
    """
    needed, held = _bytes_needed(beginning_of(path)), 0
    packed = is_packed(path)
    with open_source(path) as opened:
        if packed:
            with gzip.GzipFile(fileobj=opened) as file:
                while block := file.read(1 << 20):
                    held += len(block)
        else:
            held = opened.seek(0, os.SEEK_END)
    if held < needed:
        raise EOFError


def _bytes_needed(start: bytes) -> int:
    """Header and values of a NIfTI file, by its `vox_offset`, `dim` and `bitpix`."""
    order = "<" if int.from_bytes(start[:4], "little") in NIFTI_SIZES else ">"
    if start[4:8] == b"n+2\0":
        (bits, *dims), (offset,) = (
            struct.unpack_from(order + "h8q", start, 14),
            struct.unpack_from(order + "q", start, 168),
        )
    else:
        *dims, bits = struct.unpack_from(order + "8h16xh", start, 40)
        (offset,) = struct.unpack_from(order + "f", start, 108)
    values: int = prod(max(size, 1) for size in dims[1 : 1 + dims[0]])
    return int(int(offset) + values * bits // 8)
