"""PACS that refuse, fail, fall silent, never end, or answer with what was not asked for."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import evt

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dimse import getting
from medsiglip.ingest.pacs.dimse.client import DimseClient
from medsiglip.ingest.pacs.dimse.contexts import VERIFICATION
from medsiglip.ingest.pacs.records import PacsInstance, PacsQuery
from tests.ingest.pacs.dimse.dimse_peers import connection_to, scp, storing
from tests.ingest.pacs.instances import instance

CLASS = "1.2.840.10008.5.1.4.1.1.7"


def answer(**values: Any) -> Dataset:
    made = Dataset()
    made.QueryRetrieveLevel = "STUDY"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is no UID
        for keyword, value in values.items():
            setattr(made, keyword, value)
    return made


def dataset(study: str, number: int) -> Dataset:
    return pydicom.dcmread(BytesIO(instance(study, number)))


def failure_of(port: int, ask: Callable[[DimseClient], object], **options: Any) -> PacsError:
    with DimseClient(connection_to(port, **options)) as client, pytest.raises(PacsError) as caught:
        ask(client)
    return caught.value


def list_studies(client: DimseClient) -> list[str]:
    return [one.study_instance_uid for one in client.studies(PacsQuery(limit=10))]


@pytest.mark.parametrize(
    ("characters", "name", "written"),
    [
        ("ISO_IR 144", "Люкceмбypг", "Люкceмбypг".encode("iso-8859-5")),
        ("ISO_IR 127", "قباني^لنزار", "قباني^لنزار".encode("iso-8859-6")),
        ("ISO_IR 138", "שרון^דבורה", "שרון^דבורה".encode("iso-8859-8")),
        ("GB18030", "Wang^XiaoDong=王^小东", "Wang^XiaoDong=王^小东".encode("gb18030")),
        (
            "\\ISO 2022 IR 87",
            "Yamada^Tarou=山田^太郎",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        ),
    ],
)
def test_names_are_read_by_the_character_set_of_the_answer(
    characters: str, name: str, written: bytes
) -> None:
    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        assert event.identifier.SpecificCharacterSet == "ISO_IR 192"
        made = answer(StudyInstanceUID="1.2.3", SpecificCharacterSet=characters.split("\\"))
        made.PatientName = written
        yield 0xFF00, made

    with scp([(evt.EVT_C_FIND, find)]) as port, DimseClient(connection_to(port)) as client:
        (found,) = client.studies(PacsQuery())
        assert found.patient_name == name


def test_answers_that_cannot_be_used_are_left_out() -> None:
    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, answer(PatientID="no UID at all")
        yield 0xFF00, answer(StudyInstanceUID="Doe^Jane")
        yield 0xFF01, answer(StudyInstanceUID="1.2.3", NumberOfStudyRelatedInstances="7")
        yield 0xFF00, answer(StudyInstanceUID="1.2.3")
        yield 0xFF00, answer(StudyInstanceUID="1.2.4", StudyDescription="a\x00b" + "x" * 5000)

    with scp([(evt.EVT_C_FIND, find)]) as port, DimseClient(connection_to(port)) as client:
        first, second = client.studies(PacsQuery())
        assert (first.study_instance_uid, first.instances) == ("1.2.3", 7)
        assert len(second.study_description) == 1024
        assert list_studies(client) == ["1.2.3", "1.2.4"]
        assert [one.study_instance_uid for one in client.studies(PacsQuery(study_instance_uid="1.2.4"))] == [
            "1.2.4"
        ]


def test_values_that_are_wrong_are_told_to_no_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("pydicom").setLevel(logging.WARNING)
    wrong = dict.fromkeys(
        ("PatientSex", "StudyTime", "StudyDate", "NumberOfStudyRelatedSeries"), b"quellwind"
    )

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        made = answer(StudyInstanceUID="1.2.3")
        for keyword, value in wrong.items():
            tag = Tag(keyword)
            made[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
        yield 0xFF00, made

    with scp([(evt.EVT_C_FIND, find)]) as port, DimseClient(connection_to(port)) as client:
        list(client.studies(PacsQuery(study_instance_uid="quellwind", modality="quellwind")))
        [found] = client.studies(PacsQuery())
    assert found.study_instance_uid == "1.2.3"
    assert "quellwind" not in caplog.text


def test_answers_without_end_are_cancelled_and_then_cut() -> None:
    obeys = [True]

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for number in range(10**9):
            if obeys[0] and event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, answer(StudyInstanceUID=f"1.2.{number}")

    # Until a disobedient one is cut, both sides work as hard as they can.
    with (
        scp([(evt.EVT_C_FIND, find)]) as port,
        DimseClient(connection_to(port, timeout_seconds=2.0)) as client,
    ):
        for is_obedient in (True, False, True):
            obeys[0] = is_obedient
            assert len(list_studies(client)) == 10


@pytest.mark.parametrize(
    ("status", "code", "may_pass"),
    [
        (0xA700, "pacs-failed", True),
        (0xA900, "pacs-failed", False),
        (0xC001, "pacs-failed", True),
        (0x0122, "pacs-failed", False),
        (0x0124, "pacs-refused", False),
    ],
)
def test_statuses_say_what_is_wrong(status: int, code: str, may_pass: bool) -> None:
    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        yield status, None

    with scp([(evt.EVT_C_FIND, find)]) as port:
        error = failure_of(port, list_studies)
        assert (error.code, error.may_pass) == (code, may_pass)
        assert f"0x{status:04X}" in str(error)


def test_an_archive_without_unicode_is_asked_in_ascii() -> None:
    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        if "SpecificCharacterSet" in event.identifier:
            yield 0xA900, None
        else:
            yield 0xFF00, answer(StudyInstanceUID="1.2.3")

    with scp([(evt.EVT_C_FIND, find)]) as port, DimseClient(connection_to(port)) as client:
        assert list_studies(client) == ["1.2.3"]
        with pytest.raises(PacsError):
            list(client.studies(PacsQuery(patient_name="Müller")))


def test_services_that_are_not_offered_are_named(tmp_path: Path) -> None:
    wanted = [PacsInstance("1.2.3.4", "1.2.3.4.1", CLASS)]
    with scp([], services=(VERIFICATION,)) as port:
        for ask in (lambda client: client.echo(), list_studies):
            assert failure_of(port, ask).code == "pacs-refused"
        error = failure_of(port, lambda client: list(client.retrieve("1.2.3", tmp_path, wanted)))
        assert error.code == "pacs-refused"
        assert "C-GET" in str(error)
        options = {"retrieve": "move", "move_destination": "HERE"}
        error = failure_of(port, lambda client: list(client.retrieve("1.2.3", tmp_path, wanted)), **options)
        assert "C-MOVE" in str(error)


def test_instances_of_other_studies_and_too_many_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getting, "_MORE_THAN_EXPECTED", 5)
    statuses: list[int] = []

    def get(event: evt.Event) -> Iterator[tuple[int, Dataset | None] | int]:
        yield 50
        yield 0xFF00, dataset("1.2.999", 1)
        for number in range(49):
            yield 0xFF00, dataset("1.2.3", number)

    handlers = [(evt.EVT_C_GET, get), (evt.EVT_DIMSE_RECV, lambda event: statuses.append(status_of(event)))]
    wanted = [PacsInstance("1.2.3.4", "1.2.3.4.1", CLASS)]
    with scp(handlers) as port:
        error = failure_of(port, lambda client: list(client.retrieve("1.2.3", tmp_path, wanted)))
        assert error.code == "pacs-bad-answer"
    assert 0xA900 in statuses
    kept = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert 0 < len(kept) <= 7
    assert {one.StudyInstanceUID for one in kept} == {"1.2.3"}


def status_of(event: evt.Event) -> int:
    return int(event.message.command_set.get("Status", 0))


def test_what_could_not_be_sent_raises_nothing(tmp_path: Path) -> None:
    def get(event: evt.Event) -> Iterator[tuple[int, Dataset | None] | int]:
        yield 3
        yield 0xFF00, dataset("1.2.3", 1)
        yield 0xFF00, dataset("1.2.3", 2)
        yield 0xB000, None

    wanted = [PacsInstance("1.2.3.4", f"1.2.3.4.{number}", CLASS) for number in (1, 2, 3)]
    with scp([(evt.EVT_C_GET, get)]) as port, DimseClient(connection_to(port)) as client:
        assert len(list(client.retrieve("1.2.3", tmp_path, wanted))) == 2


def test_stores_are_told_apart(tmp_path: Path) -> None:
    statuses = {"1.2.3.4.1": 0, "1.2.3.4.2": 0xA700, "1.2.3.4.3": 0xC123, "1.2.3.4.4": 0xB007}
    files = [tmp_path / f"{number}.dcm" for number in (1, 2, 3, 4)]
    for number, file in enumerate(files, 1):
        file.write_bytes(instance("1.2.3", number))
    kept = tmp_path / "kept"
    with storing(kept, lambda sop: statuses[sop]) as port, DimseClient(connection_to(port)) as client:
        outcomes = client.store(files)
    assert [one.status for one in outcomes] == list(statuses.values())
    assert [one.is_stored for one in outcomes] == [True, False, False, True]
    assert [one.may_pass for one in outcomes] == [False, True, False, False]
    assert (kept / "1.2.3.4.1.dcm").read_bytes()[-256:] == files[0].read_bytes()[-256:]


@contextmanager
def raw(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A peer that speaks no DIMSE, or ill; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as connected, suppress(OSError):
                    serve(connected)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def silent(connected: socket.socket) -> None:
    while connected.recv(4096):
        pass


def garbage(connected: socket.socket) -> None:
    connected.recv(4096)
    connected.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)


def endless_pdu(connected: socket.socket) -> None:
    connected.recv(4096)
    connected.sendall(struct.pack(">BBI", 2, 0, 0xFFFFFFF0))
    while True:
        connected.sendall(bytes(65536))


def dribbling(connected: socket.socket) -> None:
    connected.recv(4096)
    connected.sendall(struct.pack(">BBI", 2, 0, 200))
    while True:
        connected.sendall(b"\0")
        time.sleep(0.2)


@pytest.mark.parametrize("serve", [silent, garbage, endless_pdu, dribbling, lambda connected: None])
def test_what_is_no_pacs_ends_soon(serve: Callable[[socket.socket], None]) -> None:
    begun = time.monotonic()
    with raw(serve) as port:
        error = failure_of(port, lambda client: client.echo(), timeout_seconds=1.0)
    assert error.code in ("pacs-timeout", "pacs-refused", "pacs-unreachable")
    assert error.may_pass
    assert time.monotonic() - begun < 60


def test_nothing_listens_and_names_are_unknown() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = failure_of(unused.getsockname()[1], lambda client: client.echo())
    assert (error.code, error.may_pass) == ("pacs-unreachable", True)
    error = failure_of(104, lambda client: client.echo(), host="no-such-host.invalid")
    assert (error.code, error.may_pass) == ("pacs-unreachable", True)
    assert "no-such-host.invalid is unknown here" in str(error)


def test_a_pacs_that_stops_in_the_middle_is_left(tmp_path: Path) -> None:
    going_on = threading.Event()

    def get(event: evt.Event) -> Iterator[tuple[int, Dataset | None] | int]:
        yield 2
        yield 0xFF00, dataset("1.2.3", 1)
        going_on.wait(60)
        yield 0xFF00, dataset("1.2.3", 2)

    wanted = [PacsInstance("1.2.3.4", f"1.2.3.4.{number}", CLASS) for number in (1, 2)]
    with scp([(evt.EVT_C_GET, get)]) as port:
        error = failure_of(
            port, lambda client: list(client.retrieve("1.2.3", tmp_path, wanted)), timeout_seconds=1.0
        )
        going_on.set()
    assert (error.code, error.may_pass) == ("pacs-timeout", True)
    assert len(list(tmp_path.iterdir())) == 1


def test_uncompressed_files_are_sent_in_the_syntax_that_is_taken(tmp_path: Path) -> None:
    taken: list[Dataset] = []

    def store(event: evt.Event) -> int:
        taken.append(event.dataset)
        assert event.context.transfer_syntax == ImplicitVRLittleEndian
        return 0

    file, other = tmp_path / "1.dcm", tmp_path / "2.dcm"
    file.write_bytes(instance("1.2.3", 1))
    other.write_bytes(instance("1.2.3", 2, SOPClassUID="1.2.840.10008.5.1.4.1.1.2"))
    only = {CLASS: [ImplicitVRLittleEndian]}
    with scp([(evt.EVT_C_STORE, store)], stored=only) as port, DimseClient(connection_to(port)) as client:
        statuses = [one.status for one in client.store([other, file])]
    assert statuses == [0x0122, 0]
    assert taken[0].PixelData == dataset("1.2.3", 1).PixelData
    assert taken[0].PatientName == "Doe^Jane"
