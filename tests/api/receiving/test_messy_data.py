"""What comes of data as hospitals have them, through the receiver: its answers follow from the identity of an
instance, which is its SOP Instance UID and its pixels.

One receiver takes everything in two rounds; the tests then look at what is kept. The home keeps identities,
so that names can be compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import PersonName
from pynetdicom import AE, _config
from pynetdicom.association import Association

from medsiglip.answers.cases import StudyDetail
from medsiglip.api.archive.archive import Archive
from tests.api.jobs.conftest import write_files
from tests.api.receiving.conftest import data_set_of
from tests.api.receiving.running import RunningReceiver, receiving

pytestmark = pytest.mark.skipif(shutil.which("dcmsend") is None, reason="dcmtk is not installed")
NAMES = {
    "ISO_IR 100": "Lefèbvre^Géraldine",
    "ISO_IR 101": "Wałęsiak^Zdeněk",
    "ISO_IR 109": "Ħamrun^Ġużè",
    "ISO_IR 110": "Ķēniņš^Ģirts",
    "ISO_IR 144": "Щербаков^Юрий",
    "ISO_IR 127": "المنصوري^محمد",
    "ISO_IR 126": "Παπαδόπουλος^Χρυσάνθη",
    "ISO_IR 138": "אברמוביץ^יצחק",
    "ISO_IR 148": "Yıldızoğlu^Çağrı",
    "ISO_IR 166": "ศรีสุวรรณ^สมชาย",
    "ISO_IR 13": "ｵｵﾉﾊﾗ^ｹﾝﾀﾛｳ",
    "\\ISO 2022 IR 87": "Sasaki^Yoko=佐々木^陽子=ささき^ようこ",
    "\\ISO 2022 IR 149": "Namgung^Donghyuk=南宮^東赫=남궁^동혁",
    "\\ISO 2022 IR 58": "Ouyang^Xiaodong=欧阳^晓东",
    "GB18030": "Zhuge^Shufen=诸葛^淑芬",
    "ISO_IR 192": "चट्टोपाध्याय^राजेश्वरी",
}
"""Names of patients by Specific Character Set (PS3.3, C.12.1.1.2)."""


def as_written(code: str, name: str) -> PersonName | str:
    """What to set an element to; pydicom writes no escape sequence for ISO 2022 IR 58 (PS3.5, annex K)."""
    if code != "\\ISO 2022 IR 58":
        return name
    latin, _, chinese = name.partition("=")
    parts = (b"\x1b$)A" + part.encode("gb2312") for part in chinese.split("^"))
    return PersonName(latin.encode("ascii") + b"=" + b"^".join(parts), ["iso8859", "iso_ir_58"])


class Files:
    """Small files of made-up instances."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._template = pydicom.dcmread(write_files(folder / "template", 1, "skin")[0])

    def picture(
        self, change: Callable[[Dataset], None] = lambda _: None, *, pixels: int | None = None
    ) -> Path:
        """One picture of its own, changed. `pixels` is the seed of what it shows."""
        self._count += 1
        dataset = self._template.copy()
        dataset.file_meta = FileMetaDataset(self._template.file_meta)
        dataset.Rows = dataset.Columns = 32
        seed = 1000 + self._count if pixels is None else pixels
        dataset.PixelData = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8).tobytes()
        dataset.PatientID = f"P{self._count}"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(dataset, keyword, generate_uid(entropy_srcs=[keyword, str(self._count)]))
        change(dataset)
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(
            dataset.get("SOPInstanceUID") or f"2.25.99{self._count}"
        )
        path = self._folder / f"{self._count}.dcm"
        dataset.save_as(path)
        return path


def setting(**values: str | PersonName | None) -> Callable[[Dataset], None]:
    """Set these elements; None takes one away."""

    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)

    return change


