"""Files of every kind that an ingest reads or skips, with invented words wherever they can hold text: names
and numbers of people, in several encodings, in elements, metadata and file names.
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import Dataset, config
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    ComprehensiveSRStorage,
    CTImageStorage,
    EncapsulatedPDFStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

ROOT = "1.2.826.0.1.3680043.8.498.77"
# Of numbers and texts that are no free text but may hold anything.
_MISUSED = (
    "WindowCenter",
    "WindowWidth",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelSpacing",
    "ImagePositionPatient",
    "InstanceNumber",
    "NumberOfFrames",
    "PatientAge",
    "StudyDate",
    "EchoTime",
    "DiffusionBValue",
    "LossyImageCompressionRatio",
)
# Declared character sets, Python's codec and its escape, how somebody is written in it, and a description.
_SCRIPTS = {
    "latin": (["ISO_IR 100"], "latin-1", b"", "Müllervoss^Jörgzotta", "Thorax Müllervoss"),
    "utf8": (["ISO_IR 192"], "utf-8", b"", "Þorvaldwix^Ægirzot=王珑珑^小糖糖", "頭部 王珑珑"),
    "greek": (["ISO_IR 126"], "iso8859-7", b"", "Διονυσβαξ^Λυκοζωτ", "ΚΕΦΑΛΗ ΔΙΟΝΥΣΒΑΞ"),
    "cyrillic": (["ISO_IR 144"], "iso8859-5", b"", "Люксжуков^Иванзот", "КТ люксжукова"),
    "japanese": (
        ["", "ISO 2022 IR 87"],
        "iso2022_jp",
        b"",
        "Yamadavex^Tarouzot=山蟲田鬱^太郎鬣",
        "胸部 山蟲田鬱",
    ),
    "korean": (
        ["", "ISO 2022 IR 149"],
        "euc_kr",
        b"\x1b$)C",
        "Hongvexa^Gildongzo=洪蟲^吉洞=홍봉^길동팔",
        "복부 홍봉",
    ),
    "chinese": (["GB18030"], "gb18030", b"", "Wangvexa^XiaoDongzo=王鬱^小東鬣", "腹部 王鬱"),
    "undeclared": ([], "utf-8", b"", "Äsculapvix^Ödönzotta", "Knie ÄSCULAPVIX"),
    "otherwise": (["ISO_IR 192"], "latin-1", b"", "Öttokarvix^Ürsulazotta", "Knie Öttokarvix"),
}


@dataclass
class Planted:
    """`words` must appear nowhere, `path_words` only where paths may appear; `paths` are all files."""

    folder: Path
    words: set[str] = field(default_factory=set)
    path_words: set[str] = field(default_factory=set)

    @property
    def paths(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def word(self, place: str) -> str:
        """A new word that contains the place where it was planted."""
        word = f"Qz{place}vx"
        self.words.add(word)
        return word

    def file(self, name: str) -> Path:
        """A path whose folder and name are such words too."""
        words = (f"Folder{name.partition('.')[0]}qx", f"File{name.partition('.')[0]}qx")
        self.path_words.update(words)
        path = self.folder / words[0] / name.replace(name.partition(".")[0], words[1], 1)
        path.parent.mkdir(exist_ok=True)
        return path


def plant(folder: Path) -> Planted:
    """Write the files."""
    planted = Planted(folder)
    validation = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        with config.disable_value_validation():
            for write in (_dicom, _scripts, _misused, _refused, _enhanced, _directory, _pictures, _volumes):
                write(planted)
            _archives(planted)
    finally:
        config.settings.writing_validation_mode = validation
    return planted


def _image(sop_class: str, number: int, **attributes: Any) -> Dataset:
    pixels = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) + number
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"{ROOT}.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1.{number}", f"{ROOT}.2.{number}"
    dataset.Modality, dataset.PatientID, dataset.StudyDate = "CT", f"PATX{number}vx", "20200102"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _save(dataset: Dataset, path: Path) -> None:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)


def _fill(planted: Planted, dataset: Dataset, place: str, depth: int) -> None:
    """Words in every kind of element of a data set, and in sequences in it."""
    word = planted.word
    dataset.PatientName = f"{word(place + 'family')}^{word(place + 'given')}"
    dataset.PatientAddress, dataset.TextValue = word(place + "address"), word(place + "text")
    dataset.AcquisitionComments, dataset.StationAETitle = word(place + "comment"), f"QzAe{place[:8]}vx"
    planted.words.add(f"QzAe{place[:8]}vx")
    dataset.RetrieveURL = f"https://host/{word(place + 'url')}"
    private = dataset.private_block(0x0011, word(place + "creator"), create=True)
    for number, vr in enumerate(("LO", "UT", "PN", "SH")):
        private.add_new(number, vr, word(f"{place}private{vr}"))
    private.add_new(9, "OB", word(place + "wide").encode("utf-16-le"))
    private.add_new(10, "UN", word(place + "unknown").encode())
    if depth:
        inner = Dataset()
        _fill(planted, inner, f"{place}in", depth - 1)
        dataset.OtherPatientIDsSequence = [inner]
        private.add_new(11, "SQ", [inner])


def _dicom(planted: Planted) -> None:
    word = planted.word
    dataset = _image(CTImageStorage, 1, SpecificCharacterSet="ISO_IR 192")
    _fill(planted, dataset, "ct", 4)
    dataset.add_new(0x60000010, "US", 32)
    dataset.add_new(0x60000011, "US", 32)
    dataset.add_new(0x60000022, "LO", word("overlaydescription"))
    dataset.add_new(0x60001500, "LO", word("overlaylabel"))
    dataset.add_new(0x60003000, "OW", word("overlaydata").encode().ljust(128, b"\0"))
    dataset.add_new(0x60004000, "LT", word("overlaycomments"))
    dataset.add_new(0xFFFCFFFC, "OB", word("trailing").encode())
    explained = Dataset()
    explained.LUTDescriptor, explained.LUTData = [2, 0, 16], b"\0\0\xff\xff"
    explained.LUTExplanation = word("lutexplanation")
    dataset.VOILUTSequence = [explained]
    dataset.preamble = word("preamble").encode().ljust(128, b"\0")
    dataset.file_meta.ImplementationVersionName = "QzImplemvx"
    dataset.file_meta.add_new(0x00020100, "UI", "1.2.3.4.5")
    dataset.file_meta.add_new(0x00020102, "OB", word("metaprivate").encode())
    planted.words.add("QzImplemvx")
    _save(dataset, planted.file("ct.dcm"))


def _scripts(planted: Planted) -> None:
    """As bytes, for what is declared and what is written may differ."""
    for number, (script, (declared, codec, escape, name, description)) in enumerate(_SCRIPTS.items()):
        dataset = _image(CTImageStorage, 10 + number)
        dataset.SpecificCharacterSet = declared or None
        written = [_encoded(text, codec, escape) for text in (name, description)]
        dataset.PatientName, dataset.SeriesDescription = "N" * len(written[0]), "D" * len(written[1])
        path = planted.file(f"{script}.dcm")
        _save(dataset, path)
        data = path.read_bytes()
        for letter, text in zip((b"N", b"D"), written, strict=True):
            assert data.count(letter * len(text)) == 1
            data = data.replace(letter * len(text), text)
        path.write_bytes(data)
        planted.words.update(part for part in name.replace("=", "^").split("^"))


def _encoded(text: str, codec: str, escape: bytes) -> bytes:
    """Text with escapes anew in each part of a name (PS3.5 6.1.2.5.3), of even length."""
    parts = re.split(r"([\^= ])", text)
    data = b"".join((b"" if part.isascii() else escape) + part.encode(codec) for part in parts)
    return data + b" " * (len(data) % 2)


def _misused(planted: Planted) -> None:
    """Numbers, dates and codes that are words: what a library says of them would quote them."""
    for number, keyword in enumerate(_MISUSED):
        dataset = _image(CTImageStorage, 30 + number)
        vr = Dataset()
        setattr(vr, keyword, None)
        dataset.add_new(vr[keyword].tag, "LO", planted.word(f"bad{keyword}"))
        path = planted.file(f"bad{keyword}.dcm")
        _save(dataset, path)
        data = path.read_bytes()
        tag = vr[keyword].tag
        start = tag.group.to_bytes(2, "little") + tag.elem.to_bytes(2, "little")
        path.write_bytes(data.replace(start + b"LO", start + vr[keyword].VR.encode(), 1))


def _refused(planted: Planted) -> None:
    word = planted.word
    report = _image(ComprehensiveSRStorage, 50, Modality="SR")
    del report.PixelData
    said = Dataset()
    said.ValueType, said.TextValue, said.PersonName = "TEXT", word("srtext"), word("srperson")
    report.ContentSequence = [said]
    report.PatientName = word("srname")
    _save(report, planted.file("report.dcm"))
    document = _image(EncapsulatedPDFStorage, 51, Modality="DOC", DocumentTitle=word("pdftitle"))
    del document.PixelData
    document.EncapsulatedDocument = f"%PDF-1.4 {word('pdftext')}".encode()
    _save(document, planted.file("document.dcm"))
    broken = _image(SecondaryCaptureImageStorage, 52, PatientName=word("brokenname"))
    broken.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    broken.BitsAllocated = broken.BitsStored = 8
    broken.HighBit = 7
    frame = word("brokenpixels").encode()
    frame += b" " * (len(frame) % 2)
    item = b"\xfe\xff\x00\xe0"
    broken.PixelData = item + bytes(4) + item + len(frame).to_bytes(4, "little") + frame
    broken.PixelData += b"\xfe\xff\xdd\xe0" + bytes(4)
    broken["PixelData"].is_undefined_length = True
    _save(broken, planted.file("broken.dcm"))
    whole = _image(CTImageStorage, 53, PatientName=word("cutname"))
    _save(whole, planted.file("cut.dcm"))
    path = planted.file("cut.dcm")
    path.write_bytes(path.read_bytes()[:507])
    planted.file("text.dcm").write_text(f"not DICOM, about {word('notdicom')}")
    planted.file("letter.txt").write_text(f"Dear {word('letter')}")
    uid = _image(CTImageStorage, 54, SOPInstanceUID=f"{word('sopuid')}.1", StudyInstanceUID=word("studyuid"))
    uid.SeriesInstanceUID, uid.PatientID = word("seriesuid") * 5, word("uidpatient")
    _save(uid, planted.file("uid.dcm"))


def _enhanced(planted: Planted) -> None:
    dataset = _image(EnhancedMRImageStorage, 60, Modality="MR", NumberOfFrames=2)
    dataset.PixelData = dataset.PixelData * 2
    groups = []
    for frame in range(2):
        content, place, group = Dataset(), Dataset(), Dataset()
        content.FrameComments = planted.word(f"framecomments{frame}")
        content.FrameLabel = planted.word(f"framelabel{frame}")
        place.ImagePositionPatient = [0, 0, frame]
        group.FrameContentSequence, group.PlanePositionSequence = [content], [place]
        _fill(planted, group, f"frame{frame}", 1)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    _save(dataset, planted.file("enhanced.dcm"))


def _directory(planted: Planted) -> None:
    folder, word = planted.file("directory.dcm").parent, planted.word
    records = []
    for number in range(2):
        image = _image(CTImageStorage, 70 + number, PatientName=word(f"directoryname{number}"))
        _save(image, folder / f"QZMEDIA{number}")
        patient, reference = Dataset(), Dataset()
        patient.DirectoryRecordType, patient.PatientName = "PATIENT", image.PatientName
        patient.PatientID, patient.PatientComments = word("directoryid"), word("directorycomments")
        reference.DirectoryRecordType, reference.ReferencedFileID = "IMAGE", ["QZLOST", f"QZMEDIA{number}"]
        records += [patient, reference]
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.SOPClassUID, directory.SOPInstanceUID = MediaStorageDirectoryStorage, f"{ROOT}.4"
    directory.FileSetID, directory.DirectoryRecordSequence = word("FILESET").upper(), records
    _save(directory, folder / "DICOMDIR")
    planted.path_words.update(("QZMEDIA0", "QZMEDIA1"))
    planted.path_words.remove("Filedirectoryqx")


def _pictures(planted: Planted) -> None:
    word = planted.word
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x013B], exif[0x010E], exif[0x8298] = word("artist"), word("imagedescription"), word("copyright")
    exif[0x9C9D] = (word("xpauthor") + "\0").encode("utf-16-le")
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + word("usercomment").encode("utf-16-le")
    exif.get_ifd(0x8769)[0xA430] = word("cameraowner")
    picture.save(planted.file("photo.jpg"), exif=exif, comment=word("jpegcomment").encode())
    texts = PngInfo()
    texts.add_text("Author", word("pngtext"))
    texts.add_itxt("Title", word("pngitxt"))
    texts.add_text("Comment", word("pngzip"), zip=True)
    picture.save(planted.file("picture.png"), pnginfo=texts)
    picture.save(planted.file("scan.tif"), tiffinfo={270: word("tiffdescription"), 315: word("tiffartist")})
    planted.file("damaged.jpg").write_bytes(b"\xff\xd8\xff\xe1" + word("damagedpicture").encode())


def _volumes(planted: Planted) -> None:
    import SimpleITK

    word = planted.word
    volume = SimpleITK.GetImageFromArray(np.arange(4 * 16 * 16, dtype=np.int16).reshape(4, 16, 16))
    volume.SetMetaData("PatientName", word("nrrdkey"))  # type: ignore[no-untyped-call]
    paths = {suffix: planted.file(f"brain.{suffix}") for suffix in ("nii", "nrrd", "mha")}
    for path in paths.values():
        SimpleITK.WriteImage(volume, str(path))
    data = bytearray(paths["nii"].read_bytes())
    for place, size, name in (
        (14, 18, "dbname"),
        (148, 80, "descrip"),
        (228, 24, "aux"),
        (328, 16, "intent"),
    ):
        data[place : place + size] = word(name).encode().ljust(size, b"\0")
    paths["nii"].write_bytes(data)
    planted.file("cut.nii").write_bytes(data[:600])
    for suffix, entry, before in (("nrrd", "content:", b"\ntype:"), ("mha", "Comment =", b"\nNDims")):
        line = f"\n{entry} {word(suffix + 'comment')}".encode()
        paths[suffix].write_bytes(paths[suffix].read_bytes().replace(before, line + before, 1))
    bad = f"NRRD0004\n# {word('badcomment')}\ntype: {word('badtype')}\n\n"
    planted.file("bad.nrrd").write_bytes(bad.encode())


def _archives(planted: Planted) -> None:
    inside = {}
    for number, kind in enumerate(("zip", "tar", "zipintar")):
        dataset, stream = (
            _image(CTImageStorage, 80 + number, PatientName=planted.word(f"in{kind}")),
            io.BytesIO(),
        )
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(stream, enforce_file_format=True)
        inside[kind] = stream.getvalue()
    members = ("Membernameqx", "Memberfolderqx", "Innerarchiveqx", "Lockedmemberqx", "Tarmemberqx")
    planted.path_words.update(members)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("Membernameqx.dcm", inside["zipintar"])
    path = planted.file("export.zip")
    with zipfile.ZipFile(path, "w") as packed:
        packed.comment = planted.word("zipcomment").encode()
        packed.writestr("Memberfolderqx/Membernameqx.dcm", inside["zip"])
        packed.writestr("Innerarchiveqx.zip", inner.getvalue())
        packed.writestr("Lockedmemberqx.dcm", b"x")
    data = bytearray(path.read_bytes())
    for flags, name in ((6, 30), (8, 46)):  # of local headers and of the central directory
        place = data.find(b"Lockedmember") if name == 30 else data.rfind(b"Lockedmember")
        data[place - name + flags] |= 1
    path.write_bytes(data)
    with tarfile.open(planted.file("export.tar.gz"), "w:gz") as packed:
        info = tarfile.TarInfo("Tarmemberqx.dcm")
        info.size, info.uname, info.gname = (
            len(inside["tar"]),
            planted.word("taruser"),
            planted.word("targroup"),
        )
        packed.addfile(info, io.BytesIO(inside["tar"]))
