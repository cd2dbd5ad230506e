"""The decoders by name: each turns the bytes of one encapsulated frame into an array, or raises."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.pixels import imagecodecs
from medsiglip.ingest.pixels.image_pixel import ImagePixel
from medsiglip.ingest.pixels.native import native_frame

# (bytes of one frame, how it is stored, UID of its transfer syntax) -> [H, W] stored values or [H, W, 3] RGB
Decode = Callable[[bytes, ImagePixel, str], NDArray[Any]]


def _direct(decode: Callable[[bytes, ImagePixel], NDArray[Any]]) -> Decode:
    return lambda codestream, image, syntax: decode(codestream, image)


def _native(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    return native_frame(codestream, image, 0)


def _inflated(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """Deflated image frame compression (PS3.5 A.4.12): raw deflate (RFC 1951) of one native frame."""
    size = (image.samples * image.bits_allocated + 7) // 8
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    values = inflater.decompress(codestream, size)
    if len(values) < size:
        raise decode_error("inconsistent-pixels" if inflater.eof else "truncated")
    return native_frame(values, image, 0)


def _plugin(name: str) -> Decode:
    """A plugin of pydicom."""

    def decode(codestream: bytes, image: ImagePixel, syntax: str) -> NDArray[Any]:
        from pydicom.encaps import encapsulate
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        options: Any = {  # pydicom types each option as the mapping of all of them
            "as_rgb": True,
            "number_of_frames": 1,
            "rows": image.rows,
            "columns": image.columns,
            "samples_per_pixel": image.samples_per_pixel,
            "planar_configuration": image.planar_configuration,
            "photometric_interpretation": image.photometric_interpretation,
            "bits_allocated": image.bits_allocated,
            "bits_stored": image.bits_stored,
            "pixel_representation": int(image.signed),
            "pixel_keyword": "PixelData",
        }
        codestreams = encapsulate([codestream], has_bot=False)
        array, _ = get_decoder(UID(syntax)).as_array(codestreams, index=0, decoding_plugin=name, **options)
        return np.asarray(array)

    return decode


DECODERS: dict[str, Decode] = {
    "numpy": _direct(_native),
    "zlib": _direct(_inflated),
    "imagecodecs-rle": _direct(imagecodecs.decode_run_lengths),
    "libjpeg-turbo": _direct(imagecodecs.decode_jpeg),
    "charls": _direct(imagecodecs.decode_jpeg_ls),
    "openjpeg": _direct(imagecodecs.decode_jpeg_2000),
    "openjph": _direct(imagecodecs.decode_reversible_htj2k),
    "gdcm": _plugin("gdcm"),
    "pylibjpeg": _plugin("pylibjpeg"),
    "pyjpegls": _plugin("pyjpegls"),
}
_CODECS = {
    "imagecodecs-rle": "DICOMRLE",
    "libjpeg-turbo": "JPEG8",
    "charls": "JPEGLS",
    "openjpeg": "JPEG2K",
    "openjph": "HTJ2K",
}


@cache
def is_installed(name: str, syntax: str) -> bool:
    """Whether a decoder can be called here for the transfer syntax of this UID."""
    if name in ("numpy", "zlib"):
        return True
    try:
        if name in _CODECS:
            import imagecodecs

            return bool(getattr(imagecodecs, _CODECS[name]).available)
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        return name in get_decoder(UID(syntax)).available_plugins
    except (ImportError, AttributeError, NotImplementedError):
        return False
