"""A home holds only the patient data that its mode allows, in any file or encoding."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
)

from tests.api.conftest import Ran, run
from tests.api.privacy.traces import found_in_home

# One word for each attribute, so that a leak says where it came from. None is a word of the program.
TEXTS = {
    "PatientName": "Zaphodius^Beeblebroxa^Qwillem=ザフォード^ビーブル",
    "PatientID": "PIDX77771",
    "OtherPatientIDs": "OTHX77772",
    "OtherPatientNames": "Altervogon^Prosta",
    "PatientBirthName": "Geburtsnam^Quorra",
    "PatientMotherBirthName": "Mutternam^Quenta",
    "PatientBirthDate": "19420103",
    "PatientBirthTime": "112233.445566",
    "PatientAddress": "Betelgeusegasse 5",
    "PatientTelephoneNumbers": "+43 512 9988776",
    "PatientComments": "Commentvogsphere",
    "MilitaryRank": "Admiralissimo",
    "EthnicGroup": "Ethnogroupix",
    "Occupation": "Hitchhikerist",
    "PatientReligiousPreference": "Religiosopreffo",
    "CountryOfResidence": "Countrycoruscan",
    "RegionOfResidence": "Regiontatooi",
    "MedicalRecordLocator": "MRLX77773",
    "AccessionNumber": "ACCX77774",
    "StudyID": "STIX77775",
    "InstitutionName": "Hospitalium Qualactin",
    "InstitutionAddress": "Instaddressplatz 9",
    "InstitutionalDepartmentName": "Departmentzark",
    "StationName": "STATNZARK",
    "ReferringPhysicianName": "Trilliana^Mcmillanix",
    "RequestingPhysician": "Requestphys^Uxibal",
    "PhysiciansOfRecord": "Recordphys^Ovibal",
    "PerformingPhysicianName": "Performphys^Ibexal",
    "OperatorsName": "Operatorix^Abaxal",
    "NameOfPhysiciansReadingStudy": "Readingphys^Ebixal",
    "ResponsiblePerson": "Responsipers^Obuxal",
    "AdditionalPatientHistory": "Historyfrogstar",
    "AdmittingDiagnosesDescription": "Admittingmagrathe",
    "RequestedProcedureDescription": "Requestedprocgarg",
    "PerformedProcedureStepDescription": "Performedprocgarg",
    "DerivationDescription": "Derivationkrikkit",
    "ImageComments": "Imagecommentslarti",
    "ProtocolName": "Protocolnamefenchu",
    "DeviceSerialNumber": "DEVX77776",
    "ContrastBolusAgent": "Contrastagentuse",
    "WindowCenterWidthExplanation": "Windowexplainful",
    "SoftwareVersions": "Softwarevervoga",
    "StudyComments": "Studycommentdeep",
}
# Free texts and codes that hold words of the above.
REPEATED = {
    "StudyDescription": "Thorax of Zaphodius",
    "SeriesDescription": "für Beeblebroxa, PIDX77771",
    "BodyPartExamined": "QWILLEM",
    "ViewPosition": "TRILLIANA",
    "Laterality": "Mcmillanix^L",
    "Manufacturer": "Hospitalium Qualactin",
}
ELSEWHERE = ("Preamblezarquon", "Metatitlezarq", "Privatezarquon", "Nestedzarquon", "Deepzarquon")
# Paths name people too: a pseudonymous home keeps them, for they serve to read the files again.
FOLDER = "Ordnerprefectus"
WORDS = [
    *(
        word
        for text in TEXTS.values()
        for word in text.replace("=", "^").replace(" ", "^").split("^")
        if len(word) > 3
    ),
    *ELSEWHERE,
    "4351299887",
    "03.01.1942",
    "1942-01-03",
]
ROOT = "1.2.826.0.1.3680043.8.498"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A radiograph, two slices, an ultrasound image, a file without pixels, and a name in a UID."""
    folder = tmp_path_factory.mktemp("source") / FOLDER
    folder.mkdir()
    pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    with disable_value_validation():
        write(folder / "cr.dcm", pixels, "CR", ComputedRadiographyImageStorage, 1)
        for z in range(2):
            write(folder / f"ct{z}.dcm", pixels + z, "CT", CTImageStorage, 2, instance=z)
        write(folder / "us.dcm", pixels * 0, "US", UltrasoundImageStorage, 3)
        write(folder / "cut.dcm", pixels, "CR", ComputedRadiographyImageStorage, 4, PixelData=b"\0\0")
        odd = "PIDX77771.1"
        write(folder / "odd.dcm", pixels + 7, "CR", ComputedRadiographyImageStorage, 5, SOPInstanceUID=odd)
    return folder


