"""A real PACS by DICOMweb: all that it holds comes as it is stored."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.archive.pacs.orthanc import Orthanc, needs_orthanc
from tests.ingest.pacs.conftest import connection_to
from tests.ingest.pacs.instances import instance

pytestmark = needs_orthanc

# Names in the character sets that Orthanc decodes (PS3.3, C.12.1.1.2; examples of PS3.5, annexes H to K).
NAMES = {
    "ISO_IR 100": "Buc^Jérôme",
    "ISO_IR 101": "Wałęsa^Lech",
    "ISO_IR 109": "Ĝirafo^Ĥ",
    "ISO_IR 110": "Bērziņš^Jānis",
    "ISO_IR 126": "Διονυσιος",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 144": "Люкceмбypг",
    "ISO_IR 148": "Çağlar^İpek",
    "ISO_IR 166": "สมชาย",
    "ISO_IR 192": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "GB18030": "王^小东",
}


@pytest.fixture(scope="module", autouse=True)
def held(guarded_orthanc: Orthanc, real_instances: list[Path]) -> list[Path]:
    """The files that Orthanc took."""
    return guarded_orthanc.upload(real_instances)


def syntax_of(file: Path) -> str | None:
    """The transfer syntax of a file, None for one without File Meta Information."""
    try:
        return str(read_file_meta_info(file).TransferSyntaxUID)
    except (InvalidDicomError, AttributeError):
        return None


@pytest.mark.long
def test_all_that_it_holds_comes_byte_for_byte(
    client: DicomwebClient, guarded_orthanc: Orthanc, held: list[Path], tmp_path: Path
) -> None:
    resources = guarded_orthanc.http.get("/studies", params={"expand": ""}).json()
    uids = Counter(one["MainDicomTags"]["StudyInstanceUID"] for one in resources)
    studies = list(client.studies(PacsQuery()))
    assert sorted(one.study_instance_uid for one in studies) == sorted(uids)
    # Orthanc gives nothing by WADO-RS of a study that it has for two patients.
    givable = [one for one in studies if uids[one.study_instance_uid] == 1]
    truth = {file.read_bytes() for file in held}
    came: dict[bytes, Path] = {}
    for study in givable:
        listed = client.instances(study.study_instance_uid)
        files = {file.read_bytes(): file for file in client.retrieve(study.study_instance_uid, tmp_path)}
        assert len(files) == len(listed) == study.instances
        assert files.keys() <= truth
        came |= files
    total = guarded_orthanc.http.get("/statistics").json()["CountInstances"]
    assert total - 2 * (len(studies) - len(givable)) <= len(came) <= total
    assert len(came) >= 200
    assert len({syntax_of(file) for file in came.values()} - {None}) >= 12
    assert sorted(tmp_path.iterdir()) == sorted(tmp_path.glob("*.dcm"))


def test_questions_are_answered_as_an_independent_client_reads_them(
    client: DicomwebClient, guarded_orthanc: Orthanc
) -> None:
    api = pytest.importorskip("dicomweb_client.api")
    session = __import__("requests").Session()
    session.auth = ("reader", "secret")
    judge = api.DICOMwebClient(guarded_orthanc.dicomweb_url, session=session)
    rows = judge.search_for_studies(fields=["StudyDescription"])
    truth = {row["0020000D"]["Value"][0]: row for row in rows}
    for study in client.studies(PacsQuery()):
        row = truth.pop(study.study_instance_uid)
        assert study.patient_id == first(row, "00100020")
        assert study.study_date == first(row, "00080020")
        assert study.study_description == first(row, "00081030")
        assert list(study.modalities) == row["00080061"].get("Value", [])
        assert study.series == int(first(row, "00201206"))
        assert study.instances == int(first(row, "00201208"))
    assert not truth


def first(row: dict[str, Any], tag: str) -> Any:
    return next(iter(row.get(tag, {}).get("Value", [])), "")


def test_each_part_of_a_question_narrows_it(client: DicomwebClient, guarded_orthanc: Orthanc) -> None:
    """Against Orthanc's own search, which is not by DICOMweb."""
    questions: list[tuple[PacsQuery, dict[str, str]]] = [
        (PacsQuery(patient_id="77654033"), {"PatientID": "77654033"}),
        (PacsQuery(patient_name="Doe^*"), {"PatientName": "Doe^*"}),
        (PacsQuery(patient_name="CompressedSamples^MR?"), {"PatientName": "CompressedSamples^MR?"}),
        (PacsQuery(patient_name="Doe^Archibald"), {"PatientName": "Doe^Archibald"}),
        (PacsQuery(patient_name="Doe^Archi?ald"), {"PatientName": "Doe^Archi?ald"}),
        (PacsQuery(patient_name="^*"), {"PatientName": "^*"}),
        (PacsQuery(accession_number="1"), {"AccessionNumber": "1"}),
        (PacsQuery(modality="MR"), {"ModalitiesInStudy": "MR"}),
        (PacsQuery(study_description="CT, HEAD/BRAIN*"), {"StudyDescription": "CT, HEAD/BRAIN*"}),
        (PacsQuery(from_date="20040101"), {"StudyDate": "20040101-"}),
        (PacsQuery(to_date="20040101"), {"StudyDate": "-20040101"}),
        (PacsQuery(from_date="19970101", to_date="20041231"), {"StudyDate": "19970101-20041231"}),
        (PacsQuery(from_date="20040826", to_date="20040826"), {"StudyDate": "20040826"}),
        (
            PacsQuery(modality="CT", from_date="20000101"),
            {"ModalitiesInStudy": "CT", "StudyDate": "20000101-"},
        ),
    ]
    for query, own in questions:
        asked = {"Level": "Study", "Expand": True, "CaseSensitive": True, "Query": own}
        truth = guarded_orthanc.http.post("/tools/find", json=asked).json()
        uids = {one["MainDicomTags"]["StudyInstanceUID"] for one in truth}
        found = [one.study_instance_uid for one in client.studies(query)]
        assert set(found) == uids, own
        assert len(found) == len(set(found))
    everything = [one.study_instance_uid for one in client.studies(PacsQuery())]
    assert len(list(client.studies(PacsQuery(limit=7)))) == 7
    (one,) = client.studies(PacsQuery(study_instance_uid=everything[5]))
    assert one.study_instance_uid == everything[5]
    assert list(client.studies(PacsQuery(patient_id="nobody"))) == []


