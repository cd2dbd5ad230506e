"""Whole DICOM files of every transfer syntax, encapsulation and coding of colours; the same every time."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import UltrasoundMultiFrameImageStorage

from medsiglip.api.cli.doctor import SAMPLES
from tests.ingest.mutations import SeedFile
from tests.ingest.seed_dicom import COLOUR, GREY, IMPLICIT, MakeDicom, deflated, file_of, with_pixels


def of_every_syntax(make: MakeDicom) -> Iterator[SeedFile]:
    for i, sample in enumerate(SAMPLES):
        picture = (
            GREY > 2000 if sample.bits == 1 else (GREY >> 4).astype(np.uint8) if sample.bits == 8 else GREY
        )
        dataset = make(picture.astype(np.uint8) if sample.bits == 1 else picture, BitsStored=sample.bits)
        if sample.bits == 1:
            dataset.BitsAllocated, dataset.HighBit = 1, 0
            dataset.PixelData = np.packbits(picture, bitorder="little").tobytes()
        name = f"syntax-{i}.dcm"
        if sample.uid == IMPLICIT + ".1.99":
            yield SeedFile(name, file_of(dataset), deflated)
        elif sample.encode is None:
            yield SeedFile(name, file_of(with_pixels(dataset, sample.uid)))
        else:
            known = IMPLICIT + ".1.98" if sample.uid == IMPLICIT + ".8.1" else sample.uid
            encoded = encapsulate([sample.encode(picture)])
            yield SeedFile(name, file_of(with_pixels(dataset, known, encoded), sample.uid))


def of_many_frames(make: MakeDicom) -> Iterator[SeedFile]:
    frames = np.stack([GREY + 4 * i for i in range(6)])
    cine = {"Modality": "US", "SOPClassUID": UltrasoundMultiFrameImageStorage, "NumberOfFrames": 6}
    yield SeedFile("frames.dcm", file_of(make(frames, **cine)))
    for sample in SAMPLES:
        if sample.encode is None or sample.bits == 1 or sample.uid.endswith((".98", ".8.1", ".203", ".201")):
            continue
        stored = [(f >> 4).astype(np.uint8) if sample.bits == 8 else f & 4095 for f in frames]
        encoded = [sample.encode(frame) for frame in stored]
        encoded = [e + b"\0" * (len(e) % 2) for e in encoded]
        for name, value, more in _encapsulations(encoded):
            dataset = make(np.stack(stored), BitsStored=sample.bits, **cine, **more)
            yield SeedFile(f"{name}-{sample.uid[18:]}.dcm", file_of(with_pixels(dataset, sample.uid, value)))


def _encapsulations(frames: list[bytes]) -> Iterator[tuple[str, bytes, dict[str, bytes]]]:
    yield "table", encapsulate(frames, has_bot=True), {}
    yield (
        "fragments",
        encapsulate(frames, fragments_per_frame=3, has_bot=not frames[0].startswith(b"\xff")),
        {},
    )
    value, offsets, lengths = encapsulate_extended(frames)
    yield "extended", value, {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}


def of_colour(make: MakeDicom) -> Iterator[SeedFile]:
    import imagecodecs

    yield SeedFile("rgb.dcm", file_of(make(COLOUR)))
    planar = make(COLOUR, PlanarConfiguration=1)
    planar.PixelData = COLOUR.transpose(2, 0, 1).tobytes()
    yield SeedFile("planar.dcm", file_of(planar))
    for photometric in ("YBR_FULL", "YBR_FULL_422"):
        even = COLOUR[:, :46]
        dataset = make(even, PhotometricInterpretation=photometric)
        if photometric.endswith("422"):
            dataset.PixelData = even.reshape(33, 23, 6)[..., :4].tobytes()
        yield SeedFile(f"{photometric}.dcm", file_of(dataset))
    codestreams = {
        ".4.50": imagecodecs.jpeg8_encode(COLOUR, level=90),
        ".4.70": imagecodecs.jpeg8_encode(COLOUR, lossless=True, predictor=1),
        ".4.80": imagecodecs.jpegls_encode(COLOUR),
        ".4.90": imagecodecs.jpeg2k_encode(COLOUR, codecformat="j2k", reversible=True, level=0),
        ".4.201": imagecodecs.htj2k_encode(COLOUR, reversible=True),
    }
    for syntax, codestream in codestreams.items():
        photometric = {".4.50": "YBR_FULL_422", ".4.90": "YBR_RCT"}.get(syntax, "RGB")
        dataset = make(COLOUR, PhotometricInterpretation=photometric)
        yield SeedFile(
            f"colour{syntax}.dcm",
            file_of(with_pixels(dataset, IMPLICIT + syntax, encapsulate([bytes(codestream)]))),
        )
    for bits, segmented in ((8, False), (16, False), (16, True)):
        yield SeedFile(f"palette-{bits}-{segmented}.dcm", file_of(_palette(make, bits, segmented=segmented)))


def _palette(make: MakeDicom, bits: int, *, segmented: bool) -> Dataset:
    dataset = make((GREY >> 4).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    ramp = (np.arange(256) * (257 if bits == 16 else 1)).astype("<u2" if bits == 16 else np.uint8)
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        segments = struct.pack("<7H", 0, 1, 0, 1, 255, 65535, 0)
        name = f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData"
        setattr(dataset, name, segments if segmented else ramp.tobytes())
    return dataset