def write(
    path: Path, pixels: Any, modality: str, sop_class: str, series: int, instance: int = 0, **more: Any
) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.SourceApplicationEntityTitle = ELSEWHERE[1]
    dataset.preamble = ELSEWHERE[0].encode().ljust(128, b"\0")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword, value in {**TEXTS, **REPEATED}.items():
        setattr(dataset, keyword, value)
    dataset.Modality, dataset.SOPClassUID = modality, UID(sop_class)
    dataset.StudyInstanceUID = f"{ROOT}.{series}"
    dataset.SeriesInstanceUID = f"{ROOT}.1.{series}"
    dataset.SOPInstanceUID = f"{ROOT}.2.{series}.{instance}"
    dataset.StudyDate, dataset.PatientSex, dataset.PatientAge = "20200102", "F", "095Y"
    dataset.InstanceNumber, dataset.ImagePositionPatient = instance, [0, 0, instance]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = pixels.tobytes()
    dataset.private_block(0x0009, "Creatorzarquon", create=True).add_new(1, "LO", ELSEWHERE[2])
    inner, outer = Dataset(), Dataset()
    inner.PatientName, outer.PatientName = ELSEWHERE[4], ELSEWHERE[3]
    outer.OtherPatientIDsSequence = [inner]
    dataset.RequestAttributesSequence = [outer]
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def ingested(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Ran]]:
    """The home of a mode after an ingest, and the output of the command."""
    homes: dict[str, tuple[Path, Ran]] = {}

    def home(phi: str) -> tuple[Path, Ran]:
        if phi not in homes:
            folder = tmp_path_factory.mktemp(phi) / "home"
            words = [] if phi == "pseudonymous" else ["--phi", phi]
            homes[phi] = folder, run("--home", folder, "--json", "ingest", source, *words)
        return homes[phi]

    return home


def test_the_search_finds_planted_words(ingested: Callable[[str], tuple[Path, Ran]], tmp_path: Path) -> None:
    """The search itself: a home that keeps identities is found to keep them."""
    home, _ = ingested("keep")
    assert {"PIDX77771", "Zaphodius", "ACCX77774", "19420103", "ビーブル"} <= {
        word for _, word in found_in_home(WORDS, home)
    }


@pytest.mark.parametrize("phi", ["pseudonymous", "strict"])
def test_no_file_of_the_home_and_no_output_has_patient_data(
    ingested: Callable[[str], tuple[Path, Ran]], phi: str
) -> None:
    home, ran = ingested(phi)
    report = ran.json
    assert (report["files"], report["files_embedded"], len(report["quarantined"])) == (6, 5, 1)
    searched = run("--home", home, "--json", "search", "--text", "chest", "-k", "9")
    listed = run("--home", home, "--json", "study", "list")
    shown = [
        run("--home", home, "--json", "study", "show", one["study_instance_uid"])
        for one in listed.json["studies"]
    ]
    exported = run("--home", home, "--json", "index", "export", "--out", home / "export")
    spoken = (ran, searched, listed, *shown, exported)
    assert [one.code for one in spoken] == [0] * 8
    said = [text for one in spoken for text in (one.out, one.err)]
    assert found_in_home(WORDS, home, *said) == []


