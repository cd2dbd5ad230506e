"""What the seed files of DICOM share: a picture, and how a data set is written as a file."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
from pydicom import Dataset
from pydicom.uid import UID

MakeDicom = Callable[..., Dataset]
IMPLICIT = "1.2.840.10008.1.2"
PLAIN = b"1.2.840.10008.1.2.1"
_Y, _X = np.mgrid[:33, :47]
GREY = ((np.sin(_X / 9) + np.cos(_Y / 7) + 2) / 4 * 4095).astype(np.uint16)
COLOUR = np.stack([GREY >> 4, GREY[::-1] >> 4, GREY[:, ::-1] >> 4], axis=-1).astype(np.uint8)


def file_of(dataset: Dataset, syntax: str | None = None) -> bytes:
    """A data set as a file; `syntax` is what its meta information says, whatever pydicom knows of it."""
    stream = io.BytesIO()
    written = str(dataset.file_meta.TransferSyntaxUID)
    dataset.save_as(
        stream,
        implicit_vr=written == IMPLICIT,
        little_endian=written != IMPLICIT + ".2",
        enforce_file_format=True,
    )
    data = stream.getvalue()
    if syntax is None or syntax == written:
        return data
    return data.replace(written.encode(), syntax.encode().ljust(len(written), b"\0"), 1)


def with_pixels(dataset: Dataset, syntax: str, value: bytes | None = None) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if value is not None:
        dataset.PixelData = value
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    return dataset


def deflated(plain: bytes) -> bytes:
    """A file of explicit VR little endian as a deflated one (PS3.5 A.5)."""
    length = int.from_bytes(plain[140:144], "little")
    at = 144 + length
    meta = plain[:at].replace(b"\x14\0" + PLAIN + b"\0", b"\x16\0" + PLAIN + b".99", 1)
    meta = meta[:140] + ((length + 2) % (1 << 32)).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta + packer.compress(plain[at:]) + packer.flush()