class Sent:
    """All that was sent, in two rounds, and the archive then."""

    def __init__(self, folder: Path) -> None:
        self.studies: dict[str, list[StudyDetail]] = {}
        files = Files(folder)
        self.names = {
            name: files.picture(setting(SpecificCharacterSet=code, PatientName=as_written(code, name)))
            for code, name in NAMES.items()
        }
        self.no_study = [files.picture(setting(StudyInstanceUID=value)) for value in (None, "")]
        self.no_series = files.picture(setting(SeriesInstanceUID=None))
        self.no_instance = [files.picture(setting(SOPInstanceUID=value)) for value in (None, "")]
        self.no_patient = [files.picture(setting(PatientID=value, PatientName="")) for value in (None, "")]
        same = "2.25.1234567"
        study = setting(
            SOPInstanceUID=same, StudyInstanceUID="2.25.77", SeriesInstanceUID="2.25.78", PatientID="T"
        )
        self.twice = [files.picture(study, pixels=1), files.picture(study, pixels=2)]
        self.first = files.picture(
            setting(SOPInstanceUID="2.25.5", StudyInstanceUID="2.25.51", PatientID="C"), pixels=5
        )
        corrected = setting(
            SOPInstanceUID="2.25.5", StudyInstanceUID="2.25.51", PatientID="C", StudyDate="20200101"
        )
        self.corrected = files.picture(corrected, pixels=5)
        moved = setting(SOPInstanceUID="2.25.5", StudyInstanceUID="2.25.52", PatientID="C")
        self.moved = files.picture(moved, pixels=5)
        self.slices = write_files(folder / "ct", 1, "chest-ct")

    def send_first(self, receiver: RunningReceiver) -> None:
        """Everything, of the series every second slice."""
        receiver.send(*self.names.values(), self.no_series, *self.no_patient, *self.twice, self.first)
        receiver.send(*self.slices[::2])
        bare = (*self.no_study, *self.no_instance)
        contexts = {path: context_of(path) for path in bare}
        with associated(receiver.port, contexts.values()) as association:
            self.answers = {path: int(association.send_c_store(path).Status) for path in bare}

    def send_more(self, receiver: RunningReceiver) -> None:
        """The other slices, what was changed, and the names once more."""
        receiver.send(*self.slices[1::2], self.corrected, self.moved, *self.names.values())


@contextmanager
def associated(port: int, contexts: Iterable[tuple[str, str]]) -> Iterator[Association]:
    """An association of a sender that sends files as they are stored, whatever they lack."""
    ae = AE("PACS")
    for context in dict.fromkeys(contexts):
        ae.add_requested_context(*context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
        association = ae.associate("127.0.0.1", port, ae_title="MEDSIGLIP")
        yield association
        association.release()


def context_of(path: Path) -> tuple[str, str]:
    meta = pydicom.filereader.read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sent, Archive]]:
    folder = tmp_path_factory.mktemp("messy")
    everything = Sent(folder)
    with Archive(folder / "home") as archive:
        archive.ingest(write_files(folder / "begin", 1, "skin")[:1], phi="keep")
        with receiving(archive.home, "--quiet", "0.7", "--processes", "1") as receiver:
            everything.send_first(receiver)
            receiver.ingested(archive)
            everything.send_more(receiver)
            receiver.ingested(archive)
        for one in archive.studies().studies:
            study = archive.study(one.study_instance_uid, identity=True)
            everything.studies.setdefault((study.identity or {}).get("patient_id", ""), []).append(study)
        yield everything, archive


def uid_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def study_of(everything: Sent, path: Path) -> StudyDetail:
    """The one study of the patient whom a file names."""
    [found] = everything.studies[str(pydicom.dcmread(path, stop_before_pixels=True).PatientID)]
    return found


def test_names_in_sixteen_character_sets_are_read_as_they_were_written(sent: tuple[Sent, Archive]) -> None:
    everything, _ = sent
    for name, path in everything.names.items():
        assert (study_of(everything, path).identity or {})["patient_name"] == name


def test_what_comes_again_is_there_once(sent: tuple[Sent, Archive]) -> None:
    everything, _ = sent
    for path in everything.names.values():
        study = study_of(everything, path)
        assert (len(study.series), len(study.images), study.series[0].instances) == (1, 1, 1)


