"""`doctor`: checks what this installation can do, by decoding, searching and encoding small samples."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.drafts.generators import try_generators
from medsiglip.api.cli.home_check import check_home
from medsiglip.api.errors import explain
from medsiglip.api.jobs.heartbeat import heartbeats
from medsiglip.api.settings import printable_values

if TYPE_CHECKING:
    from pydicom import Dataset

    from medsiglip.api.settings import Settings


Picture = NDArray[np.uint16] | NDArray[np.uint8] | NDArray[np.bool_]
_LITTLE = "1.2.840.10008.1.2"
_JPEG = _LITTLE + ".4."
_ROWS, _COLUMNS = 33, 47


def examine(settings: Settings) -> dict[str, Any]:
    """Answer in the JSON shape of `doctor`; `ok` is whether every part but the generators is.

    Raises ServiceError `bad-generators` for a file of generators that cannot be used.
    """
    syntaxes = check_transfer_syntaxes()
    faiss = _faiss()
    model = _model(settings)
    home = check_home(settings)
    return {
        "transfer_syntaxes": syntaxes,
        "device": _device(settings),
        "faiss": faiss,
        "model": model,
        "home": home,
        "generators": try_generators(settings),
        "workers": [one.to_json() for one in heartbeats(settings.home)],
        "settings": printable_values(settings),
        "ok": all(syntax["ok"] for syntax in syntaxes) and faiss["ok"] and model["ok"] and home["ok"],
    }


def _device(settings: Settings) -> str:
    import torch

    if settings.device == "cpu" or not torch.cuda.is_available():
        return f"cpu ({torch.get_num_threads()} threads)"
    return f"cuda ({torch.cuda.get_device_name(0)})"


def _faiss() -> dict[str, Any]:
    try:
        import faiss
    except ImportError as error:
        return {"ok": False, "error": f"faiss cannot be imported ({error}): install faiss-gpu or faiss-cpu."}
    from medsiglip.index.search.kinds.gpu.choice import gpu_status

    vectors = np.eye(8, dtype=np.float32)
    index = faiss.IndexFlatIP(8)
    index.add(vectors)
    _, nearest = index.search(vectors, 1)
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return {
        "version": faiss.__version__,
        "gpus": gpus,
        **gpu_status(),
        "threads": faiss.omp_get_max_threads(),
        "ok": bool((nearest[:, 0] == np.arange(8)).all()),
    }


def _model(settings: Settings) -> dict[str, Any]:
    """Open the chosen model, or `tiny`, and encode a grey image and a word with it."""
    from medsiglip.errors import ModelError

    name = settings.model or "tiny"
    try:
        from medsiglip.checkpoint import open_checkpoint
        from medsiglip.encoder import Encoder
        from medsiglip.preprocess import DEFAULT_PROFILE

        checkpoint = open_checkpoint(name)
        encoder = Encoder(
            checkpoint,
            profile=settings.profile or DEFAULT_PROFILE,
            device=settings.device,
            precision=settings.precision,
        )
        size = checkpoint.image_size
        image = encoder.encode_images(np.full((1, size, size, 3), 127, np.uint8))[0]
        text = encoder.encode_texts(["chest"])[0]
    except (ModelError, OSError, MemoryError) as error:
        explanation = explain(error)
        if explanation is None:
            raise
        return {"model": name, "ok": False, "code": explanation.code, "error": explanation.message}
    lengths = [float(np.linalg.norm(vector)) for vector in (image, text)]
    return {
        "model": checkpoint.name,
        "folder": str(checkpoint.folder),
        "hash": checkpoint.hash,
        "dimension": checkpoint.dimension,
        "image_size": checkpoint.image_size,
        "context_length": checkpoint.context_length,
        "demonstration": checkpoint.is_demonstration,
        "ok": all(abs(length - 1) < 1e-3 for length in lengths),
    }


@dataclass(frozen=True, slots=True)
class Sample:
    """How to encode the test picture of `bits` in one syntax, and the largest error of a decoded value."""

    uid: str
    bits: int
    encode: Callable[[Picture], bytes] | None
    tolerance: int = 0


def _codec(name: str, **options: Any) -> Callable[[Picture], bytes]:
    def encode(picture: Picture) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(picture, **options))

    return encode


def _stored(picture: Picture) -> bytes:
    """The picture as native pixel data, a picture of 1 bit packed (PS3.5 8.1.1)."""
    if picture.dtype == bool:
        return np.packbits(picture, axis=None, bitorder="little").tobytes()
    return picture.tobytes()


def _deflated(picture: Picture) -> bytes:
    import zlib

    return zlib.compress(_stored(picture), wbits=-zlib.MAX_WBITS)


def _run_lengths(picture: Picture) -> bytes:
    """Literal runs alone: a segment for each byte of a sample, most significant first (PS3.5 Annex G)."""
    cells = np.frombuffer(_stored(picture), np.uint8)
    width = picture.itemsize
    segments = [_literals(cells[width - 1 - k :: width].tobytes()) for k in range(width)]
    starts = [64 + sum(map(len, segments[:k])) for k in range(width)]
    return struct.pack("<16I", width, *starts, *[0] * (15 - width)) + b"".join(segments)


def _literals(segment: bytes) -> bytes:
    runs = [segment[i : i + 128] for i in range(0, len(segment), 128)]
    packed = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return packed + b"\0" * (len(packed) % 2)


# Lossy samples are smooth, so a few grey levels are enough. 1 bit: 33 x 47 pixels end within a byte.
SAMPLES: tuple[Sample, ...] = (
    Sample(_LITTLE, 12, None),
    Sample(_LITTLE, 1, None),
    Sample(_LITTLE + ".1", 12, None),
    Sample(_LITTLE + ".1.99", 12, None),
    Sample(_LITTLE + ".2", 12, None),
    Sample(_LITTLE + ".1.98", 12, _stored),
    Sample(_LITTLE + ".8.1", 12, _deflated),
    Sample(_LITTLE + ".8.1", 1, _deflated),
    Sample(_LITTLE + ".5", 12, _run_lengths),
    Sample(_LITTLE + ".5", 1, _run_lengths),
    Sample(_JPEG + "50", 8, _codec("jpeg8_encode", level=100), 4),
    Sample(_JPEG + "51", 12, _codec("jpeg8_encode", level=100, bitspersample=12), 64),
    Sample(_JPEG + "57", 12, _codec("ljpeg_encode", bitspersample=12)),
    Sample(_JPEG + "70", 8, _codec("jpeg8_encode", lossless=True, predictor=1)),
    Sample(_JPEG + "80", 12, _codec("jpegls_encode")),
    Sample(_JPEG + "81", 12, _codec("jpegls_encode", level=2), 2),
    Sample(_JPEG + "90", 12, _codec("jpeg2k_encode", codecformat="j2k", reversible=True, level=0)),
    Sample(_JPEG + "91", 12, _codec("jpeg2k_encode", codecformat="j2k", level=100, reversible=False), 16),
    Sample(_JPEG + "201", 12, _codec("htj2k_encode", reversible=True)),
    Sample(_JPEG + "202", 12, _codec("htj2k_encode", reversible=True)),
    Sample(_JPEG + "203", 12, _codec("htj2k_encode", reversible=False), 16),
)


def check_transfer_syntaxes() -> list[dict[str, Any]]:
    """One entry per sample: `uid`, `name`, `bits` of a value, `decoder` (those installed, the preferred
    first), the `reason` of that order, and `ok`, whether it was decoded correctly, with the cause if not.
    """
    from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES

    return [
        {
            "uid": sample.uid,
            "name": _name(sample),
            "bits": sample.bits,
            **_check(sample),
            "reason": TRANSFER_SYNTAXES[sample.uid].reason,
        }
        for sample in SAMPLES
    ]


def _name(sample: Sample) -> str:
    from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES

    return TRANSFER_SYNTAXES[sample.uid].name + (", 1 bit" if sample.bits == 1 else "")


def _check(sample: Sample) -> dict[str, Any]:
    from medsiglip.ingest.errors import DecodeError
    from medsiglip.ingest.pixels.decode import frames

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
    if bits == 1:
        return np.asarray(smooth > 0.5)
    picture: Picture = smooth.astype(np.uint8) if bits == 8 else smooth.astype(np.uint16)
    return picture


def _decoder(uid: str) -> str:
    from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
    from medsiglip.ingest.pixels.decoders import is_installed

    return ", ".join(name for name in TRANSFER_SYNTAXES[uid].decoders if is_installed(name, uid)) or "none"


def _dataset(sample: Sample, picture: Picture) -> Dataset:
    """The picture as a DICOM data set, written to memory and read again like a file."""
    from io import BytesIO

    from pydicom import Dataset, dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    # pydicom reads any transfer syntax but writes only those that it knows.
    known = _LITTLE + ".1.98" if sample.uid == _LITTLE + ".8.1" else sample.uid
    dataset.file_meta.TransferSyntaxUID = UID(known)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    _describe(dataset, picture, sample.bits)
    if sample.encode is not None:
        dataset.PixelData = encapsulate([sample.encode(picture)])
    else:
        dataset.PixelData = _stored(picture.byteswap() if sample.uid == _LITTLE + ".2" else picture)
    dataset["PixelData"].VR = "OW" if sample.encode is None and sample.bits > 8 else "OB"
    stream = BytesIO()
    dataset.save_as(
        stream,
        implicit_vr=sample.uid == _LITTLE,
        little_endian=sample.uid != _LITTLE + ".2",
        enforce_file_format=True,
    )
    stream.seek(0)
    read = dcmread(stream)
    read.file_meta.TransferSyntaxUID = UID(sample.uid)
    return read


def _describe(dataset: Dataset, picture: Picture, bits: int) -> None:
    dataset.Rows, dataset.Columns = picture.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = 1 if bits == 1 else 8 * picture.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
