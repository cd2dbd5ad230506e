"""Whole pictures, volumes and archives for `mutations` to damage; the same every time."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.ingest.mutations import SeedFile


def pictures(values: NDArray[np.uint16], colours: NDArray[np.uint8]) -> Iterator[SeedFile]:
    grey, colour = Image.fromarray(values), Image.fromarray(colours)
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


def volumes(values: NDArray[np.uint16], colours: NDArray[np.uint8]) -> Iterator[SeedFile]:
    import SimpleITK

    itk: Any = SimpleITK  # its functions have no types
    volume = itk.GetImageFromArray(np.stack([values.astype(np.int16)] * 4))
    volume.SetSpacing((1.0, 1.0, 3.0))
    times = itk.JoinSeries([volume, volume + 1, volume + 2])
    colour = SimpleITK.GetImageFromArray(np.stack([colours] * 2), isVector=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind, image in (("times", times), ("colour", colour)):
            for suffix in (".nii", ".nrrd", ".mha"):
                path = Path(folder) / f"{kind}{suffix}"
                SimpleITK.WriteImage(image, str(path))
                yield SeedFile(path.name, path.read_bytes(), is_dicom=False)
        for name in ("volume.nii", "volume.nrrd", "volume.mha", "packed.nrrd", "packed.mha"):
            path = Path(folder) / name
            SimpleITK.WriteImage(volume, str(path), useCompression=name.startswith("packed"))
            yield SeedFile(name, path.read_bytes(), is_dicom=False)
            if name == "volume.nii":
                yield SeedFile("volume.nii.gz", path.read_bytes(), _gzipped, is_dicom=False)


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def archives(members: list[SeedFile]) -> Iterator[SeedFile]:
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