def test_a_strict_home_holds_no_path_no_uid_no_date_and_no_time_of_a_file(
    ingested: Callable[[str], tuple[Path, Ran]], source: Path
) -> None:
    home, _ = ingested("strict")
    changed = [str(path.stat().st_mtime_ns) for path in source.iterdir()]
    traces = [FOLDER, str(source), "cr.dcm", ROOT, "2020-01-02", "20200102", *changed]
    assert found_in_home(traces, home) == []
    kept = {word for _, word in found_in_home(traces, ingested("pseudonymous")[0])}
    assert kept == {FOLDER, str(source), "cr.dcm", ROOT, "2020-01-02", *changed}


def test_a_strict_home_answers_without_paths_and_with_shifted_dates(
    ingested: Callable[[str], tuple[Path, Ran]], source: Path
) -> None:
    home, _ = ingested("strict")
    hits = run("--home", home, "--json", "search", "--text", "chest", "-k", "9").json["hits"]
    assert len(hits) == 5
    assert {hit["path"] for hit in hits} == {None}
    again = run(
        "--home", home, "--json", "search", "--image", source / "cr.dcm", "--include-same-patient"
    ).json
    assert again["query"]["image_id"] == again["hits"][0]["image_id"]
    assert again["hits"][0]["score"] == pytest.approx(1.0, abs=1e-3)
    studies = run("--home", home, "--json", "study", "list").json["studies"]
    plain = run("--home", ingested("pseudonymous")[0], "--json", "study", "list").json["studies"]
    assert len(studies) == len(plain) == 4
    shown = run("--home", home, "--json", "study", "show", studies[0]["study_instance_uid"]).json
    assert shown["patient_age"] == 90.0
    assert "identity" not in shown


def test_a_second_ingest_into_a_strict_home_finds_nothing_new(
    ingested: Callable[[str], tuple[Path, Ran]], source: Path
) -> None:
    home, _ = ingested("strict")
    report = run("--home", home, "--json", "ingest", source).json
    assert (report["files_embedded"], report["files_unchanged"], report["embedded"]) == (0, 5, 0)
    assert [entry["path"] for entry in report["quarantined"]] == [str(source / "cut.dcm")]
    assert run("--home", home, "--json", "index", "verify").json["ok"]


def test_labels_by_path_and_by_uid_of_the_files_reach_a_strict_home(
    ingested: Callable[[str], tuple[Path, Ran]], source: Path, tmp_path: Path
) -> None:
    home, _ = ingested("strict")
    by_path, by_uid = tmp_path / "paths.csv", tmp_path / "uids.csv"
    by_path.write_text(f"path,label:one\n{source / 'cr.dcm'},1\n{source / 'none.dcm'},1\n")
    by_uid.write_text(f"series_instance_uid,label:two\n{ROOT}.1.2,1\n{ROOT}.1.9,1\n")
    assert run("--home", home, "--json", "label", "import", by_path).json["unmatched"] == [
        str(source / "none.dcm")
    ]
    assert run("--home", home, "--json", "label", "import", by_uid).json["unmatched"] == [f"{ROOT}.1.9"]
    assert modalities(home, "label:one=1") == {"CR"}
    assert modalities(home, "label:two=1") == {"CT"}


