"""Orthanc asked, fetched from and sent to by DIMSE, with real files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection
from medsiglip.ingest.pacs.dimse.client import DimseClient
from medsiglip.ingest.pacs.opening import open_client
from medsiglip.ingest.pacs.records import PacsInstance, PacsQuery
from tests.api.archive.pacs.certificates import Authority
from tests.api.archive.pacs.orthanc import Orthanc, Setup, free_ports, needs_orthanc
from tests.ingest.pacs.dimse.dimse_peers import connection_to, storing
from tests.ingest.pacs.instances import instance

pytestmark = needs_orthanc
_LARGEST = 1 << 20
TRAILING_PADDING = 0xFFFCFFFC
NAMES = {
    "1.2.3.1": ("ISO_IR 100", "Müller^Jürgen"),
    "1.2.3.2": ("ISO_IR 192", "Иванов^Пётр"),
    "1.2.3.3": ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "1.2.3.4": ("ISO_IR 126", "Διονυσιος"),
}


@pytest.fixture(scope="module")
def destination() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def chosen(test_data: Path) -> list[Path]:
    return one_of_each(test_data / "dicom")


@pytest.fixture(scope="module")
def orthanc(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[Path], destination: int
) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    modalities = {"MEDSIGLIP": None, "MEDSIGLIP_IN": destination}
    # By DIMSE, Orthanc answers in this character set, whatever it is asked in and an instance is stored in.
    setup = Setup(modalities=modalities, options={"DefaultEncoding": "Utf8"})
    with warnings.catch_warnings(), Orthanc(folder / "home", setup) as running:
        warnings.simplefilter("ignore")  # some of the files hold what pydicom warns of
        running.upload(chosen)
        made = folder / "made.dcm"
        for study, (characters, name) in NAMES.items():
            for number in (1, 2, 3):
                made.write_bytes(
                    instance(
                        study,
                        number,
                        SpecificCharacterSet=characters,
                        PatientName=name,
                        PatientID=f"made-{study[-1]}",
                        StudyDate="20200102",
                        StudyDescription="Thorax",
                        AccessionNumber=f"A{study[-1]}",
                        SeriesInstanceUID=f"{study}.{number % 2}",
                    )
                )
                running.upload([made])
        yield running


@pytest.fixture
def connection(orthanc: Orthanc) -> Connection:
    return connection_to(orthanc.dicom_port, ae_title="ORTHANC", timeout_seconds=30.0)


@pytest.fixture
def client(connection: Connection) -> Iterator[DimseClient]:
    opened = open_client(connection)
    assert isinstance(opened, DimseClient)
    with opened:
        yield opened


def one_of_each(folder: Path) -> list[Path]:
    """Files with every class and every syntax that Orthanc 1.10 knows, of at most 1 MB each."""
    found: dict[tuple[str, str], Path] = {}
    instances: set[str] = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.stat().st_size > _LARGEST:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = pydicom.dcmread(path, stop_before_pixels=True)
                is_unknown = header.get_item("SOPClassUID").VR == "UN"
                key = (str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID))
                sop = str(header.SOPInstanceUID)
                # Orthanc cannot send what states its class as UN, and knows no Deflated Image Frame.
                is_usable = not is_unknown and not key[1].endswith(".8.1")
                uids = (sop, str(header.StudyInstanceUID), str(header.SeriesInstanceUID))
                # UIDs of anything but digits and dots are no UIDs, and not asked for.
                is_usable = is_usable and all(set(uid) <= set("0123456789.") for uid in uids)
            except Exception:
                continue
        is_new = not any(one[0] == key[0] for one in found) or not any(one[1] == key[1] for one in found)
        if is_usable and is_new and sop not in instances:
            found[key] = path
            instances.add(sop)
    return list(found.values())


def elements(content: bytes) -> dict[int, Any]:
    """The elements of a data set as they are stored, without group lengths and padding, which dcmtk leaves
    out; sequences as lists of such, since their lengths may be stated or not.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return held(pydicom.dcmread(BytesIO(content), force=True))


def held(dataset: Dataset) -> dict[int, Any]:
    tags = [int(tag) for tag in list(dataset.keys()) if tag.element and tag != TRAILING_PADDING]
    # To read a sequence converts other elements, so they come first.
    plain = {tag: bytes_of(dataset, tag) for tag in tags if not is_sequence(dataset, tag)}
    items = {tag: dataset[tag].value for tag in tags if tag not in plain}
    return plain | {
        tag: [held(item) for item in found] if isinstance(found, Sequence) else found
        for tag, found in items.items()
    }


def is_sequence(dataset: Dataset, tag: int) -> bool:
    stored = dataset.get_item(tag)
    assert stored is not None
    return "SQ" in (stored.VR, dictionary_VR(tag) if dictionary_has_tag(tag) else "")


