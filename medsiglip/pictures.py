"""The one reader of plain pictures, for ingest and for tuning."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.decoded_picture import DecodedPicture, Picture, PictureFacts
from medsiglip.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
Source = str | PathLike[str] | BinaryIO
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# PNG: the chunk IHDR comes first; 8 bytes of signature, its length, its name, width, height, depth, colours.
_PNG_START, _PNG_DEPTH, _PNG_COLOURS = b"\x89PNG\r\n\x1a\n", 24, 25
_PNG_GREY = (0, 4)
_ORIENTATION, _RAW_EXIF = 0x0112, "Raw profile type exif"


class PictureError(ModelError):
    """A picture that cannot be used: `picture-forbidden`, `picture-too-large` or `picture-unreadable`."""


def read_picture(source: Source) -> NDArray[np.uint8]:
    """The values of `open_picture`."""
    return open_picture(source).values


def open_picture(source: Source) -> Picture:
    """The first page of a PNG, JPEG, TIFF or BMP, by path or open for reading, as display values.

    EXIF orientation is honoured, palettes are looked up, transparency is dropped, colours are converted to
    sRGB by the ICC profile or the gamma of the file; see `DecodedPicture.display` for values of more than 8
    bits. Resolutions are ignored: those of plain pictures are seldom right. Raises `PictureError`.
    """
    from PIL import Image

    try:
        return _decoded(source).display()
    except PermissionError:
        raise _refusal("picture-forbidden", source, "may not be read: give read permission") from None
    except (Image.DecompressionBombError, MemoryError):
        raise _refusal("picture-too-large", source, "is too large: make it smaller") from None
    except Exception:  # a damaged picture makes decoders raise nearly anything
        cure = (
            f"give a whole {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file (`medsiglip render` renders DICOM)"
        )
        raise _refusal("picture-unreadable", source, f"cannot be read as a picture: {cure}") from None


def picture_facts(source: Source) -> PictureFacts:
    """What the header of a picture says.

    Raises PIL's `UnidentifiedImageError` and `DecompressionBombError`, OSError, ValueError and SyntaxError.
    """
    from PIL import Image, UnidentifiedImageError

    if _start(source).startswith(_TIFF_STARTS):
        from medsiglip.tiff_file import tiff_facts

        try:
            facts = tiff_facts(source)
        except OSError:
            raise
        except MemoryError:
            raise Image.DecompressionBombError from None
        except Exception:  # tifffile's own, and whatever a damaged header makes it raise
            raise UnidentifiedImageError("not a TIFF that can be read") from None
        _check_size(facts.rows, facts.columns)
        return facts
    depth = _png_depth(source)
    with Image.open(source, formats=FORMATS) as opened:
        is_grey = opened.mode in {"1", "L", "LA", "I;16", "I", "F"}
        bits = {"1": 1, "I;16": 16, "I": 32, "F": 32}.get(opened.mode, 8)
        if depth == 16:
            bits, is_grey = 16, _start(source)[_PNG_COLOURS] in _PNG_GREY
        samples = len(opened.getbands())
        return PictureFacts(opened.height, opened.width, samples, bits, is_grey, opened.format == "JPEG")


def _decoded(source: Source) -> DecodedPicture:
    from PIL import Image, ImageOps

    if _start(source).startswith(_TIFF_STARTS):
        from medsiglip.tiff_file import read_tiff

        found = read_tiff(source, _check_size)
        if found is not None:
            return found
    is_deep = _png_depth(_rewound(source)) == 16
    with Image.open(_rewound(source), formats=FORMATS) as opened:
        info = dict(opened.info)
        orientation = 1
        if is_deep:
            content = _content(source)
            samples, space, bits = *_deep_png(content), 16
            if _RAW_EXIF not in info:
                opened.info.setdefault("exif", _png_exif(content))
            orientation = int(opened.getexif().get(_ORIENTATION, 1))
        else:
            opened.load()
            samples, space, bits = _samples(ImageOps.exif_transpose(opened))
        profile = info.get("icc_profile")
        return DecodedPicture(
            samples,
            space,
            bits,
            profile=profile if isinstance(profile, bytes) and profile else None,
            gamma=None if "srgb" in info else info.get("gamma"),
            orientation=orientation,
        )


def _samples(opened: Image.Image) -> tuple[NDArray[Any], str, int]:
    """What Pillow reads of a picture: samples, colour space and bits."""
    if opened.mode.startswith("I") or opened.mode == "F":
        return np.asarray(opened), "grey", 16 if opened.mode.startswith("I;16") else 32
    if opened.mode in {"1", "L", "LA", "La"}:
        return np.asarray(opened.convert("L")), "grey", 8
    if opened.mode == "CMYK":
        return np.asarray(opened), "cmyk", 8
    colours = np.asarray(opened.convert("RGBA" if opened.mode == "PA" else "RGB"))
    return colours[..., :3], "rgb", 8


def _deep_png(content: bytes) -> tuple[NDArray[Any], str]:
    """A PNG of 16 bits, of which Pillow keeps the upper 8 where there is colour or opacity."""
    import imagecodecs

    samples = np.asarray(imagecodecs.png_decode(content))
    if samples.ndim == 2 or samples.shape[2] <= 2:
        return (samples if samples.ndim == 2 else samples[..., 0]), "grey"
    return samples[..., :3], "rgb"


def _png_exif(content: bytes) -> bytes:
    """The chunk eXIf, b"" if there is none: Pillow finds it behind the pixels only while it decodes them."""
    at = len(_PNG_START)
    while (name := content[at + 4 : at + 8]) not in (b"", b"IEND"):
        size = int.from_bytes(content[at : at + 4], "big")
        if name == b"eXIf":
            return content[at + 8 : at + 8 + size]
        at += 12 + size
    return b""


def _check_size(rows: int, columns: int) -> None:
    """As Pillow does for the formats that it opens."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and rows * columns > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


def _png_depth(source: Source) -> int | None:
    start = _start(source)
    return start[_PNG_DEPTH] if start.startswith(_PNG_START) and len(start) > _PNG_COLOURS else None


def _start(source: Source) -> bytes:
    """The first bytes; an open file is left at its beginning."""
    if isinstance(source, str | PathLike):
        with open(source, "rb") as file:
            return file.read(32)
    source.seek(0)
    start = source.read(32)
    source.seek(0)
    return start


def _rewound(source: Source) -> Source:
    if not isinstance(source, str | PathLike):
        source.seek(0)
    return source


def _content(source: Source) -> bytes:
    if isinstance(source, str | PathLike):
        with open(source, "rb") as file:
            return file.read()
    source.seek(0)
    return source.read()


def _refusal(code: str, source: Source, what: str) -> PictureError:
    name = fspath(source) if isinstance(source, str | PathLike) else getattr(source, "name", "The picture")
    return PictureError(code, f"{name} {what}.")