def test_names_in_many_scripts(client: DicomwebClient, guarded_orthanc: Orthanc, tmp_path: Path) -> None:
    for number, (character_set, name) in enumerate(NAMES.items()):
        file = tmp_path / f"{number}.dcm"
        values = {"SpecificCharacterSet": character_set, "PatientName": name, "AccessionNumber": f"S{number}"}
        file.write_bytes(instance(f"1.2.826.0.1.7.{number}", 1, **values))
        assert guarded_orthanc.upload([file])
    for number, name in enumerate(NAMES.values()):
        (found,) = client.studies(PacsQuery(accession_number=f"S{number}"))
        assert found.patient_name == name
    greek = [one.patient_name for one in client.studies(PacsQuery(patient_name="Διον*"))]
    assert set(greek) == {"Διονυσιος"}
    (japanese,) = client.studies(PacsQuery(patient_name="山田^太郎", accession_number="S10"))
    assert japanese.patient_name == NAMES["ISO_IR 192"]


def test_some_instances_of_a_study(client: DicomwebClient, tmp_path: Path) -> None:
    study = max(client.studies(PacsQuery()), key=lambda one: one.instances or 0).study_instance_uid
    listed = client.instances(study)
    assert len(listed) > 5
    files = list(client.retrieve(study, tmp_path, listed[2:5]))
    assert [pydicom.dcmread(file).SOPInstanceUID for file in files] == [
        one.sop_instance_uid for one in listed[2:5]
    ]
    assert list(client.retrieve(study, tmp_path, [])) == []


def test_what_it_does_not_hold(client: DicomwebClient, tmp_path: Path) -> None:
    assert client.instances("1.2.3") == []
    assert list(client.retrieve("1.2.3", tmp_path)) == []
    assert list(client.studies(PacsQuery(study_instance_uid="1.2.3"))) == []