def bytes_of(dataset: Dataset, tag: int) -> bytes:
    stored = dataset.get_item(tag)
    assert stored is not None
    content = stored.value
    return (content if isinstance(content, bytes) else str(content).encode()).rstrip(b" \0")


@pytest.mark.long
def test_every_instance_arrives_as_it_is_stored(
    client: DimseClient, orthanc: Orthanc, tmp_path: Path, chosen: list[Path]
) -> None:
    stored = orthanc.stored()
    assert len(chosen) > 20
    arrived: dict[str, Path] = {}
    for study in client.studies(PacsQuery()):
        asked = client.instances(study.study_instance_uid)
        assert study.instances == len(asked)
        for file in client.retrieve(study.study_instance_uid, tmp_path):
            meta = pydicom.filereader.read_file_meta_info(file)
            arrived[str(meta.MediaStorageSOPInstanceUID)] = file
            assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
            assert meta.SendingApplicationEntityTitle == "ORTHANC"
            assert meta.ReceivingApplicationEntityTitle == "MEDSIGLIP"
    assert set(arrived) == set(stored)
    assert {path.suffix for path in tmp_path.iterdir()} == {".dcm"}
    syntaxes: set[str] = set()
    changed: list[str] = []
    for sop, file in arrived.items():
        theirs = pydicom.dcmread(BytesIO(stored[sop]), force=True, stop_before_pixels=True).file_meta
        ours = pydicom.filereader.read_file_meta_info(file)
        if "TransferSyntaxUID" in theirs:
            assert ours.TransferSyntaxUID == theirs.TransferSyntaxUID
        syntaxes.add(str(ours.TransferSyntaxUID))
        if elements(file.read_bytes()) != elements(stored[sop]):
            changed.append(sop)
    assert changed == []
    assert len(syntaxes) > 10


def test_questions_are_answered(client: DimseClient) -> None:
    answer = client.echo()
    assert answer.seconds > 0
    assert "DCMTK" in answer.about
    for uid, (_, name) in NAMES.items():
        (found,) = client.studies(PacsQuery(study_instance_uid=uid))
        assert found.patient_name == name
        assert (found.patient_id, found.accession_number) == (f"made-{uid[-1]}", f"A{uid[-1]}")
        assert (found.study_date, found.study_description) == ("20200102", "Thorax")
        assert (found.modalities, found.series, found.instances) == (("OT",), 2, 3)
    by_name = PacsQuery(patient_name="ИВАНОВ*")
    assert [one.study_instance_uid for one in client.studies(by_name)] == ["1.2.3.2"]
    for query in (
        PacsQuery(patient_id="made-?"),
        PacsQuery(accession_number="A*", from_date="20200101", to_date="20200131"),
        PacsQuery(study_description="Thor*", modality="OT", from_date="20200102", to_date="20200102"),
    ):
        assert {one.study_instance_uid for one in client.studies(query)} == set(NAMES)
    assert list(client.studies(PacsQuery(patient_id="made-?", modality="CT"))) == []
    assert list(client.studies(PacsQuery(patient_id="made-1", to_date="20191231"))) == []
    assert client.instances("1.2.3.999") == []


def test_a_limit_stops_the_answers_and_the_association_stays(client: DimseClient) -> None:
    for _ in range(5):
        assert len(list(client.studies(PacsQuery(limit=3)))) == 3
    assert len(client.instances("1.2.3.1")) == 3


def test_instances_are_fetched_alone(client: DimseClient, tmp_path: Path) -> None:
    held = client.instances("1.2.3.1")
    assert [one.sop_class_uid for one in held] == ["1.2.840.10008.5.1.4.1.1.7"] * 3
    wanted = [one for one in held if one.sop_instance_uid.endswith((".1", ".2"))]
    assert arrived(client, "1.2.3.1", tmp_path, wanted) == {"1.2.3.1.4.1", "1.2.3.1.4.2"}
    series = [one for one in held if one.series_instance_uid == "1.2.3.1.1"]
    assert arrived(client, "1.2.3.1", tmp_path, series) == {"1.2.3.1.4.1", "1.2.3.1.4.3"}
    unknown = [PacsInstance(one.series_instance_uid, one.sop_instance_uid) for one in series]
    assert arrived(client, "1.2.3.1", tmp_path, unknown) == {"1.2.3.1.4.1", "1.2.3.1.4.3"}
    gone = [PacsInstance("1.2.3.1.1", "1.2.3.1.4.99", held[0].sop_class_uid)]
    with pytest.raises(PacsError, match="pacs answers with status 0x"):
        arrived(client, "1.2.3.1", tmp_path, gone)
    assert len(arrived(client, "1.2.3.1", tmp_path, None)) == 3


def arrived(client: DimseClient, study: str, folder: Path, wanted: Sequence[PacsInstance] | None) -> set[str]:
    return {
        str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
        for file in client.retrieve(study, folder, wanted)
    }