def test_what_lacks_a_uid_gets_one_from_its_content(sent: tuple[Sent, Archive]) -> None:
    everything, _ = sent
    made = set()
    for path in (*everything.no_study, everything.no_series, *everything.no_instance):
        study = study_of(everything, path)
        [image] = study.images
        uids = (study.study_instance_uid, image.series_instance_uid, image.sop_instance_uid)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for uid, keyword in zip(
            uids, ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), strict=True
        ):
            named = str(header.get(keyword) or "")
            assert uid == (named or uid)
            if not named:
                assert UID(uid).is_valid
                made.add(uid)
    assert len(made) == 5


def test_a_blank_uid_beside_one_in_the_command_is_another_instance(sent: tuple[Sent, Archive]) -> None:
    everything, _ = sent
    assert everything.answers == dict.fromkeys(everything.answers, 0)


def test_who_has_no_patient_id_is_a_patient_of_each_study(sent: tuple[Sent, Archive]) -> None:
    everything, archive = sent
    keys = {archive.study(uid_of(path)).patient_key for path in everything.no_patient}
    assert len(keys) == 2


def test_one_uid_with_other_pixels_is_two_images(sent: tuple[Sent, Archive]) -> None:
    _, archive = sent
    study = archive.study("2.25.77")
    assert {one.sop_instance_uid for one in study.images} == {"2.25.1234567"}
    assert len({one.pixel_hash for one in study.images}) == len(study.images) == 2


def test_of_an_instance_that_comes_back_changed_the_first_header_counts(sent: tuple[Sent, Archive]) -> None:
    """Also where it comes back in another study; both files are kept."""
    everything, archive = sent
    study = archive.study("2.25.51")
    assert len(study.images) == 1
    first = pydicom.dcmread(everything.first, stop_before_pixels=True)
    assert study.study_date == pydicom.valuerep.DA(first.StudyDate).isoformat()
    assert "2.25.52" not in {one.study_instance_uid for one in archive.studies().studies}
    sent_by_uid = {data_set_of(path) for path in (everything.first, everything.corrected, everything.moved)}
    kept = {data_set_of(path) for path in (archive.home / "received").rglob("*.dcm")}
    assert sent_by_uid <= kept


def test_a_series_that_grew_is_as_if_all_had_come_at_once(sent: tuple[Sent, Archive], tmp_path: Path) -> None:
    everything, archive = sent
    with Archive(tmp_path / "at-once") as other:
        other.ingest(everything.slices, phi="keep")
        study = uid_of(everything.slices[0])
        grown, whole = described(archive, study), described(other, study)
        assert grown == whole
        # How many pictures share a batch decides the last bits of a vector.
        ours, theirs = vectors_of(archive), vectors_of(other)
        for key in whole:
            np.testing.assert_allclose(ours[key], theirs[key], rtol=0, atol=1e-6)


def vectors_of(archive: Archive) -> dict[tuple[str, int], list[float]]:
    """The vector of each image by SOP Instance UID and frame, as it is exported."""
    out = archive.home.parent / f"{archive.home.name}-export"
    archive.export(out)
    rows = pq.read_table(out / "images.parquet").to_pylist()
    return {(one["sop_instance_uid"], one["frame"]): one["embedding"] for one in rows}


def described(archive: Archive, study: str) -> dict[tuple[str, int], tuple[object, ...]]:
    """What is kept of each image of a study beside its vector."""
    return {
        (one.sop_instance_uid, one.frame): (
            one.series_instance_uid,
            one.pixel_hash,
            one.slice_index,
            one.rendering,
            one.rendering_params,
        )
        for one in archive.study(study).images
    }


def test_every_instance_that_was_acknowledged_is_there_as_it_was_sent(sent: tuple[Sent, Archive]) -> None:
    everything, archive = sent
    paths = [*everything.slices, *everything.names.values(), *everything.no_patient, *everything.twice]
    kept = {data_set_of(path) for path in (archive.home / "received").rglob("*.dcm")}
    assert {data_set_of(path) for path in paths} <= kept
    assert archive.verify().ok
    assert archive.index.audit.verify().ok
