"""A folder with some of everything: what makes one index differ from another lies in the mixture."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from PIL import Image
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, UltrasoundMultiFrameImageStorage

from tests.ingest.slides.slide_cases import save, slide, tissue

Write = Callable[..., Path]
PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


def write_everything(folder: Path, write_dicom: Write, write_series: Callable[..., list[Path]]) -> Path:
    """Series, single images, cines, a slide, volumes, pictures, archives, copies and broken files."""
    _series(folder, write_series)
    _singles(folder, write_dicom)
    _one_study_told_in_several_ways(folder / "told", write_dicom, write_series)
    save(slide(tissue(300, 420, 1), micrometres=0.5), folder / "slide" / "fine.dcm")
    save(slide(tissue(150, 210, 2), micrometres=1.0, number=2), folder / "slide" / "coarse.dcm")
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.random.default_rng(3).integers(0, 900, (5, 12, 12)).astype(np.int16)),
        str(folder / "volume.nii.gz"),
    )
    for name, step in (("a.png", 1), ("b.jpg", 3), ("c.tif", 5)):
        Image.fromarray((PIXELS * step).astype(np.uint8)).save(folder / name)
    shutil.copy(folder / "a.png", folder / "pictures-copy.png")
    _copies(folder, write_dicom)
    _broken(folder / "broken", write_dicom)
    _archives(folder, write_dicom, write_series)
    return folder


def _series(folder: Path, write_series: Callable[..., list[Path]]) -> None:
    """A CT series in two folders, one slice of it missing, and MR series of which one is sampled."""
    paths = write_series(folder / "ct-1", 11, uid=11)
    (folder / "ct-2").mkdir()
    for path in paths[1::2]:
        shutil.move(path, folder / "ct-2" / path.name)
    (folder / "ct-2" / paths[5].name).unlink()
    write_series(folder / "mr", 5, "MR", uid=12)
    write_series(folder / "long", 30, "MR", uid=13)


def _singles(folder: Path, write_dicom: Write) -> None:
    for n in range(6):
        write_dicom(folder / f"dx{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.20{n}", PatientID=f"D{n}")
    frames = np.stack([PIXELS.astype(np.uint8) * (n + 1) for n in range(9)])
    write_dicom(
        folder / "cine",
        np.stack([frames] * 3, axis=-1),
        Modality="US",
        SOPClassUID=UltrasoundMultiFrameImageStorage,
        NumberOfFrames=9,
        **_uids(21),
    )
    path = write_dicom(folder / "rle.dcm", PIXELS, Modality="MG", **_uids(22))
    packed = pydicom.dcmread(path)
    packed.compress(RLELossless, generate_instance_uid=False)
    packed.save_as(path)


def _one_study_told_in_several_ways(
    folder: Path, write_dicom: Write, write_series: Callable[..., list[Path]]
) -> None:
    """Files of one study that do not agree on the patient, the study or the series."""
    study = {"StudyInstanceUID": "2.25.30", "PatientID": "T1"}
    write_series(folder / "z", 4, "MR", uid=31, StudyDescription="zygoma", PatientSex="F", **study)
    write_series(folder / "y", 3, "CT", uid=32, StudyDescription="wrist", PatientAge="061Y", **study)
    write_series(folder / "x", 2, "CT", uid=33, **study)
    for n, (side, view) in enumerate([("L", "CC"), ("R", "MLO"), (None, None), ("R", "CC")]):
        given = {**study, "PatientID": ["T1", "", "T2", "T1"][n]}
        write_dicom(
            folder / f"{n}.dcm",
            PIXELS * 2 + n,
            SOPInstanceUID=f"2.25.34{n}",
            SeriesInstanceUID="2.25.34",
            Modality="MG",
            Laterality=side,
            ViewPosition=view,
            StudyDescription=["mammo", None, "other", "mammogram"][n],
            StudyDate=["20240105", "20240104", "20240103", None][n],
            **given,
        )
    # A picture beside the slices of a series is not one of them.
    write_dicom(
        folder / "z" / "capture.dcm",
        PIXELS + 40,
        SOPInstanceUID="2.25.31999",
        SeriesInstanceUID="2.25.31",
        Modality="OT",
        SOPClassUID=SecondaryCaptureImageStorage,
        **study,
    )


def _copies(folder: Path, write_dicom: Write) -> None:
    """The same instance again: as it is, under another study, with other pixels; a slice twice."""
    shutil.copy(folder / "dx0.dcm", folder / "0-before-dx0.dcm")
    shutil.copy(next((folder / "ct-1").iterdir()), folder / "slice-again.dcm")
    elsewhere = {"StudyInstanceUID": "2.25.41", "SeriesInstanceUID": "2.25.42", "PatientID": "E"}
    for name in ("0-elsewhere.dcm", "z-elsewhere.dcm"):
        write_dicom(folder / name, PIXELS + 1, SOPInstanceUID="2.25.201", StudyDescription=name, **elsewhere)
    write_dicom(folder / "other-pixels.dcm", PIXELS + 500, SOPInstanceUID="2.25.202", PatientID="D2")


def _broken(folder: Path, write_dicom: Write) -> None:
    whole = write_dicom(folder / "cut.dcm", PIXELS, **_uids(51)).read_bytes()
    (folder / "cut.dcm").write_bytes(whole[:-50])
    (folder / "text.dcm").write_text("not DICOM at all")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "notes.txt").write_text("nothing to see")
    write_dicom(folder / "no-pixels.dcm", None, **_uids(52))
    for name, rows in (("1-lies.dcm", 999), ("2-lies.dcm", 998), ("3-tells-the-truth.dcm", 16)):
        write_dicom(folder / name, PIXELS + 9, Rows=rows, **_uids(53))
    shutil.copy(folder / "1-lies.dcm", folder / "4-lies-again.dcm")
    write_dicom(folder / "5-all-lie.dcm", PIXELS, Rows=999, **_uids(54))
    shutil.copy(folder / "5-all-lie.dcm", folder / "6-all-lie.dcm")


def _archives(folder: Path, write_dicom: Write, write_series: Callable[..., list[Path]]) -> None:
    """A zip with a series and a copy, a tar.gz with the same series and one slice more, a packed file."""
    inside = folder.parent / f"{folder.name}-packed"
    write_series(inside, 6, uid=61)
    shutil.copy(folder / "dx3.dcm", inside / "dx3.dcm")
    files = sorted(inside.iterdir(), key=lambda path: path.name[::-1])
    with zipfile.ZipFile(folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in files[1:]:
            packed.write(path, path.name)
    with tarfile.open(folder / "packed.tar.gz", "w:gz") as packed:
        for path in files:
            packed.add(path, f"again/{path.name}")
    with gzip.open(folder / "one.dcm.gz", "wb") as packed:
        packed.write((folder / "dx5.dcm").read_bytes().replace(b"2.25.205", b"2.25.209"))
    shutil.rmtree(inside)


def _uids(number: int) -> dict[str, str]:
    return {
        "SOPInstanceUID": f"2.25.{number}1",
        "SeriesInstanceUID": f"2.25.{number}2",
        "StudyInstanceUID": f"2.25.{number}3",
        "PatientID": f"N{number}",
    }