def test_operations_are_counted(connection: Connection, tmp_path: Path) -> None:
    spent: list[int] = []
    with DimseClient(connection, spent.append) as client:
        client.echo()
        list(client.studies(PacsQuery(limit=1)))
        client.instances("1.2.3.1")
        assert spent == [1, 1, 1, 1, 1]  # one for the list of series and one for each of the two series
        assert len(list(client.retrieve("1.2.3.1", tmp_path))) == 3
        assert sum(spent) == 8


def test_a_move_goes_to_the_receiver(connection: Connection, destination: int, tmp_path: Path) -> None:
    options = {**connection.to_json(), "retrieve": "move"}
    moving = Connection.from_json("pacs", {**options, "move_destination": "MEDSIGLIP_IN"})
    received = tmp_path / "received"
    with DimseClient(moving) as client:
        assert client.retrieves_elsewhere
        # Nothing listens there yet.
        with pytest.raises(PacsError) as caught:
            list(client.retrieve("1.2.3.1", tmp_path))
        assert (caught.value.code, caught.value.may_pass) == ("pacs-failed", True)
    with storing(received, port=destination), DimseClient(moving) as client:
        assert list(client.retrieve("1.2.3.1", tmp_path)) == []
        assert len(list(received.iterdir())) == 3
        wanted = client.instances("1.2.3.2")[:1]
        assert list(client.retrieve("1.2.3.2", tmp_path, wanted)) == []
        assert (received / f"{wanted[0].sop_instance_uid}.dcm").exists()
        assert len(list(received.iterdir())) == 4
    unknown = Connection.from_json("pacs", {**options, "move_destination": "NOBODY"})
    with DimseClient(unknown) as client, pytest.raises(PacsError, match="AE title NOBODY"):
        list(client.retrieve("1.2.3.1", tmp_path))


def test_files_are_sent_once_and_a_bad_one_stops_nothing(
    connection: Connection, orthanc: Orthanc, tmp_path: Path
) -> None:
    files = [tmp_path / f"{number}.dcm" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(instance("1.2.3.9", number))
    files[1].write_bytes(b"no DICOM at all")
    with DimseClient(connection) as client:
        for _ in range(2):
            outcomes = client.store(files)
            assert [one.is_stored for one in outcomes] == [True, False, True, True]
            assert [one.file for one in outcomes] == files
            assert outcomes[2].sop_instance_uid == "1.2.3.9.4.2"
        held = client.instances("1.2.3.9")
    assert sorted(one.sop_instance_uid[-1] for one in held) == ["0", "2", "3"]
    assert elements(orthanc.stored()["1.2.3.9.4.2"]) == elements(files[2].read_bytes())


def test_who_is_not_known_there_is_refused(orthanc: Orthanc) -> None:
    for options, said in (
        ({"ae_title": "OTHER"}, "it has another AE title than OTHER"),
        ({"ae_title": "ORTHANC", "calling_ae_title": "STRANGER"}, "STRANGER"),
    ):
        with DimseClient(connection_to(orthanc.dicom_port, **options)) as client:
            with pytest.raises(PacsError, match=said) as caught:
                client.echo()
            assert caught.value.code == "pacs-refused"
            assert not caught.value.may_pass


@pytest.mark.long
def test_an_archive_that_was_restarted_is_asked_again(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    authority, stranger = Authority(folder, "hospital"), Authority(folder, "stranger")
    server, own = authority.sign("pacs"), authority.sign("medsiglip")
    foreign = stranger.sign("medsiglip")
    with Orthanc(folder / "home", Setup(server=server, client_ca=authority.ca_file)) as running:
        file = tmp_path / "one.dcm"
        file.write_bytes(instance("1.2.3.1", 1))
        options = {"ae_title": "ORTHANC", "tls": True, "ca_file": authority.ca_file}
        mutual = {**options, "certificate_file": own.certificate, "key_file": own.key}
        with DimseClient(connection_to(running.dicom_port, **mutual)) as client:
            assert [one.is_stored for one in client.store([file])] == [True]
            assert len(client.instances("1.2.3.1")) == 1
            running.kill()
            running.start()
            assert len(client.instances("1.2.3.1")) == 1
            assert len(list(client.retrieve("1.2.3.1", tmp_path))) == 1
            running.kill()
            with pytest.raises(PacsError) as caught:
                client.instances("1.2.3.1")
            assert (caught.value.code, caught.value.may_pass) == ("pacs-unreachable", True)
            running.start()
            assert len(client.instances("1.2.3.1")) == 1
        wrong = {**options, "certificate_file": foreign.certificate, "key_file": foreign.key}
        for bad in (options, wrong, {**mutual, "ca_file": stranger.ca_file}, {**mutual, "key_file": file}):
            with DimseClient(connection_to(running.dicom_port, **bad)) as client:
                with pytest.raises(PacsError) as caught:
                    client.echo()
                assert caught.value.code == "pacs-certificate", str(caught.value)
