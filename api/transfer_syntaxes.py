"""Which transfer syntaxes can be decoded here, shown by decoding a small picture encoded in each on the
spot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

Picture = NDArray[np.uint16] | NDArray[np.uint8]
_JPEG = "1.2.840.10008.1.2.4."
_ROWS, _COLUMNS = 32, 48


@dataclass(frozen=True, slots=True)
class Sample:
    """How to encode the test picture of `bits` for one syntax, and how far a decoded value may lie off."""

    uid: str
    bits: int
    encode: Callable[[Picture], bytes] | None
    tolerance: int = 0


def _codec(name: str, **options: Any) -> Callable[[Picture], bytes]:
    def encode(picture: Picture) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(picture, **options))

    return encode


def _run_length(picture: Picture) -> bytes:
    from pydicom import Dataset
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    dataset = Dataset()
    _describe(dataset, picture, 12)
    dataset.compress(RLELossless, picture, encoding_plugin="pydicom", generate_instance_uid=False)
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


# Lossy samples are smooth, so that a few grey levels are ample.
SAMPLES: tuple[Sample, ...] = (
    Sample("1.2.840.10008.1.2", 12, None),
    Sample("1.2.840.10008.1.2.1", 12, None),
    Sample("1.2.840.10008.1.2.1.99", 12, None),
    Sample("1.2.840.10008.1.2.2", 12, None),
    Sample("1.2.840.10008.1.2.5", 12, _run_length),
    Sample(_JPEG + "50", 8, _codec("jpeg8_encode", level=100), 4),
    Sample(_JPEG + "51", 12, _codec("jpeg8_encode", level=100, bitspersample=12), 64),
    Sample(_JPEG + "57", 12, _codec("ljpeg_encode", bitspersample=12)),
    Sample(_JPEG + "70", 8, _codec("jpeg8_encode", lossless=True, predictor=1)),
    Sample(_JPEG + "80", 12, _codec("jpegls_encode")),
    Sample(_JPEG + "81", 12, _codec("jpegls_encode", level=2), 2),
    Sample(_JPEG + "90", 12, _codec("jpeg2k_encode", codecformat="j2k", reversible=True, level=0)),
    Sample(_JPEG + "91", 12, _codec("jpeg2k_encode", codecformat="j2k", level=100, reversible=False), 16),
    Sample(_JPEG + "201", 12, _codec("htj2k_encode", reversible=True)),
    Sample(_JPEG + "203", 12, _codec("htj2k_encode", reversible=True)),
)


def check_transfer_syntaxes() -> list[dict[str, Any]]:
    """One entry per transfer syntax: `uid`, `name`, `decoder` and whether the sample came out right."""
    from pydicom.uid import UID

    return [{"uid": sample.uid, "name": UID(sample.uid).name, **_check(sample)} for sample in SAMPLES]


def _check(sample: Sample) -> dict[str, Any]:
    from ingest.decode import frames
    from ingest.errors import DecodeError

    picture = _picture(sample.bits)
    decoder = _decoder(sample.uid)
    try:
        dataset = _dataset(sample, picture)
    except Exception as error:
        return {
            "decoder": decoder,
            "ok": False,
            "error": f"the sample cannot be encoded ({type(error).__name__}).",
        }
    try:
        decoded = next(iter(frames(dataset, [0])))
    except DecodeError as error:
        return {"decoder": decoder, "ok": False, "error": str(error)}
    right = decoded.shape == picture.shape and _largest_error(decoded, picture) <= sample.tolerance
    return {"decoder": decoder, "ok": bool(right)}


def _largest_error(decoded: NDArray[Any], picture: Picture) -> int:
    return int(np.abs(decoded.astype(np.int64) - picture.astype(np.int64)).max())


def _picture(bits: int) -> Picture:
    y, x = np.mgrid[:_ROWS, :_COLUMNS]
    smooth = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * ((1 << bits) - 1)
    picture: Picture = smooth.astype(np.uint8) if bits == 8 else smooth.astype(np.uint16)
    return picture


def _decoder(uid: str) -> str:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    from ingest.decode import DECODERS

    if uid not in DECODERS:
        return "pydicom"
    available = get_decoder(UID(uid)).available_plugins
    return next((name for name in DECODERS[uid] if name in available), "none")


def _dataset(sample: Sample, picture: Picture) -> Dataset:
    """The picture as a DICOM data set, written to memory and read again, as it would come from a file."""
    from io import BytesIO

    from pydicom import Dataset, dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(sample.uid)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    _describe(dataset, picture, sample.bits)
    big_endian = sample.uid == "1.2.840.10008.1.2.2"
    if sample.encode is not None:
        dataset.PixelData = encapsulate([sample.encode(picture)])
    else:
        dataset.PixelData = picture.astype(picture.dtype.newbyteorder(">" if big_endian else "<")).tobytes()
    dataset["PixelData"].VR = "OB" if sample.encode is not None or sample.bits == 8 else "OW"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return dcmread(stream)


def _describe(dataset: Dataset, picture: Picture, bits: int) -> None:
    dataset.Rows, dataset.Columns = picture.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 8 * picture.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
