"""Small whole files of every kind that an ingest takes in, for `mutations` to damage; the same every time."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mutations import SeedFile
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    PositronEmissionTomographyImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from slide_cases import slide, sparse, tissue

from api.transfer_syntaxes import SAMPLES

MakeDicom = Callable[..., Dataset]
_IMPLICIT = "1.2.840.10008.1.2"
PLAIN = b"1.2.840.10008.1.2.1"
_MOST_OF_A_REAL_FILE = 300_000
_Y, _X = np.mgrid[:33, :47]
GREY = ((np.sin(_X / 9) + np.cos(_Y / 7) + 2) / 4 * 4095).astype(np.uint16)
COLOUR = np.stack([GREY >> 4, GREY[::-1] >> 4, GREY[:, ::-1] >> 4], axis=-1).astype(np.uint8)
UIDS = {
    "SOPInstanceUID": "2.25.30000000000000001",
    "StudyInstanceUID": "2.25.30000000000000002",
    "SeriesInstanceUID": "2.25.30000000000000003",
}


def seed_files(make_dicom: MakeDicom, real: Path | None = None) -> list[SeedFile]:
    """Every seed file; `real` is a folder of DICOM files, the small ones of which are taken in too."""

    def make(pixels: np.ndarray | None = None, **attributes: Any) -> Dataset:
        return make_dicom(pixels, **{**UIDS, **attributes})

    found = [
        *_of_every_syntax(make),
        *_of_many_frames(make),
        *_of_colour(make),
        *_of_rendering(make),
        *_of_series(make),
        *_without_pictures(make),
        *_slides(),
        *_phantoms(),
        *_pictures(),
        *_volumes(),
    ]
    found += _archives([seed for seed in found if seed.is_dicom and seed.pack is None][:12])
    if real is not None:
        paths = sorted(p for p in real.rglob("*") if p.is_file() and p.stat().st_size <= _MOST_OF_A_REAL_FILE)
        found += [SeedFile(f"real-{i}{path.suffix}", path.read_bytes()) for i, path in enumerate(paths)]
    return found


def _file(dataset: Dataset, syntax: str | None = None) -> bytes:
    """A data set as a file; `syntax` is what its meta information says, whatever pydicom knows of it."""
    stream = io.BytesIO()
    written = str(dataset.file_meta.TransferSyntaxUID)
    dataset.save_as(
        stream,
        implicit_vr=written == _IMPLICIT,
        little_endian=written != _IMPLICIT + ".2",
        enforce_file_format=True,
    )
    data = stream.getvalue()
    if syntax is None or syntax == written:
        return data
    return data.replace(written.encode(), syntax.encode().ljust(len(written), b"\0"), 1)


def _with(dataset: Dataset, syntax: str, value: bytes | None = None) -> Dataset:
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    if value is not None:
        dataset.PixelData = value
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
    return dataset


def _deflate(plain: bytes) -> bytes:
    """A file of explicit VR little endian as a deflated one (PS3.5 A.5)."""
    length = int.from_bytes(plain[140:144], "little")
    at = 144 + length
    meta = plain[:at].replace(b"\x14\0" + PLAIN + b"\0", b"\x16\0" + PLAIN + b".99", 1)
    meta = meta[:140] + ((length + 2) % (1 << 32)).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta + packer.compress(plain[at:]) + packer.flush()


def _of_every_syntax(make: MakeDicom) -> Iterator[SeedFile]:
    for i, sample in enumerate(SAMPLES):
        picture = (
            GREY > 2000 if sample.bits == 1 else (GREY >> 4).astype(np.uint8) if sample.bits == 8 else GREY
        )
        dataset = make(picture.astype(np.uint8) if sample.bits == 1 else picture, BitsStored=sample.bits)
        if sample.bits == 1:
            dataset.BitsAllocated, dataset.HighBit = 1, 0
            dataset.PixelData = np.packbits(picture, bitorder="little").tobytes()
        name = f"syntax-{i}.dcm"
        if sample.uid == _IMPLICIT + ".1.99":
            yield SeedFile(name, _file(dataset), _deflate)
        elif sample.encode is None:
            yield SeedFile(name, _file(_with(dataset, sample.uid)))
        else:
            known = _IMPLICIT + ".1.98" if sample.uid == _IMPLICIT + ".8.1" else sample.uid
            encoded = encapsulate([sample.encode(picture)])
            yield SeedFile(name, _file(_with(dataset, known, encoded), sample.uid))


def _of_many_frames(make: MakeDicom) -> Iterator[SeedFile]:
    frames = np.stack([GREY + 4 * i for i in range(6)])
    cine = {"Modality": "US", "SOPClassUID": UltrasoundMultiFrameImageStorage, "NumberOfFrames": 6}
    yield SeedFile("frames.dcm", _file(make(frames, **cine)))
    for sample in SAMPLES:
        if sample.encode is None or sample.bits == 1 or sample.uid.endswith((".98", ".8.1", ".203", ".201")):
            continue
        stored = [(f >> 4).astype(np.uint8) if sample.bits == 8 else f & 4095 for f in frames]
        encoded = [sample.encode(frame) for frame in stored]
        encoded = [e + b"\0" * (len(e) % 2) for e in encoded]
        for name, value, more in _encapsulations(encoded):
            dataset = make(np.stack(stored), BitsStored=sample.bits, **cine, **more)
            yield SeedFile(f"{name}-{sample.uid[18:]}.dcm", _file(_with(dataset, sample.uid, value)))


def _encapsulations(frames: list[bytes]) -> Iterator[tuple[str, bytes, dict[str, bytes]]]:
    yield "table", encapsulate(frames, has_bot=True), {}
    yield (
        "fragments",
        encapsulate(frames, fragments_per_frame=3, has_bot=not frames[0].startswith(b"\xff")),
        {},
    )
    value, offsets, lengths = encapsulate_extended(frames)
    yield "extended", value, {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}


def _of_colour(make: MakeDicom) -> Iterator[SeedFile]:
    import imagecodecs

    yield SeedFile("rgb.dcm", _file(make(COLOUR)))
    planar = make(COLOUR, PlanarConfiguration=1)
    planar.PixelData = COLOUR.transpose(2, 0, 1).tobytes()
    yield SeedFile("planar.dcm", _file(planar))
    for photometric in ("YBR_FULL", "YBR_FULL_422"):
        even = COLOUR[:, :46]
        dataset = make(even, PhotometricInterpretation=photometric)
        if photometric.endswith("422"):
            dataset.PixelData = even.reshape(33, 23, 6)[..., :4].tobytes()
        yield SeedFile(f"{photometric}.dcm", _file(dataset))
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
            f"colour{syntax}.dcm", _file(_with(dataset, _IMPLICIT + syntax, encapsulate([codestream])))
        )
    for bits, segmented in ((8, False), (16, False), (16, True)):
        yield SeedFile(f"palette-{bits}-{segmented}.dcm", _file(_palette(make, bits, segmented=segmented)))


def _palette(make: MakeDicom, bits: int, *, segmented: bool) -> Dataset:
    dataset = make((GREY >> 4).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    ramp = (np.arange(256) * (257 if bits == 16 else 1)).astype("<u2" if bits == 16 else np.uint8)
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, bits])
        segments = struct.pack("<7H", 0, 1, 0, 1, 255, 65535, 0)
        name = f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData"
        setattr(dataset, name, segments if segmented else ramp.tobytes())
    return dataset


def _of_rendering(make: MakeDicom) -> Iterator[SeedFile]:
    yield SeedFile("window.dcm", _file(make(GREY, WindowCenter=[2000, 40], WindowWidth=[4000, 400])))
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.arange(0, 65536, 16).astype("<u2").tobytes()
    yield SeedFile("voi-lut.dcm", _file(make(GREY, VOILUTSequence=[table], BitsStored=12)))
    modality = Dataset()
    modality.LUTDescriptor, modality.LUTData = [4096, 0, 16], np.arange(4096).astype("<u2").tobytes()
    modality.ModalityLUTType = "US"
    attributes = {"ModalityLUTSequence": [modality], "PresentationLUTShape": "INVERSE", "BitsStored": 12}
    yield SeedFile("modality-lut.dcm", _file(make(GREY, **attributes)))
    signed = GREY.astype(np.int16) - 2000
    padding = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900, "VOILUTFunction": "SIGMOID"}
    yield SeedFile("signed", _file(make(signed, PhotometricInterpretation="MONOCHROME1", **padding)))
    real = make(GREY, BitsAllocated=32)
    del real.PixelData
    real.FloatPixelData = GREY.astype("<f4").tobytes()
    yield SeedFile("float.dcm", _file(real))
    overlay = make(GREY, BitsStored=12)
    overlay.add_new(0x60000010, "US", 33)
    overlay.add_new(0x60000011, "US", 47)
    overlay.add_new(0x60003000, "OW", bytes(196))
    yield SeedFile("overlay.dcm", _file(overlay)[132:])
    profile = io.BytesIO()
    from PIL.ImageCms import ImageCmsProfile, createProfile

    profile.write(ImageCmsProfile(createProfile("sRGB")).tobytes())
    yield SeedFile("profile.dcm", _file(make(COLOUR, ICCProfile=profile.getvalue())))


def _of_series(make: MakeDicom) -> Iterator[SeedFile]:
    plane = {"ImagePositionPatient": [0, 0, 5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    for modality in ("CT", "MR"):
        given = {**plane, "RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": modality}
        yield SeedFile(f"{modality}.dcm", _file(make(GREY.astype(np.int16), **given)))
    pet = {"SOPClassUID": PositronEmissionTomographyImageStorage, "Units": "BQML", "RescaleSlope": "0.37"}
    yield SeedFile("PT.dcm", _file(make(GREY, Modality="PT", PatientWeight="70", **pet, **plane)))
    for modality, sop_class in (("CT", EnhancedCTImageStorage), ("MR", EnhancedMRImageStorage)):
        yield SeedFile(f"enhanced-{modality}.dcm", _file(_enhanced(make, modality, sop_class)))
    mosaic = make(
        np.tile(GREY[:32, :32], (3, 3)), Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    )
    item = struct.pack("<4I", 77, 4, 77, 77) + b"9\0\0\0"
    tag = struct.pack("<64sI4sIII", b"NumberOfImagesInMosaic", 1, b"IS", 6, 1, 77)
    csa = mosaic.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x10, "OB", b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + tag + item)
    mosaic.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
    mosaic.AcquisitionMatrix = [32, 0, 0, 32]
    yield SeedFile("mosaic.dcm", _file(mosaic))


def _enhanced(make: MakeDicom, modality: str, sop_class: str) -> Dataset:
    def group(**attributes: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        return [item]

    (shared,) = group(
        PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=group(PixelSpacing=[1, 1], SliceThickness=2),
        PixelValueTransformationSequence=group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"),
        FrameVOILUTSequence=group(WindowCenter=40, WindowWidth=400),
    )
    frames = [
        group(
            PlanePositionSequence=group(ImagePositionPatient=[0, 0, 2 * i]),
            FrameContentSequence=group(
                StackID="1", InStackPositionNumber=i + 1, DimensionIndexValues=[1, i + 1]
            ),
        )[0]
        for i in range(5)
    ]
    return make(
        np.stack([GREY] * 5),
        Modality=modality,
        SOPClassUID=sop_class,
        NumberOfFrames=5,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def _without_pictures(make: MakeDicom) -> Iterator[SeedFile]:
    yield SeedFile("report.dcm", _file(make(SOPClassUID=BasicTextSRStorage, Modality="SR")))
    yield SeedFile("none.dcm", _file(make()))
    directory = make(SOPClassUID="1.2.840.10008.1.3.10", Modality=None)
    records = []
    for kind in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        record.RecordInUseFlag, record.DirectoryRecordType = 0xFFFF, kind
        record.ReferencedFileID = ["IMAGES", "I1"] if kind == "IMAGE" else None
        records.append(record)
    directory.DirectoryRecordSequence = records
    yield SeedFile("DICOMDIR", _file(directory))


def _slides() -> Iterator[SeedFile]:
    full = slide(tissue(50, 80), tile=32, **UIDS)
    yield SeedFile("slide.dcm", _file(full))
    places = [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]
    yield SeedFile("slide-sparse.dcm", _file(sparse(slide(tissue(50, 80), tile=32, **UIDS), places)))
    for syntax in (_IMPLICIT + ".4.90", _IMPLICIT + ".5"):
        packed = slide(tissue(50, 80), tile=32, **UIDS)
        packed.compress(syntax, generate_instance_uid=False)
        yield SeedFile(f"slide{syntax[-3:]}.dcm", _file(packed))


def _phantoms() -> Iterator[SeedFile]:
    """One file of every kind that the project draws, every fourth pixel of it."""
    from ingest.phantoms.catalogue import ANATOMIES, make_studies
    from ingest.phantoms.dicom import write_study

    for name in ANATOMIES:
        (study,) = make_studies(1, 5, [name])
        series = study.series[0]
        step = max(series.pixels.shape[1] // 96, 1)
        small = replace(series, pixels=series.pixels[:1, ::step, ::step])
        with tempfile.TemporaryDirectory() as folder:
            (path,) = write_study(replace(study, series=(small,)), Path(folder))
            yield SeedFile(f"phantom-{name}.dcm", path.read_bytes())


def _pictures() -> Iterator[SeedFile]:
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    many = {"save_all": True, "append_images": [colour]}
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("grey.png", grey, {}),
        ("colour.png", colour, {}),
        ("palette.png", colour.quantize(16), {}),
        ("alpha.png", colour.convert("RGBA"), {}),
        ("colour.jpg", colour, {"exif": _turned()}),
        ("progressive.jpeg", colour, {"progressive": True}),
        ("cmyk.jpg", colour.convert("CMYK"), {}),
        ("grey.tif", grey, {"compression": "tiff_lzw"}),
        ("colour.tiff", colour, {"compression": "tiff_adobe_deflate"}),
        ("pages.tif", colour, {"compression": "jpeg", **many}),
        ("bits.tif", colour.convert("1"), {"compression": "group4"}),
        ("colour.bmp", colour, {}),
        ("palette.bmp", colour.quantize(16), {}),
    ]
    for name, picture, options in kinds:
        stream = io.BytesIO()
        picture.save(
            stream, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.split(".")[1].upper()), **options
        )
        yield SeedFile(name, stream.getvalue(), is_dicom=False)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _volumes() -> Iterator[SeedFile]:
    import SimpleITK

    volume = SimpleITK.GetImageFromArray(np.stack([GREY.astype(np.int16)] * 4))
    volume.SetSpacing((1.0, 1.0, 3.0))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("volume.nii", "volume.nrrd", "volume.mha", "packed.nrrd", "packed.mha"):
            path = Path(folder) / name
            SimpleITK.WriteImage(volume, str(path), useCompression=name.startswith("packed"))
            yield SeedFile(name, path.read_bytes(), is_dicom=False)
            if name == "volume.nii":
                yield SeedFile("volume.nii.gz", path.read_bytes(), _gzipped, is_dicom=False)


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _archives(members: list[SeedFile]) -> Iterator[SeedFile]:
    """Archives of one damaged member, or damaged themselves, and whole archives that are damaged anywhere."""
    for name, pack in (("one.zip", _zipped), ("one.tar", _tarred), ("one.tgz", _tarred_and_gzipped)):
        for i, member in enumerate(members[:4]):
            yield replace(member, name=f"{i}{name}", pack=pack)
    yield replace(members[0], name="one.dcm.gz", pack=_gzipped)
    for name, method in (("many.zip", zipfile.ZIP_DEFLATED), ("stored.zip", zipfile.ZIP_STORED)):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for member in members:
                archive.writestr(zipfile.ZipInfo(f"folder/{member.name}"), member.file, method)
        yield SeedFile(name, stream.getvalue(), is_dicom=False)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            _add(archive, f"folder/{member.name}", member.file)
    yield SeedFile("many.tar", stream.getvalue(), is_dicom=False)
    yield SeedFile("many.tar.gz", stream.getvalue(), _gzipped, is_dicom=False)


def _zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo("member.dcm"), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _tarred(data: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        _add(archive, "member.dcm", data)
    return stream.getvalue()


def _tarred_and_gzipped(data: bytes) -> bytes:
    return _gzipped(_tarred(data))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