def test_a_study_of_a_strict_home_is_known_by_the_uid_of_its_files_too(
    ingested: Callable[[str], tuple[Path, Ran]], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(ingested("strict")[0], home)
    shown = run("--home", home, "--json", "study", "show", f"{ROOT}.1").json
    stored = shown["study_instance_uid"]
    assert (stored != f"{ROOT}.1", [one["modality"] for one in shown["series"]]) == (True, ["CR"])
    assert run("--home", home, "--json", "study", "show", stored).json == shown
    search = ("--home", home, "--json", "search", "--include-same-patient", "-k", "9", "--study")
    answers = [run(*search, uid).json for uid in (f"{ROOT}.1", stored)]
    assert answers[0] == answers[1]
    assert len(answers[0]["hits"]) == 4
    assert run("--home", home, "--json", "forget", "--study", f"{ROOT}.1").json["studies"] == 1
    assert run("--home", home, "--json", "forget", "--study", f"{ROOT}.1").error["code"] == "unknown-study"
    assert run("--home", home, "--json", "study", "show", stored).error["code"] == "unknown-study"


def test_a_home_that_keeps_identities_shows_them_with_the_study(
    ingested: Callable[[str], tuple[Path, Ran]],
) -> None:
    home, _ = ingested("keep")
    shown = run("--home", home, "--json", "study", "show", f"{ROOT}.1").json
    assert shown["identity"] == {
        "patient_name": TEXTS["PatientName"],
        "patient_id": TEXTS["PatientID"],
        "patient_birth_date": TEXTS["PatientBirthDate"],
        "accession_number": TEXTS["AccessionNumber"],
    }
    assert shown["study_description"] == REPEATED["StudyDescription"]
    assert (
        found_in_home(["Betelgeusegasse", "9988776", "Trilliana^", "Commentvogsphere", *ELSEWHERE], home)
        == []
    )
    assert run("--home", home, "--json", "forget", "--patient", shown["patient_key"], "--yes").code == 0
    assert found_in_home([*WORDS, FOLDER], home) == []


def modalities(home: Path, expression: str) -> set[str]:
    """Of the studies that an expression chooses; each has images of one modality."""
    studies = run("--home", home, "--json", "study", "list", "--where", expression).json["studies"]
    return {modality for study in studies for modality in study["modalities"]}


@pytest.mark.parametrize(("held", "given"), [("pseudonymous", "strict"), ("strict", "pseudonymous")])
def test_a_home_keeps_its_choice_of_identity(
    ingested: Callable[[str], tuple[Path, Ran]], source: Path, held: str, given: str
) -> None:
    home, _ = ingested(held)
    refused = run("--home", home, "--json", "ingest", source, "--phi", given)
    assert (refused.code, refused.error["code"]) == (1, "phi-mismatch")
    assert f"--phi {held}" in refused.error["message"]
    assert run("--home", home, "--json", "ingest", source, "--phi", held).json["files_unchanged"] == 5


@pytest.mark.parametrize(
    ("expression", "chosen"),
    [
        ("quality.blank=1", {"US"}),
        ("quality.blank=0", {"CR", "CT"}),
        ("quality.burned_in=likely", {"US"}),
        ("quality.view=unknown", {"CR", "CT", "US"}),
        ("quality.burned_in!=no", {"US"}),
        ("quality.contrast>0", {"CR", "CT"}),
        ("quality.lossy=1", set()),
        ("quality.bits_stored=16", {"CR", "CT", "US"}),
        ("quality.aspect=1", {"CR", "CT", "US"}),
    ],
)
def test_filters_on_quality(
    ingested: Callable[[str], tuple[Path, Ran]], expression: str, chosen: set[str]
) -> None:
    home, _ = ingested("pseudonymous")
    assert modalities(home, expression) == chosen


def test_a_search_filters_on_quality(ingested: Callable[[str], tuple[Path, Ran]]) -> None:
    home, _ = ingested("pseudonymous")
    hits = run("--home", home, "--json", "search", "--text", "x", "--where", "quality.blank=1").json["hits"]
    assert [hit["modality"] for hit in hits] == ["US"]


def test_an_unknown_quality_is_an_error_that_lists_the_known_ones(
    ingested: Callable[[str], tuple[Path, Ran]],
) -> None:
    from medsiglip.ingest.header.quality import QUALITY

    home, _ = ingested("pseudonymous")
    refused = run("--home", home, "--json", "study", "list", "--where", "quality.sharpnes>1")
    assert (refused.code, refused.error["code"]) == (1, "bad-filter")
    listed = refused.error["message"].split("There are: ")[1].rstrip(".").split(", ")
    assert set(listed) == QUALITY.keys() - {"split"}
