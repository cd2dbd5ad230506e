"""A draft as a FHIR R4B DiagnosticReport (hl7.org/fhir/R4B), which also reads as R4."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.body_sites import Site, sites_of
from medsiglip.medgemma.exports.passages import passages, shown
from medsiglip.medgemma.exports.standing import Standing, moment, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.narrative.codes import codes_of
from medsiglip.medgemma.narrative.score_table import ScoreRow, score_rows
from medsiglip.medgemma.records import Draft, Finding

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_REPLACES = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-replaces"
_INTERPRETATION = {
    True: ("POS", "Positive"),
    False: ("NEG", "Negative"),
    None: ("IND", "Indeterminate"),
}


def diagnostic_report(draft: Draft, facts: StudyFacts, pdf: bytes | None) -> str:
    """The draft as JSON of one DiagnosticReport that contains the scores as Observations, the devices that
    made scores and text, and a Provenance; `pdf` are its pages, None where they cannot be made.

    It is `preliminary` until a person has accepted it, then `final`, or `amended` where it supersedes another
    report, which the extension diagnosticReport-replaces names. The security label AIAST, Artificial
    Intelligence asserted (v3 ObservationValue), stays, for the scores stay; CLINAST, clinician asserted,
    joins it. A contained resource must not have labels of its own (R4B dom-5).
    """
    stands = standing(draft)
    rows = score_rows(draft.evidence)
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": _labels(stands)},
        "language": "en",
        "text": {"status": "generated", "div": _narrative(draft, stands)},
        "contained": [
            *_devices(draft),
            *(_observation(draft, facts, stands, n, row) for n, row in enumerate(rows, 1)),
            _provenance(draft, stands),
        ],
        "identifier": [{"value": _string(draft.id)}],
        "status": _status(stands),
        "category": [_concept(f"{_TERMINOLOGY}/v2-0074", "RAD", "Radiology")],
        "code": _concept("http://loinc.org", "18748-4", "Diagnostic imaging study"),
        "subject": _patient(facts),
        "issued": stands.at.isoformat(timespec="seconds"),
        "imagingStudy": [_study(facts)],
        "conclusion": _conclusion(draft, stands),
    }
    if pdf is not None:
        report["presentedForm"] = [
            {
                "contentType": "application/pdf",
                "language": "en",
                "data": base64.b64encode(pdf).decode(),
                "title": ": ".join(filter(None, (wording.title(stands), stands.mark))),
            }
        ]
    if stands.supersedes:
        replaced = {"type": "DiagnosticReport", "identifier": {"value": _string(stands.supersedes)}}
        report["extension"] = [{"url": _REPLACES, "valueReference": replaced}]
    if facts.study_date:
        report["effectiveDateTime"] = facts.study_date
    if rows:
        report["result"] = [{"reference": f"#finding-{n}"} for n in range(1, len(rows) + 1)]
    if stands.by:
        report["resultsInterpreter"] = [_person(stands)]
    return json.dumps(report, ensure_ascii=False, indent=1)


def _status(stands: Standing) -> str:
    if not stands.accepted:
        return "preliminary"
    return "amended" if stands.supersedes else "final"


def _beginning(stands: Standing) -> list[str]:
    return [text for text in (stands.mark, stands.incomplete, shown(stands.sentence)) if text]


def _conclusion(draft: Draft, stands: Standing) -> str:
    lists = [f"{heading}: {'; '.join(s)}" for heading, s in wording.concern_lists(draft, stands)]
    return "\n".join([*_beginning(stands), *filter(None, (_text(draft),)), *lists])


def _text(draft: Draft) -> str:
    text = ""
    for passage in passages(draft):
        words = passage.text.rstrip()
        mark = f" {passage.mark}" if passage.mark else ""
        text += words + mark + passage.text[len(words) :]
    return text.strip()


def _narrative(draft: Draft, stands: Standing) -> str:
    """XHTML (R4B 2.4); it needs the scores too, for it may be all that a reader sees."""
    first = "".join(f"<p><b>{escape(one)}</b></p>" for one in _beginning(stands)[:-1])
    lines = escape(_text(draft)).replace("\n", "<br/>")
    lists = "".join(
        f"<h3>{escape(heading)}</h3><ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"
        for heading, sentences in wording.concern_lists(draft, stands)
    )
    rows = wording.finding_rows(draft)
    table = f"<table>{_row('th', wording.FINDING_COLUMNS)}{''.join(_row('td', row) for row in rows)}</table>"
    parts = [first, f"<p>{escape(_beginning(stands)[-1])}</p>", f"<p>{lines}</p>" if lines else "", lists]
    scores = f"{table}<p>{escape(wording.SCORES_NOTE)}</p>" if rows else ""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(parts)}{scores}</div>'


def _row(kind: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _labels(stands: Standing) -> list[dict[str, str]]:
    system = f"{_TERMINOLOGY}/v3-ObservationValue"
    labels = [{"system": system, "code": "AIAST", "display": "Artificial Intelligence asserted"}]
    if stands.accepted:
        labels.append({"system": system, "code": "CLINAST", "display": "clinician asserted"})
    return labels


def _observation(
    draft: Draft, facts: StudyFacts, stands: Standing, number: int, row: ScoreRow
) -> dict[str, Any]:
    """A score. Only a calibrated one is interpreted by a code, which other systems act upon."""
    finding = row.finding
    calibrated = wording.CALIBRATED[row.calibrated]
    interpretation: dict[str, Any] = {"text": f"{row.state} model score, {calibrated}"}
    if row.calibrated:
        code, display = _INTERPRETATION[row.present]
        interpretation |= _concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", code, display)
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"finding-{number}",
        "status": "final" if stands.accepted else "preliminary",
        "category": [_concept(f"{_TERMINOLOGY}/observation-category", "imaging", "Imaging")],
        "code": _finding_code(finding),
        "subject": _patient(facts),
        "valueQuantity": {
            "value": round(finding.probability, 4),
            "unit": "probability" if row.calibrated else "uncalibrated score",
            "system": "http://unitsofmeasure.org",
            "code": "1",
        },
        "interpretation": [interpretation],
        "method": {"text": _string(finding.source)},
        "device": {"reference": "#encoder"},
    }
    image = next((i for i in draft.evidence.images if i.image_id == finding.image_id), None)
    sites = sites_of(draft.evidence, image)
    if sites:
        observation["bodySite"] = _site(sites[0])
    if image:
        which = f"{row.picture}, frame {image.frame + 1}"
        place = f"instance {image.sop_instance_uid} of series {image.series_instance_uid}"
        observation["derivedFrom"] = [{**_study(facts), "display": shown(f"{which}: {place}")}]
    return observation


def _finding_code(finding: Finding) -> dict[str, Any]:
    codes = codes_of(finding.label, finding.source)
    coding = [{"system": one.system, "code": one.value, "display": one.meaning} for one in codes]
    return {"coding": coding, "text": _string(finding.label)} if coding else {"text": _string(finding.label)}


def _site(site: Site) -> dict[str, Any]:
    sides = {"L": "left", "R": "right", "B": "both sides"}
    text = ", ".join(filter(None, (site.meaning, sides.get(site.side or ""))))
    return {**_concept("http://snomed.info/sct", site.code, site.meaning), "text": text}


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
