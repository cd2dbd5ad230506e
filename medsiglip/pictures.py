"""The one reader of plain pictures, for ingest and for tuning."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.errors import ModelError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")


class PictureError(ModelError):
    """A picture that cannot be used: `picture-forbidden`, `picture-too-large` or `picture-unreadable`."""


def read_picture(source: str | PathLike[str] | BinaryIO) -> NDArray[np.uint8]:
    """The first page of a PNG, JPEG, TIFF or BMP, by path or open for reading: uint8 [H, W] or [H, W, 3].

    EXIF orientation is honoured, palettes are looked up, transparency is dropped; values of more than 8 bits
    are stretched from their smallest to their largest, because files of 12 bits in 16 are more common than
    files that use all 16. Raises `PictureError`.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(source, formats=FORMATS) as opened:
            opened.load()
            return _values(ImageOps.exif_transpose(opened))
    except PermissionError:
        raise _refusal("picture-forbidden", source, "may not be read: give read permission") from None
    except (Image.DecompressionBombError, MemoryError):
        raise _refusal("picture-too-large", source, "is too large: make it smaller") from None
    except Exception:  # a damaged picture makes Pillow's decoders raise nearly anything
        cure = (
            f"give a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file (`medsiglip render` renders DICOM)"
        )
        raise _refusal("picture-unreadable", source, f"cannot be read as a picture: {cure}") from None


def _values(picture: Any) -> NDArray[np.uint8]:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _stretched(np.asarray(picture))
    if picture.mode in {"1", "L", "LA", "La"}:
        return np.asarray(picture.convert("L"))
    return np.asarray(picture.convert("RGBA" if picture.mode == "PA" else "RGB"))[..., :3]


def _stretched(values: NDArray[Any]) -> NDArray[np.uint8]:
    numbers = np.nan_to_num(values.astype(np.float64))
    low, high = float(numbers.min()), float(numbers.max())
    return np.rint((numbers - low) / (high - low or 1.0) * 255.0).astype(np.uint8)


def _refusal(code: str, source: str | PathLike[str] | BinaryIO, what: str) -> PictureError:
    name = fspath(source) if isinstance(source, str | PathLike) else getattr(source, "name", "The picture")
    return PictureError(code, f"{name} {what}.")
