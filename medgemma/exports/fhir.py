"""A draft as a FHIR R4B DiagnosticReport (hl7.org/fhir/R4B), which also reads as R4."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from typing import Any

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.passages import passages, shown
from medsiglip.medgemma.exports.standing import Standing, moment, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft, Finding

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_INTERPRETATION = {
    True: ("POS", "Positive"),
    False: ("NEG", "Negative"),
    None: ("IND", "Indeterminate"),
}


def diagnostic_report(draft: Draft, facts: StudyFacts, pdf: bytes) -> str:
    """The draft as JSON of one DiagnosticReport that contains the scores as Observations, the devices that
    made scores and text, and a Provenance; `pdf` are its pages.

    It is `preliminary` until a person has accepted it, then `final`. The security label AIAST, Artificial
    Intelligence asserted (v3 ObservationValue), stays, for the scores stay; CLINAST, clinician asserted,
    joins it. A contained resource must not have labels of its own (R4B dom-5).
    """
    stands = standing(draft)
    findings = draft.evidence.findings
    words = _conclusion(draft, stands)
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": _labels(stands)},
        "language": "en",
        "text": {"status": "generated", "div": _narrative(draft, words)},
        "contained": [
            *_devices(draft),
            *(_observation(draft, facts, stands, n, f) for n, f in enumerate(findings, 1)),
            _provenance(draft, stands),
        ],
        "identifier": [{"value": _string(draft.id)}],
        "status": "final" if stands.accepted else "preliminary",
        "category": [_concept(f"{_TERMINOLOGY}/v2-0074", "RAD", "Radiology")],
        "code": _concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "subject": _patient(facts),
        "issued": stands.at.isoformat(timespec="seconds"),
        "imagingStudy": [_study(facts)],
        "conclusion": words,
        "presentedForm": [
            {
                "contentType": "application/pdf",
                "language": "en",
                "data": base64.b64encode(pdf).decode(),
                "title": ": ".join(filter(None, (wording.title(stands), stands.mark))),
            }
        ],
    }
    if facts.study_date:
        report["effectiveDateTime"] = facts.study_date
    if findings:
        report["result"] = [{"reference": f"#finding-{n}"} for n in range(1, len(findings) + 1)]
    if stands.by:
        report["resultsInterpreter"] = [_person(stands)]
    return json.dumps(report, ensure_ascii=False, indent=1)


def _conclusion(draft: Draft, stands: Standing) -> str:
    text = ""
    for passage in passages(draft):
        words = passage.text.rstrip()
        mark = f" {passage.mark}" if passage.mark else ""
        text += words + mark + passage.text[len(words) :]
    return "\n".join(filter(None, (stands.mark, shown(stands.sentence), text.strip())))


def _narrative(draft: Draft, words: str) -> str:
    """XHTML (R4B 2.4); it needs the scores too, for it may be all that a reader sees."""
    lines = escape(words).replace("\n", "<br/>")
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in wording.finding_rows(draft)
    )
    table = f"<table>{rows}</table>" if rows else ""
    return f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{lines}</p>{table}</div>'


def _labels(stands: Standing) -> list[dict[str, str]]:
    system = f"{_TERMINOLOGY}/v3-ObservationValue"
    labels = [{"system": system, "code": "AIAST", "display": "Artificial Intelligence asserted"}]
    if stands.accepted:
        labels.append({"system": system, "code": "CLINAST", "display": "clinician asserted"})
    return labels


def _observation(
    draft: Draft, facts: StudyFacts, stands: Standing, number: int, finding: Finding
) -> dict[str, Any]:
    code, display = _INTERPRETATION[finding.present]
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"finding-{number}",
        "status": "final" if stands.accepted else "preliminary",
        "category": [_concept(f"{_TERMINOLOGY}/observation-category", "imaging", "Imaging")],
        "code": {"text": _string(finding.label)},
        "subject": _patient(facts),
        "valueQuantity": {
            "value": round(finding.probability, 4),
            "unit": "probability",
            "system": "http://unitsofmeasure.org",
            "code": "1",
        },
        "interpretation": [_concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", code, display)],
        "method": {"text": _string(finding.source)},
        "device": {"reference": "#encoder"},
    }
    image = next((i for i in draft.evidence.images if i.image_id == finding.image_id), None)
    if image:
        which = f"{wording.image_name(draft, image.image_id)}, frame {image.frame + 1}"
        place = f"instance {image.sop_instance_uid} of series {image.series_instance_uid}"
        observation["derivedFrom"] = [{**_study(facts), "display": f"{which}: {place}"}]
    return observation


def _devices(draft: Draft) -> list[dict[str, Any]]:
    names = [
        ("encoder", draft.evidence.space, "Scores images"),
        ("generator", draft.generator, "Drafts text"),
    ]
    return [
        {
            "resourceType": "Device",
            "id": key,
            "deviceName": [{"name": _string(name), "type": "model-name"}],
            "type": {"text": what},
        }
        for key, name, what in names
    ]


def _provenance(draft: Draft, stands: Standing) -> dict[str, Any]:
    """Who made the report: the generator as author and, once accepted, the person as verifier."""
    roles = f"{_TERMINOLOGY}/provenance-participant-type"
    agents: list[dict[str, Any]] = [
        {"type": _concept(roles, "author", "Author"), "who": {"reference": "#generator"}},
        {"type": _concept(roles, "assembler", "Assembler"), "who": {"reference": "#encoder"}},
    ]
    if stands.by:
        agents.append({"type": _concept(roles, "verifier", "Verifier"), "who": _person(stands)})
    provenance = {
        "resourceType": "Provenance",
        "id": "origin",
        "target": [{"reference": "#"}],
        "recorded": stands.at.isoformat(timespec="seconds"),
        "agent": agents,
    }
    if draft.created_at:
        provenance["occurredDateTime"] = moment(draft.created_at, draft).isoformat(timespec="seconds")
    return provenance


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _patient(facts: StudyFacts) -> dict[str, Any]:
    return {"type": "Patient", "identifier": {"value": _string(facts.patient_key)}}


def _person(stands: Standing) -> Mapping[str, Any]:
    return {"type": "Practitioner", "display": _string(stands.by or "")}


def _study(facts: StudyFacts) -> dict[str, Any]:
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:{facts.study_instance_uid}"}
    return {"type": "ImagingStudy", "identifier": uid}


def _string(text: str) -> str:
    """A FHIR string is not empty (R4B 2.24.0.1)."""
    return shown(text).strip() or "unnamed"
