"""What a PACS is asked for, and what of its answers each kind of home may show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medsiglip.answers.pacs import FoundStudies, FoundStudy
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs import finding
from medsiglip.api.archive.pacs.finding import FIELDS, query_of, where_of
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs import opening
from medsiglip.ingest.pacs.records import PacsQuery
from medsiglip.ingest.privacy.deidentify import known_key
from tests.api.archive.pacs.stub_pacs import PERSON, URL, StubPacs
from tests.api.conftest import Home, Phantoms, run


@pytest.fixture
def pacs(monkeypatch: pytest.MonkeyPatch) -> StubPacs:
    made = StubPacs([PERSON])
    monkeypatch.setattr(opening, "open_client", lambda _connection, _spend=None: made)
    return made


@pytest.fixture(scope="module", params=["keep", "pseudonymous", "strict"])
def archive(
    request: pytest.FixtureRequest, phantoms: Phantoms, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    """A home of each kind with one study, and a PACS."""
    home = tmp_path_factory.mktemp("finding") / "home"
    [folder, *_] = sorted(one for one in phantoms.dicom.iterdir() if one.is_dir())
    assert run("--home", home, "ingest", folder, "--phi", request.param).code == 0
    with Archive(home) as opened:
        opened.add_pacs("main", url=URL)
        yield opened


def found(archive: Archive, **options: Any) -> FoundStudy:
    answer: FoundStudies = archive.pacs_find("main", query_of({"modality": "CT"}), **options)
    [one] = answer.studies
    return one


def test_a_home_shows_of_a_person_what_it_keeps(archive: Archive, pacs: StubPacs) -> None:
    key = known_key(archive.index)
    assert key is not None
    one = found(archive)
    assert one.patient_key == key.patient_key("KH", "4711")
    assert (one.study_instance_uid, one.series, one.instances) == ("1.2.840.7", 2, 3)
    assert (one.here, one.images) == ("no", 0)
    text = str(one.to_json())
    if key.phi == "keep":
        assert (one.patient_name, one.patient_id, one.accession_number) == ("Müller^Jörg", " 4711 ", "A-77")
        assert (one.study_date, one.study_description) == ("2026-03-01", "CT Thorax Müller")
        return
    assert not {"patient_name", "patient_id", "accession_number"} & one.model_fields_set
    assert not [word for word in ("Müller", "Jörg", "4711", "A-77") if word in text]
    if key.phi == "pseudonymous":
        assert (one.study_date, one.modalities) == ("2026-03-01", ("CT",))
        return
    assert (one.study_date, one.study_description) == (None, None)
    hidden = found(archive, with_uids=False)
    assert (hidden.study_instance_uid, hidden.patient_key, hidden.modalities) == (None, None, ("CT",))


def test_a_patient_without_an_id_is_known_by_the_study(archive: Archive, pacs: StubPacs) -> None:
    key = known_key(archive.index)
    assert key is not None
    pacs.held = [replace(PERSON, patient_id="  ", issuer_of_patient_id="KH")]
    assert found(archive).patient_key == key.patient_key_of_study("1.2.840.7")


def test_what_is_no_uid_is_not_shown(archive: Archive, pacs: StubPacs) -> None:
    pacs.held = [replace(PERSON, study_instance_uid="Müller Jörg")]
    one = found(archive)
    key = known_key(archive.index)
    assert key is not None
    assert one.study_instance_uid == ("Müller Jörg" if key.phi == "keep" else None)


@pytest.mark.parametrize(
    ("instances", "here"), [(1, "all"), (2, "part"), (None, "part")], ids=["whole", "grown", "unsaid"]
)
def test_what_is_here_is_told_beside(
    home: Home, pacs: StubPacs, tmp_path: Path, instances: int | None, here: str
) -> None:
    import shutil

    shutil.copytree(home.path, tmp_path / "home")
    with Archive(tmp_path / "home") as archive:
        archive.add_pacs("main", url=URL)
        study = next(one for one in archive.studies().studies if one.images == 1)
        pacs.held = [replace(PERSON, study_instance_uid=study.study_instance_uid, instances=instances)]
        one = found(archive)
    assert (one.here, one.images) == (here, 1)


def test_more_than_was_asked_for_is_said(archive: Archive, pacs: StubPacs) -> None:
    pacs.held = [replace(PERSON, study_instance_uid=f"1.2.{number}") for number in range(5)]
    answer = archive.pacs_find("main", query_of({}, 3))
    assert [len(answer.studies), answer.truncated] == [3, True]
    answer = archive.pacs_find("main", query_of({}, 5))
    assert [len(answer.studies), answer.truncated] == [5, False]


def test_what_a_use_of_a_pacs_showed_is_kept_with_it(archive: Archive, pacs: StubPacs) -> None:
    assert archive.pacs_echo("main").to_json() == {"seconds": 0.25, "about": "stub"}
    assert archive.pacs_connection("main").state == "ok"
    pacs.failure = PacsError("pacs-timeout", "The PACS main is late.", may_pass=True)
    for use in (archive.pacs_echo, lambda name: archive.pacs_find(name, query_of({}))):
        with pytest.raises(PacsError):
            use("main")
        failing = archive.pacs_connection("main")
        assert failing.state == "failing"
        assert failing.failure is not None
        assert failing.failure.to_json() == {"code": "pacs-timeout", "message": "The PACS main is late."}
        pacs.failure, former = None, pacs.failure
        archive.pacs_echo("main")
        assert archive.pacs_connection("main").state == "ok"
        pacs.failure = former


def test_what_this_side_does_not_do_says_nothing_of_the_pacs(archive: Archive, pacs: StubPacs) -> None:
    archive.pacs_echo("main")
    pacs.failure = PacsError("outside-hours", "It works from 20:00 to 06:00.", may_pass=True)
    with pytest.raises(PacsError):
        archive.pacs_echo("main")
    assert archive.pacs_connection("main").state == "ok"


def test_a_question_is_not_asked_for_ever(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_connection: Any, spend: Any) -> StubPacs:
        spend(1)
        return StubPacs([PERSON])

    monkeypatch.setattr(opening, "open_client", slow)
    assert found(archive).series == 2
    monkeypatch.setattr(finding, "LONGEST_SECONDS", -1.0)
    with pytest.raises(PacsError) as late:
        found(archive)
    assert late.value.code == "pacs-timeout"


def test_a_home_without_a_key_yet_asks_without_making_one(pacs: StubPacs, tmp_path: Path) -> None:
    with Archive(tmp_path / "home") as archive:
        archive.add_pacs("main", url=URL)
        one = found(archive)
        assert (one.study_instance_uid, one.patient_key, one.patient_name) == ("1.2.840.7", None, None)
        assert archive.index.key_fingerprint is None
    assert not (tmp_path / "home" / "secret.key").exists()


def test_a_question_is_checked_before_it_is_sent() -> None:
    given = dict.fromkeys(FIELDS, "x") | {"from_date": "2026-03-01", "to_date": "20260302"}
    asked = query_of({**given, "modality": " CT "}, 7)
    assert (asked.from_date, asked.to_date, asked.modality, asked.limit) == ("20260301", "20260302", "CT", 7)
    assert query_of({"patient_id": "  ", "modality": None}) == PacsQuery(limit=100)
    for wrong in (
        {"study": "1.2"},
        {"patient_id": "a\\b"},
        {"patient_name": "a\nb"},
        {"patient_name": "x" * 325},
        {"modality": "x" * 17},
        {"from_date": "2026-02-30"},
        {"to_date": "today"},
    ):
        with pytest.raises(ServiceError) as refused:
            query_of(wrong)
        assert refused.value.code == "bad-pacs-question"
        [value] = wrong.values()
        assert value not in str(refused.value)
    for limit in (0, 1001):
        with pytest.raises(ServiceError):
            query_of({}, limit)


def test_expressions_name_fields() -> None:
    assert where_of(["modality=CT", "study_description=a=b"]) == {
        "modality": "CT",
        "study_description": "a=b",
    }
    for wrong in (["modality"], ["stn=CT"], ["modality=CT", "modality=MR"]):
        with pytest.raises(ServiceError):
            where_of(wrong)
