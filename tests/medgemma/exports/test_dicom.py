"""The SR and the encapsulated PDF, judged by dcmtk, highdicom and highdicom's tables of PS3.3."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes, get_iod_module_map, get_module_attribute_map
from highdicom.sr import ComprehensiveSR

from medsiglip.medgemma.exports.body_sites import sites_of
from medsiglip.medgemma.exports.dicom_document import age_string, long_string, person_name
from medsiglip.medgemma.exports.export import export
from medsiglip.medgemma.records import EvidenceSeries, Finding
from medsiglip.regions.vocabulary import region_names
from tests.dciodvfy import dciodvfy
from tests.medgemma.exports.exported_drafts import (
    ACCEPTED,
    FACTS,
    PLAIN,
    STANDINGS,
    TEXTS,
    Pictures,
    content_items,
    draft,
    embedded_pdf,
    needs_font,
)

UTF8_UNKNOWN = "W: The VR checker does not support this Specific Character Set: ISO_IR 192\n"


def read(made: Any, format: Any = "dicom-sr", facts: Any = FACTS) -> Any:
    return pydicom.dcmread(io.BytesIO(export(made, format, facts, Pictures()).content))


@pytest.mark.long(every=3)  # three of eight cases, in which each value comes
@pytest.mark.parametrize(
    ("format", "iod"), [("dicom-sr", "comprehensive-sr"), ("dicom-pdf", "encapsulated-pdf")]
)
@pytest.mark.parametrize("history", [(), (ACCEPTED,)])
@pytest.mark.parametrize("images", [0, 2])
def test_mandatory_modules_have_their_attributes(format: Any, iod: Any, history: Any, images: Any) -> None:
    dataset = read(draft(images=images, history=history, status="accepted" if history else "draft"), format)
    for module in get_iod_module_map()[iod]:
        # The table of the content module holds all value types at once; that one is dsrdump's to judge.
        if module["usage"] != "M" or module["key"] == "sr-document-content":
            continue
        check_required_attributes(dataset, module["key"])
        for attribute in get_module_attribute_map()[module["key"]]:
            if attribute["type"] == "1" and not attribute["path"]:
                assert dataset[attribute["keyword"]].value not in (None, "", b""), attribute


@pytest.mark.long(every=3)
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("images", [0, 2])
def test_dsrdump_reads_every_sr_without_a_complaint(dsrdump: Any, kind: Any, images: Any) -> None:
    made = draft(TEXTS[kind], images=images, findings=200 if kind == "plain" else 3)
    out, err = dsrdump(export(made, "dicom-sr", FACTS).content)
    # dcmtk's checker knows no UTF-8, and says so of any file that uses it.
    assert err == (UTF8_UNKNOWN if kind == "unicode" else "")
    assert re.search(r"TID 2000\s*\(DCMR\)", out)
    assert "UNVERIFIED" in out
    assert "PARTIAL" in out
    assert out.count("NUM:(model-score,99MEDSIGLIP,") == len(made.evidence.findings)
    assert "122157" not in out  # a probability
    assert out.count("NUM:(111012,DCM,") == sum(f.present is not None for f in made.evidence.findings)
    assert out.count("IMAGE:(121080,DCM,") == (len(made.evidence.findings) if images else 0)


def test_an_accepted_sr_is_verified_by_the_person(dsrdump: Any) -> None:
    dataset = read(draft(status="accepted", history=(ACCEPTED,)))
    assert (dataset.CompletionFlag, dataset.VerificationFlag) == ("COMPLETE", "VERIFIED")
    observer = dataset.VerifyingObserverSequence[0]
    assert observer.VerifyingObserverName.family_name == "Dr. Anna Moeller"
    assert observer.VerifyingOrganization == "Hospital"
    assert observer.VerificationDateTime == "20261125053000+0000"
    out, err = dsrdump(export(draft(status="accepted", history=(ACCEPTED,)), "dicom-sr", FACTS).content)
    assert err == ""
    assert "Person Observer Name" in out


def test_highdicom_finds_the_scores_and_their_images() -> None:
    made = draft()
    first, *others = made.evidence.findings
    findings = (dataclasses.replace(first, calibrated=True), *others)
    evidence = dataclasses.replace(made.evidence, findings=findings)
    report = ComprehensiveSR.from_dataset(read(dataclasses.replace(made, evidence=evidence)))
    assert numbers(report, "122157") == pytest.approx([first.probability * 100])
    assert numbers(report, "model-score") == pytest.approx([f.probability * 100 for f in others])
    used = {e[2] for e in report.get_evidence(current_procedure_only=True)}
    assert used == {i.sop_instance_uid for i in made.evidence.images}
    assert {e[0] for e in report.get_evidence()} == {FACTS.study_instance_uid}
    assert [i.TextValue for i in content_items(report) if i.ValueType == "TEXT"].count(PLAIN[0]) == 1


def numbers(report: Any, code: str) -> list[float]:
    items = [i for i in content_items(report) if i.ConceptNameCodeSequence[0].CodeValue == code]
    return [float(i.MeasuredValueSequence[0].NumericValue) for i in items if i.ValueType == "NUM"]


def coded(item: Any, code: str) -> list[str]:
    """Values of the CODE items right below an item whose name has that code."""
    return [
        f"{one.ConceptCodeSequence[0].CodingSchemeDesignator}:{one.ConceptCodeSequence[0].CodeValue}"
        for one in item.get("ContentSequence", [])
        if one.ValueType == "CODE" and one.ConceptNameCodeSequence[0].CodeValue == code
    ]


def test_an_absent_finding_has_the_certainty_of_its_absence() -> None:
    made = draft()
    findings = (
        Finding("pleural-effusion", 0.93, True, "prompts:chest-xray", 1, calibrated=True),
        Finding("pneumothorax", 0.02, False, "prompts:chest-xray", 2),
        Finding("no such label", 0.5, None, "probe:mine", 2),
    )
    evidence = dataclasses.replace(made.evidence, findings=findings)
    report = read(dataclasses.replace(made, evidence=evidence))
    scores = [i for i in content_items(report) if coded(i, "121052") and coded(i, "calibration")]
    certainties = [numbers(one, "111012") for one in scores]
    assert certainties == [[pytest.approx(93)], [pytest.approx(98)], []]
    assert [coded(one, "121052") for one in scores] == [["DCM:121053"], ["DCM:121054"], ["DCM:121059"]]
    assert [coded(one, "scored-finding") for one in scores] == [["SCT:60046008"], ["SCT:36118008"], []]
    assert [coded(one, "calibration")[0].endswith(":calibrated") for one in scores] == [True, False, False]


@pytest.mark.parametrize(
    ("region", "sites", "sides"),
    [
        ("hand", ["SCT:85562004"], ["SCT:7771000"]),
        ("chest", ["SCT:816094009"], []),
        ("hand, wrist", [], []),  # not known which of them
        ("tail", [], []),
        (None, [], []),
    ],
)
def test_the_site_of_a_score_is_coded_with_its_side(region: Any, sites: Any, sides: Any) -> None:
    made = draft(findings=1)
    series = (EvidenceSeries("2.25.77", 2, 2, laterality="L"),)
    made = dataclasses.replace(
        made, evidence=dataclasses.replace(made.evidence, region=region, series=series)
    )
    report = read(made)
    [score] = [i for i in content_items(report) if coded(i, "calibration")]
    assert coded(score, "363698007") == sites
    assert [side for one in score.ContentSequence for side in coded(one, "272741003")] == sides


def test_a_hedged_statement_is_coded_as_suspected() -> None:
    made = draft(("Suspicious for pneumothorax.", "There is no effusion.", "Mass or pneumonia."))
    first, second, third = made.checks
    checks = (
        dataclasses.replace(first, finding="pneumothorax", polarity=True, hedged=True, verdict="doubtful"),
        dataclasses.replace(second, finding="pleural effusion", polarity=False),
        dataclasses.replace(third, finding="pneumonia", polarity=None, verdict="agree"),
        dataclasses.replace(third, finding="words of nobody", polarity=True, verdict="agree"),
    )
    report = read(dataclasses.replace(made, checks=checks))
    named = [
        (i.ConceptCodeSequence[0].CodeValue, coded(i, "121052"))
        for i in content_items(report)
        if i.ConceptNameCodeSequence[0].CodeValue == "named-finding"
    ]
    expected = [("36118008", "SCT:415684004"), ("60046008", "DCM:121054"), ("233604007", "DCM:121059")]
    assert named == [(code, [stated]) for code, stated in expected]
    accepted = dataclasses.replace(made, checks=checks, status="accepted", history=(ACCEPTED,))
    assert b"named-finding" not in export(accepted, "dicom-sr", FACTS).content


def test_sections_of_the_text_are_sections_of_the_report() -> None:
    lines = (
        "Before any.",
        "TECHNIQUE:",
        "CT of the chest.",
        "Findings:",
        "A nodule.",
        "LIMITATIONS:",
        "Few.",
    )
    made = draft((*lines, "IMPRESSION:", "Nodule.", "EMPTY:"), between="\n")
    sections = [
        (
            f"{one.ConceptNameCodeSequence[0].CodingSchemeDesignator}:{one.ConceptNameCodeSequence[0].CodeValue}",
            [
                (i.ConceptNameCodeSequence[0].CodeMeaning, i.TextValue.partition(" [")[0])
                for i in one.ContentSequence
            ],
        )
        for one in content_items(read(made))
        if one.ValueType == "CONTAINER"
    ]
    texts = dict(sections)
    assert [name for name, _ in sections][2:7] == [
        *("LN:59776-5", "LN:55111-9", "LN:59776-5", "99MEDSIGLIP:limitations", "LN:19005-8")
    ]
    assert sections[2][1] == [("Finding", "Before any.")]
    assert texts["LN:55111-9"] == [("Procedure Description", "CT of the chest.")]
    assert texts["LN:59776-5"] == [("Finding", "A nodule.")]
    assert texts["99MEDSIGLIP:limitations"] == [("Comment", "Few.")]
    assert texts["LN:19005-8"] == [("Impression", "Nodule.")]


def test_an_addendum_refers_to_the_report_that_it_supersedes() -> None:
    former = draft(status="accepted", history=(ACCEPTED,))
    first = read(former)
    later = dataclasses.replace(former, id="draft-18", supersedes=former.id)
    [study] = read(later).PredecessorDocumentsSequence
    assert study.StudyInstanceUID == FACTS.study_instance_uid
    [series] = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    [document] = series.ReferencedSOPSequence
    assert document.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert document.ReferencedSOPClassUID == first.SOPClassUID
    assert "PredecessorDocumentsSequence" not in first
    superseded = read(dataclasses.replace(former, superseded_by="draft-18"))
    assert superseded.SOPInstanceUID != first.SOPInstanceUID
    assert "Superseded" in superseded.SeriesDescription


@pytest.mark.long(every=8)
@pytest.mark.parametrize("format", ["dicom-sr", "dicom-pdf"])
@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("kind", TEXTS)
def test_dciodvfy_finds_no_error_in_any_standing(
    format: Any, standing: str, kind: str, tmp_path: Path
) -> None:
    if format == "dicom-pdf":
        needs_font("".join(TEXTS[kind]))
    made = STANDINGS[standing](TEXTS[kind])
    (tmp_path / "export.dcm").write_bytes(export(made, format, FACTS, Pictures()).content)
    lines = dciodvfy(tmp_path / "export.dcm")
    assert [line for line in lines if line.startswith("Error")] == []
    assert lines[-1].startswith("Warning") or lines[-1] in ("ComprehensiveSR", "EncapsulatedPDF")


def test_references_name_frames_only_of_what_has_several_and_only_dicom() -> None:
    several = dataclasses.replace(FACTS.instances[0], number_of_frames=5)
    plain = dataclasses.replace(FACTS.instances[1], sop_class_uid=None)
    report = read(draft(), facts=dataclasses.replace(FACTS, instances=(several, plain)))
    references = [i.ReferencedSOPSequence[0] for i in content_items(report) if i.ValueType == "IMAGE"]
    assert {(r.ReferencedSOPInstanceUID, r.ReferencedFrameNumber) for r in references} == {("2.25.101", 1)}


@pytest.mark.parametrize("format", ["dicom-sr", "dicom-pdf"])
def test_patient_and_study_hold_what_was_handed_in_and_no_more(format: Any) -> None:
    dataset = read(draft(), format)
    patient = {e.keyword: str(e.value or "") for e in dataset.group_dataset(0x0010)}
    assert patient == {
        "PatientName": "",
        "PatientID": FACTS.patient_key,
        "PatientBirthDate": "",
        "PatientSex": "F",
        "PatientAge": "063Y",
    }
    assert (dataset.StudyInstanceUID, dataset.StudyDate) == (FACTS.study_instance_uid, "20240506")
    bare = dataclasses.replace(FACTS, patient_age=None, patient_sex=None, study_date=None)
    dataset = read(draft(), format, bare)
    assert not any(dataset[k].value for k in ("PatientSex", "PatientAge", "StudyDate", "AccessionNumber"))


def test_the_encapsulated_pages_are_the_pages() -> None:
    dataset = read(draft(), "dicom-pdf")
    assert embedded_pdf(dataset) == export(draft(), "pdf", FACTS, Pictures()).content
    assert len(dataset.EncapsulatedDocument) % 2 == 0
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (dataset.VerificationFlag, dataset.BurnedInAnnotation) == ("UNVERIFIED", "YES")
    assert "MACHINE-DRAFTED" in dataset.DocumentTitle
    accepted = read(draft(status="accepted", history=(ACCEPTED,)), "dicom-pdf")
    assert (accepted.VerificationFlag, accepted.DocumentTitle) == ("VERIFIED", "Report")
    assert accepted.SOPInstanceUID != dataset.SOPInstanceUID
    assert accepted.SeriesInstanceUID == dataset.SeriesInstanceUID


@pytest.mark.parametrize(
    ("years", "age"), [(63.9, "063Y"), (1.5, "018M"), (0.05, "018D"), (None, None), (-1, None), (120, "120Y")]
)
def test_ages_are_written_in_the_unit_of_their_size(years: Any, age: Any) -> None:
    assert age_string(years) == age


def test_values_fit_their_representation() -> None:
    assert long_string("a\\b\n" + "x" * 100) == "a b " + "x" * 60
    assert long_string("ß" * 100) == "ß" * 32
    assert person_name("Doe^Jane=x") == "Doe Jane x^"
    assert person_name("a" + "肺" * 40) == "a" + "肺" * 19 + "^"


def test_every_region_of_the_vocabulary_has_its_code() -> None:
    for name in {*region_names(), "whole-body"} - {"tissue"}:
        evidence = dataclasses.replace(draft().evidence, region=name)
        [site] = sites_of(evidence, evidence.images[0])
        expected = {"entire", "body"} if name == "whole-body" else set(name.split("-"))
        assert expected <= set(site.meaning.lower().split()), (name, site)
    assert sites_of(dataclasses.replace(draft().evidence, region="tissue"), None) == []
