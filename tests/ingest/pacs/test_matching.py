"""Questions as QIDO-RS writes them, and services that take them literally."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery, PacsStudy
from medsiglip.ingest.pacs.web.matching import encoded, fits, matching, widened
from tests.ingest.pacs.scripted_service import Request, connection, service, study_row

ALL = PacsQuery(
    patient_id="47/11&x=y",
    patient_name="Wäl^J*",
    accession_number="A+1",
    study_instance_uid="1.2.3",
    modality="CT",
    study_description="50 %, #2",
    from_date="20200101",
    to_date="20201231",
)


def test_whatever_is_asked_for_arrives_as_it_is() -> None:
    pairs = matching(ALL)
    assert parse_qsl(encoded(pairs), strict_parsing=True) == pairs
    assert dict(pairs)["StudyDate"] == "20200101-20201231"
    assert matching(PacsQuery(from_date="20200101"))[0][1] == "20200101-"
    assert matching(PacsQuery(to_date="20200101"))[0][1] == "-20200101"
    assert matching(PacsQuery(from_date="20200101", to_date="20200101"))[0][1] == "20200101"


def test_a_wider_question_needs_no_encoding() -> None:
    wide = dict(widened(matching(ALL)))
    assert wide["PatientName"] == "W*l*J*"
    assert wide["StudyDescription"] == "50*2"
    assert wide["StudyInstanceUID"] == "1.2.3"
    assert "%" not in encoded(widened(matching(ALL)))


@pytest.mark.parametrize(
    ("text", "pattern", "is_like"),
    [
        ("Doe^Jane", "doe^jane", True),
        ("Doe^Jane", "doe^*", True),
        ("Doe^Jane", "*", True),
        ("", "*", True),
        ("Doe^Jane", "d?e^jan?", True),
        ("Doe^Jane", "d?e^jan??", False),
        ("Doe^Jane", "*e^*e", True),
        ("Doe^Jane", "*e^*f", False),
        ("Doe^Jane", "doe", False),
        ("Yamada=山田^太郎", "山田*", True),
        ("a" * 1024, "*a" * 500 + "b", False),
    ],
)
def test_wild_cards(text: str, pattern: str, is_like: bool) -> None:
    assert fits(PacsStudy("1.2.3", patient_name=text), PacsQuery(patient_name=pattern)) == is_like


def literal(request: Request) -> None:
    """Finds what is in one study, comparing the question as it was sent."""
    sent = dict(pair.split("=") for pair in request.path.partition("?")[2].split("&"))
    name = sent.get("PatientName", "*")
    rows = [study_row("1.2.1", **{"00100010": {"Value": [{"Alphabetic": "Doe^Jane"}]}})]
    rows += [study_row("1.2.2", **{"00100010": {"Value": [{"Alphabetic": "Doe^John"}]}})]
    found = {"*": rows, "Doe*Jane": rows, "Doe*": rows}.get(name, [])
    request.give_json(found if sent["offset"] == "0" else [])


def test_services_that_take_questions_literally_are_asked_again() -> None:
    with service(literal) as url, DicomwebClient(connection(url)) as client:
        assert [one.study_instance_uid for one in client.studies(PacsQuery(patient_name="Doe^Jane"))] == [
            "1.2.1"
        ]
        assert len(list(client.studies(PacsQuery(patient_name="Doe*")))) == 2
        assert list(client.studies(PacsQuery(patient_name="Roe^Jane"))) == []


def test_services_that_understand_are_not_asked_again() -> None:
    asked: list[str] = []

    def script(request: Request) -> None:
        asked.append(request.asked["PatientName"][0])
        is_known = asked[-1] == "Doe^Jane" and request.asked["offset"] == ["0"]
        request.give_json([study_row("1.2.1")] if is_known else [])

    with service(script) as url, DicomwebClient(connection(url)) as client:
        assert len(list(client.studies(PacsQuery(patient_name="Doe^Jane")))) == 1
        assert list(client.studies(PacsQuery(patient_name="Roe^Jane"))) == []
    assert asked == ["Doe^Jane", "Doe^Jane", "Roe^Jane"]
