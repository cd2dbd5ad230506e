"""Pages as poppler reads them, FHIR as its library does, and what is loaded before either is made."""

from __future__ import annotations

import base64
import dataclasses
import re
import subprocess
import sys
from typing import Any

import pytest
from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from medsiglip.medgemma.exports.export import export
from medsiglip.medgemma.exports.standing import MARK
from medsiglip.medgemma.records import Finding
from tests.medgemma.exports.exported_drafts import (
    ACCEPTED,
    FACTS,
    PLAIN,
    STANDINGS,
    TEXTS,
    Pictures,
    draft,
    fhir_json,
    needs_font,
    pdf_text,
)


def pages(pdf: Any) -> Any:
    count = len(re.findall(rb"/Type /Page\b", pdf))
    return [pdf_text(pdf, "-f", str(n), "-l", str(n)) for n in range(1, count + 1)]


def test_the_mark_is_above_and_below_every_page_until_accepted() -> None:
    made = export(draft(TEXTS["long"], findings=200), "pdf", FACTS, Pictures()).content
    found = pages(made)
    assert len(found) > 5
    assert all(page.count(MARK) == 2 for page in found[1:])
    accepted = export(draft(TEXTS["long"], "accepted", (ACCEPTED,)), "pdf", FACTS).content
    assert all("accepted by Dr. Anna Moeller" in page and MARK not in page for page in pages(accepted))


def test_every_page_of_a_superseded_report_says_so() -> None:
    made = export(STANDINGS["superseded"](TEXTS["long"]), "pdf", FACTS, Pictures()).content
    found = pages(made)
    assert len(found) > 5
    assert all("SUPERSEDED BY REPORT draft-18" in page for page in found)
    assert "SUPERSEDED" not in pdf_text(export(STANDINGS["addendum"](PLAIN), "pdf", FACTS).content, "-raw")


def test_pictures_are_those_of_the_most_probable_findings() -> None:
    many = draft(findings=200, images=40)
    findings = tuple(
        dataclasses.replace(f, image_id=1 + n % 40) for n, f in enumerate(many.evidence.findings)
    )
    many = dataclasses.replace(many, evidence=dataclasses.replace(many.evidence, findings=findings))
    asked = []

    class Asked(Pictures):
        def pictures(self, image_ids: Any) -> Any:
            asked.extend(image_ids)
            return super().pictures(image_ids)

    text = pdf_text(export(many, "pdf", FACTS, Asked()).content)
    top = sorted(
        {f.image_id: f.probability for f in sorted(findings, key=lambda f: f.probability)}.items(),
        key=lambda item: -item[1],
    )
    assert set(asked) == {image_id for image_id, _ in top[:8]}
    assert "32 more images drove findings." in text


def test_rows_after_one_of_another_script_keep_their_font() -> None:
    needs_font("肺結節")
    made = draft()
    first = dataclasses.replace(made.evidence.findings[0], label="肺結節")
    evidence = dataclasses.replace(made.evidence, findings=(first, *made.evidence.findings[1:]))
    text = pdf_text(export(dataclasses.replace(made, evidence=evidence), "pdf", FACTS).content)
    assert '"肺結節" high' in text
    assert '"finding-001" low 0.01 uncalibrated prompts:chest-xray image 2' in text


def test_a_label_longer_than_a_page_is_cut_on_the_page_alone() -> None:
    made = draft()
    label = " ".join(f"word{n}" for n in range(3000))
    first = dataclasses.replace(made.evidence.findings[0], label=label)
    made = dataclasses.replace(made, evidence=dataclasses.replace(made.evidence, findings=(first,)))
    text = pdf_text(export(made, "pdf", FACTS, Pictures()).content)
    assert "word5 " in text.replace("\n", " ")
    assert "word200" not in text
    assert fhir_json(export(made, "fhir", FACTS))["contained"][2]["code"]["text"] == label


def security_labels(report: DiagnosticReport) -> list[str | None]:
    assert report.meta is not None
    return [label.code for label in report.meta.security or ()]


