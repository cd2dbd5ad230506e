"""Encoded frame to stored values or RGB, ours against the best decoder installed, kind by kind.

Ours is `frames` on a data set in memory, with its checks; peers are pydicom's plugins on the same data set
and each library's own call on the bare codestreams. The worst kind counts. Single-threaded on both sides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from benchmarks.measure import Outcome, alternate, on_one_core, timed
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.ingest.pixels.decode import frames

TITLE = "decode ÷ best installed decoder, worst of raw, RLE, JPEG, JPEG lossless, JPEG-LS, JPEG 2000, HTJ2K"
GOAL = 0.95
GUARD = "what was encoded, bit for bit; lossy colour at most 1 level from the best decoder"
FRAMES, SIZE = 8, 1024
_JPEG = "1.2.840.10008.1.2.4."

Frames = list[npt.NDArray[Any]]
Peer = Callable[[], Frames]


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to store a frame; `bare` decodes a bare codestream, by the name of the library."""

    name: str
    syntax: str
    encode: Callable[[npt.NDArray[Any]], bytes]
    bare: Mapping[str, Callable[[bytes], npt.NDArray[Any]]]
    colour: bool = False


def _run_lengths(frame: npt.NDArray[Any]) -> bytes:
    cells = frame.view(np.uint8)
    segments = [bytes(imagecodecs.packbits_encode(np.ascontiguousarray(cells[:, k::2]))) for k in (1, 0)]
    starts = np.array([2, 64, 64 + len(segments[0]), *[0] * 13], "<u4")
    return starts.tobytes() + b"".join(segments)


def _from_run_lengths(codestream: bytes) -> npt.NDArray[Any]:
    return np.frombuffer(imagecodecs.dicomrle_decode(codestream, "<u2"), "<u2").reshape(SIZE, SIZE)


def _pylibjpeg_rle(codestream: bytes) -> npt.NDArray[Any]:
    import rle

    planes = rle.rle.decode_frame(codestream, SIZE * SIZE, 16, "<")
    return np.frombuffer(planes, "<u2").reshape(SIZE, SIZE)


def _openjpeg(codestream: bytes) -> npt.NDArray[Any]:
    import openjpeg.utils

    return np.frombuffer(openjpeg.utils.decode_pixel_data(codestream, version=2), "<u2").reshape(SIZE, SIZE)


def _charls(codestream: bytes) -> npt.NDArray[Any]:
    import jpeg_ls

    return np.frombuffer(jpeg_ls.decode_pixel_data(codestream)[0], "<u2").reshape(SIZE, SIZE)


def _codec(name: str, **options: Any) -> Callable[[npt.NDArray[Any]], bytes]:
    return lambda frame: bytes(getattr(imagecodecs, name)(frame, **options))


KINDS = (
    Kind("raw", "1.2.840.10008.1.2.1", lambda frame: frame.tobytes(), {}),
    Kind(
        "RLE",
        "1.2.840.10008.1.2.5",
        _run_lengths,
        {"imagecodecs": _from_run_lengths, "pylibjpeg-rle": _pylibjpeg_rle},
    ),
    Kind(
        "JPEG baseline",
        _JPEG + "50",
        _codec("jpeg8_encode", level=90, subsampling="422"),
        {"imagecodecs": imagecodecs.jpeg8_decode},
        colour=True,
    ),
    Kind(
        "JPEG lossless",
        _JPEG + "70",
        _codec("jpeg8_encode", lossless=True, predictor=1, bitspersample=12),
        {
            "imagecodecs": imagecodecs.jpeg8_decode,
            "liblj92": imagecodecs.ljpeg_decode,
            "jpegsof3": imagecodecs.jpegsof3_decode,
        },
    ),
    Kind(
        "JPEG-LS",
        _JPEG + "80",
        _codec("jpegls_encode"),
        {"imagecodecs": imagecodecs.jpegls_decode, "pyjpegls": _charls},
    ),
    Kind(
        "JPEG 2000",
        _JPEG + "90",
        _codec("jpeg2k_encode", codecformat="j2k", level=0, reversible=True),
        {"imagecodecs": imagecodecs.jpeg2k_decode, "openjpeg": _openjpeg},
    ),
    Kind(
        "HTJ2K",
        _JPEG + "201",
        _codec("htj2k_encode", reversible=True),
        {"openjph": imagecodecs.htj2k_decode, "openjpeg": imagecodecs.jpeg2k_decode},
    ),
)


