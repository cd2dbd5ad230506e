"""QIDO-RS: what is found, compared with the headers of the files."""

from __future__ import annotations

from typing import Any

import pydicom
import pytest

from tests.api.http.routes.dicomweb.conftest import SERIES, STUDY, Served


def uids(rows: list[dict[str, Any]], tag: str = "0020000D") -> list[str]:
    return [row[tag]["Value"][0] for row in rows]


def get(served: Served, path: str, **query: Any) -> list[dict[str, Any]]:
    with served.http() as http:
        answer = http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    rows: list[dict[str, Any]] = answer.json()
    return rows


def test_a_study_has_the_attributes_of_its_files(served: Served) -> None:
    [row] = get(served, "/studies", StudyInstanceUID=STUDY)
    found = pydicom.Dataset.from_json(row)
    assert (found.StudyDate, found.StudyTime, found.PatientSex) == ("20240305", "101500", "F")
    assert (found.PatientAge, found.StudyDescription) == ("061Y", "CT Thorax")
    assert list(found.ModalitiesInStudy) == ["CT", "US"]
    assert (found.NumberOfStudyRelatedSeries, found.NumberOfStudyRelatedInstances) == (3, 5)
    assert found.AccessionNumber == found.PatientBirthDate == found.StudyID == ""
    assert len(found.PatientID) == 32
    assert found.PatientName == found.PatientID
    assert found.RetrieveURL == f"{served.url}/studies/{STUDY}"
    with served.http() as http:
        assert http.get(found.RetrieveURL + "/metadata").status_code == 200


def test_series_and_instances_are_listed_at_each_level(served: Served) -> None:
    series = get(served, f"/studies/{STUDY}/series")
    assert set(uids(series, "0020000E")) == {SERIES, f"{SERIES}.200", f"{SERIES}.300"}
    by_uid = {row["0020000E"]["Value"][0]: row for row in series}
    assert by_uid[SERIES]["00201209"]["Value"] == [3]
    assert by_uid[f"{SERIES}.300"]["00080060"]["Value"] == ["US"]
    assert len(get(served, "/series", StudyInstanceUID=STUDY)) == 3
    slices = get(served, f"/studies/{STUDY}/series/{SERIES}/instances")
    assert [row["00200013"]["Value"][0] for row in slices] == [1, 2, 3]
    assert [row["00280010"]["Value"][0] for row in slices] == [24] * 3
    assert len(get(served, f"/studies/{STUDY}/instances")) == 5
    [multi] = get(served, "/instances", SOPInstanceUID=f"{SERIES}.20")
    assert multi["00280008"]["Value"] == [5]
    assert multi["00083002"]["Value"] == ["1.2.840.10008.1.2.5"]


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ({"StudyDate": "20240305"}, True),
        ({"StudyDate": "20240301-20240306"}, True),
        ({"00080020": "20240306-"}, False),
        ({"StudyDate": "-20240305"}, True),
        ({"StudyDate": "-20240304"}, False),
        ({"StudyTime": "10-11"}, True),
        ({"StudyTime": "1016-"}, False),
        ({"ModalitiesInStudy": "US"}, True),
        ({"ModalitiesInStudy": "MR,CT"}, True),
        ({"ModalitiesInStudy": "PT"}, False),
        ({"Modality": "US", "InstanceNumber": "30"}, True),
        ({"StudyDescription": "ct tho*"}, True),
        ({"StudyDescription": "?T Thorax"}, True),
        ({"StudyDescription": "ct%"}, False),
        ({"PatientSex": "M"}, False),
        ({"PatientSex": ""}, True),
        ({"PatientID": "*"}, True),
        ({"PatientID": "SECRET-77"}, False),
        ({"PatientName": "Secretname^Hidden"}, False),
        ({"AccessionNumber": "ACC-SECRET-1"}, False),
        ({"AccessionNumber": ""}, True),
        ({"SeriesInstanceUID": SERIES}, True),
        ({"SOPInstanceUID": f"1.2\\{SERIES}.2"}, True),
        ({"BodyPartExamined": "HEAD"}, False),
        ({"NumberOfFrames": "5", "Rows": "24"}, True),
    ],
)
def test_matching(served: Served, query: dict[str, str], is_found: bool) -> None:
    assert (STUDY in uids(get(served, "/studies", **query))) is is_found


def test_the_patient_key_is_the_patient_s_id(served: Served) -> None:
    [row] = get(served, "/studies", StudyInstanceUID=STUDY)
    key = row["00100020"]["Value"][0]
    assert STUDY in uids(get(served, "/studies", **{"00100020": key}))
    assert STUDY in uids(get(served, "/studies", PatientName=f"{key[:6]}*"))


def test_pages_cover_everything_once(served: Served) -> None:
    whole = uids(get(served, "/studies"))
    assert len(whole) == len(set(whole)) > 10
    paged: list[str] = []
    with served.http() as http:
        while True:
            answer = http.get("/studies", params={"limit": 4, "offset": len(paged)})
            paged += uids(answer.json())
            if "additional results" not in answer.headers.get("warning", ""):
                break
    assert paged == whole


def test_fields_and_fuzzy_matching_are_accepted(served: Served) -> None:
    query = {"StudyInstanceUID": STUDY, "includefield": "00081030,StudyDescription", "fuzzymatching": "true"}
    with served.http() as http:
        answer = http.get("/studies", params=query)
        plain = http.get("/studies", params={**query, "fuzzymatching": "false", "includefield": "all"})
    assert "fuzzymatching parameter is not supported" in answer.headers["warning"]
    assert "warning" not in plain.headers
    assert answer.json() == plain.json()


@pytest.mark.parametrize(
    "query",
    [
        {"PatientNmae": "x"},
        {"SeriesNumber": "4"},
        {"StudyDate": "yesterday"},
        {"StudyDate": "20241301"},
        {"StudyTime": "noon"},
        {"InstanceNumber": "one"},
        {"fuzzymatching": "perhaps"},
        {"includefield": "Everything"},
    ],
)
def test_what_cannot_be_matched_is_refused(served: Served, query: dict[str, str]) -> None:
    with served.http() as http:
        answer = http.get("/instances", params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-dicomweb-query")


def test_only_json_is_answered(served: Served) -> None:
    with served.http() as http:
        answer = http.get("/studies", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
        assert (answer.status_code, answer.json()["code"]) == (406, "not-acceptable")
        assert http.get("/studies", headers={"Accept": "application/json"}).status_code == 200
        assert http.head("/studies").status_code == 200