def test_a_sign_of_life(client: DicomwebClient) -> None:
    answer = client.echo()
    assert 0 < answer.seconds < 60
    assert answer.about.startswith("DICOMweb")


def test_changes_go_on_where_they_ended(
    client: DicomwebClient, guarded_orthanc: Orthanc, tmp_path: Path
) -> None:
    found = list(client.changes(0))
    everything = {one.study_instance_uid for one in client.studies(PacsQuery())}
    assert {uid for _, uid in found} == everything
    last = max(number for number, _ in found)
    assert found[-1][0] == last
    assert all(number < last for number, _ in found[:-1])
    for number in (1, 2):  # a new study, and then one that has grown
        file = tmp_path / f"{number}.dcm"
        file.write_bytes(instance("1.2.826.0.1.8", number))
        guarded_orthanc.upload([file])
        fresh = list(client.changes(last))
        assert {uid for _, uid in fresh} == {"1.2.826.0.1.8"}
        last = fresh[-1][0]
    assert {uid for _, uid in client.changes(last + 1_000_000)} == everything | {"1.2.826.0.1.8"}


def test_a_wrong_password(guarded_orthanc: Orthanc, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    given = connection_to(guarded_orthanc).to_json() | {"password_file": str(tmp_path / "password")}
    with DicomwebClient(type(connection_to(guarded_orthanc)).from_json("orthanc", given)) as client:
        for use in (client.echo, lambda: client.instances("1.2.3"), lambda: list(client.changes(0))):
            with pytest.raises(PacsError) as refused:
                use()
            assert refused.value.code == "pacs-refused"


def test_instances_are_stored_and_a_bad_file_stops_none(
    client: DicomwebClient, guarded_orthanc: Orthanc, tmp_path: Path
) -> None:
    files = []
    for number in range(4):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(instance("1.2.826.0.1.9", number))
    files.insert(1, tmp_path / "text.dcm")
    files[1].write_text("no instance")
    files.insert(2, tmp_path / "cut.dcm")
    files[2].write_bytes(instance("1.2.826.0.1.9", 7)[:-100])
    files.append(tmp_path / "gone.dcm")
    outcomes = client.store(files)
    assert [one.file for one in outcomes] == files
    assert [one.is_stored for one in outcomes] == [True, False, False, True, True, True, False]
    assert outcomes[0].sop_instance_uid == "1.2.826.0.1.9.4.0"
    for number in range(4):
        (found,) = guarded_orthanc.http.post("/tools/lookup", content=f"1.2.826.0.1.9.4.{number}").json()
        content = guarded_orthanc.http.get(f"{found['Path']}/file").content
        assert content == (tmp_path / f"{number}.dcm").read_bytes()
    assert [one.is_stored for one in client.store(files[:1])] == [True]
    assert len(client.instances("1.2.826.0.1.9")) == 4


def test_a_pacs_that_ends_in_the_middle_and_comes_again(tmp_path: Path) -> None:
    with Orthanc(tmp_path / "orthanc") as orthanc:
        path = tmp_path / "one.dcm"
        for number in range(3):
            path.write_bytes(instance("1.2.826.0.1.10", number))
            orthanc.upload([path])
        given = type(connection_to(orthanc))("orthanc", "dicomweb", url=orthanc.dicomweb_url)
        with DicomwebClient(given) as client:
            assert len(client.instances("1.2.826.0.1.10")) == 3
            orthanc.kill()
            for use in (client.echo, lambda: list(client.retrieve("1.2.826.0.1.10", tmp_path))):
                with pytest.raises(PacsError) as refused:
                    use()
                assert (refused.value.code, refused.value.may_pass) == ("pacs-unreachable", True)
            orthanc.start()
            (tmp_path / "came").mkdir()
            assert len(list(client.retrieve("1.2.826.0.1.10", tmp_path / "came"))) == 3
            assert json.dumps(httpx.get(f"{orthanc.url}/system").json()["Name"]) == '"orthanc"'