def measure(folder: Path, rounds: int) -> Outcome:
    with on_one_core():  # gdcm decodes JPEG 2000 with as many threads as there are cores
        return _measured_all(folder, rounds)


def _measured_all(folder: Path, rounds: int) -> Outcome:
    paths = write_radiographs(folder / NAME, FRAMES, SIZE)
    grey = [dcmread(path).pixel_array for path in paths]
    outcomes = [_measured(kind, _pictures(kind, grey), rounds) for kind in KINDS]
    failed = [outcome for outcome in outcomes if outcome.failure]
    return failed[0] if failed else min(outcomes, key=lambda outcome: outcome.ratio or 0.0)


def _pictures(kind: Kind, grey: Frames) -> Frames:
    if not kind.colour:
        return grey
    bright = [(frame >> 4).astype(np.uint8) for frame in grey]
    return [np.stack([frame, 255 - frame, frame[::-1]], axis=-1) for frame in bright]


def _measured(kind: Kind, pictures: Frames, rounds: int) -> Outcome:
    codestreams = [kind.encode(picture) for picture in pictures]
    dataset = _dataset(kind, pictures[0], codestreams)
    title = f"{TITLE}: {kind.name}"

    def ours() -> Frames:
        return list(frames(dataset, range(FRAMES)))

    peers = _peers(kind, dataset, codestreams)
    seconds = {name: min(timed(peer)[0] for _ in range(3)) for name, peer in peers.items()}
    best = min(seconds, key=lambda name: seconds[name])
    wanted, tolerance = (peers[best](), 1) if kind.colour else (pictures, 0)
    for mine, picture in zip(ours(), wanted, strict=True):
        if mine.shape != picture.shape or np.abs(mine.astype(np.int32) - picture).max() > tolerance:
            return Outcome(title, GOAL, GUARD, FRAMES, failure=f"{kind.name} differs from what was encoded")
    return Outcome(f"{title} ÷ {best}", GOAL, GUARD, FRAMES, *alternate(ours, peers[best], rounds))


def _peers(kind: Kind, dataset: Dataset, codestreams: list[bytes]) -> dict[str, Peer]:
    decoder = get_decoder(UID(kind.syntax))

    def plugin(name: str, **options: Any) -> Peer:
        return lambda: [
            decoder.as_array(dataset, index=index, decoding_plugin=name, **options)[0]
            for index in range(FRAMES)
        ]

    if kind.syntax == "1.2.840.10008.1.2.1":
        return {"pydicom": plugin(""), "pydicom view": plugin("", raw=True, view_only=True)}
    through = {f"pydicom {name}": plugin(name, as_rgb=True) for name in decoder.available_plugins}
    return through | {
        name: lambda decode=decode: [decode(codestream) for codestream in codestreams]
        for name, decode in kind.bare.items()
    }


def _dataset(kind: Kind, picture: npt.NDArray[Any], codestreams: list[bytes]) -> Dataset:
    from pydicom.dataset import FileMetaDataset

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(kind.syntax)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = FRAMES, *picture.shape[:2]
    dataset.SamplesPerPixel = 3 if kind.colour else 1
    dataset.PhotometricInterpretation = "YBR_FULL_422" if kind.colour else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored = (8, 8) if kind.colour else (16, 12)
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    raw = not UID(kind.syntax).is_encapsulated
    dataset.PixelData = b"".join(codestreams) if raw else encapsulate(codestreams)
    dataset["PixelData"].VR = "OW" if raw else "OB"
    dataset.set_original_encoding(False, True)
    return dataset