def test_fhir_is_preliminary_and_ai_asserted_until_a_person_is_named() -> None:
    made = export(draft(), "fhir", FACTS, Pictures())
    report = DiagnosticReport.model_validate_json(made.content)
    assert report.status == "preliminary"
    assert security_labels(report) == ["AIAST"]
    assert report.resultsInterpreter is None
    accepted = export(draft(status="accepted", history=(ACCEPTED,)), "fhir", FACTS)
    report = DiagnosticReport.model_validate_json(accepted.content)
    assert report.status == "final"
    assert security_labels(report) == ["AIAST", "CLINAST"]
    assert report.resultsInterpreter is not None
    assert report.resultsInterpreter[0].display == "Dr. Anna Moeller"
    assert report.issued is not None
    assert report.issued.isoformat() == "2026-11-25T05:30:00+00:00"


def test_fhir_codes_findings_and_interprets_calibrated_scores_alone() -> None:
    made = draft()
    findings = (
        Finding("pleural-effusion", 0.93, True, "prompts:chest-xray", 1, calibrated=True),
        Finding("pneumothorax", 0.02, False, "prompts:chest-xray", 2, calibrated=True),
        Finding("consolidation", 0.9, True, "prompts:chest-xray", 2),
        Finding("no such label", 0.5, None, "probe:mine", 2, calibrated=True),
    )
    evidence = dataclasses.replace(made.evidence, findings=findings, region="chest")
    content = export(dataclasses.replace(made, evidence=evidence), "fhir", FACTS)
    assert DiagnosticReport.model_validate_json(content.content).result is not None
    answer = fhir_json(content)
    observations = [one for one in answer["contained"] if one["resourceType"] == "Observation"]
    codes = [
        [one["code"] for one in o["code"].get("coding", []) if one["system"] == "http://snomed.info/sct"]
        for o in observations
    ]
    assert codes[:2] == [["60046008"], ["36118008"]]
    assert codes[3] == []
    interpreted = [[one["code"] for one in o["interpretation"][0].get("coding", [])] for o in observations]
    assert interpreted == [["POS"], ["NEG"], [], ["IND"]]
    assert observations[2]["interpretation"][0]["text"] == "high model score, uncalibrated"
    assert {o["bodySite"]["coding"][0]["code"] for o in observations} == {"816094009"}


@pytest.mark.parametrize(
    ("standing", "status"),
    [
        ("draft", "preliminary"),
        ("incomplete", "preliminary"),
        ("edited", "preliminary"),
        ("accepted", "final"),
        ("acknowledged", "final"),
        ("addendum", "amended"),
        ("superseded", "final"),
    ],
)
def test_fhir_has_the_status_of_each_standing(standing: str, status: str) -> None:
    content = export(STANDINGS[standing](PLAIN), "fhir", FACTS)
    report = DiagnosticReport.model_validate_json(content.content)
    assert report.status == status
    replaced = [
        one["valueReference"]["identifier"]["value"] for one in fhir_json(content).get("extension", [])
    ]
    assert replaced == (["draft-16"] if standing == "addendum" else [])


def test_fhir_contains_the_scores_and_the_pages() -> None:
    made = draft(findings=200)
    answer = fhir_json(export(made, "fhir", FACTS, Pictures()))
    contained = {f"#{resource['id']}": resource for resource in answer["contained"]}
    observations = [contained[result["reference"]] for result in answer["result"]]
    values = [(o["code"]["text"], o["valueQuantity"]["value"]) for o in observations]
    assert values == [(f.label, f.probability) for f in made.evidence.findings]
    assert not any("meta" in resource for resource in contained.values())
    pdf = base64.b64decode(answer["presentedForm"][0]["data"])
    assert pdf == export(made, "pdf", FACTS, Pictures()).content
    assert answer["subject"] == {"type": "Patient", "identifier": {"value": FACTS.patient_key}}


def test_no_heavy_library_is_loaded_before_an_export_needs_it() -> None:
    code = (
        "import sys, medsiglip.medgemma.exports.export\n"
        "heavy = ('highdicom', 'pydicom', 'fpdf', 'matplotlib', 'PIL', 'fhir')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
