"""The wording that all formats share: the study, its findings, similar cases, the provenance of a draft.

Similar cases are of other patients: they are exported as scores and labels, without UIDs and texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medsiglip.medgemma.checks.copied import warnings_of
from medsiglip.medgemma.exports.passages import shown
from medsiglip.medgemma.exports.standing import Standing, day, moment
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft, EvidenceImage, Finding, SimilarCase

PRESENCE = {True: "present", False: "absent", None: "uncertain"}
SCORES_NOTE = "Scores come from the image encoder and its probes, never from the generator of the text."


def title(standing: Standing) -> str:
    """The title of the document."""
    return "Report" if standing.accepted else "Draft report"


def study_rows(draft: Draft, facts: StudyFacts) -> list[tuple[str, str]]:
    """Names and values of the known facts of the study."""
    evidence = draft.evidence
    age = None if facts.patient_age is None else f"{facts.patient_age:g} years"
    rows = [
        ("Patient key", facts.patient_key),
        ("Age", age),
        ("Sex", facts.patient_sex),
        ("Study", facts.study_instance_uid),
        ("Study date", facts.study_date),
        ("Modality", evidence.modality),
        ("Body part", evidence.body_part_examined),
        ("Indication", evidence.indication),
    ]
    return [(name, shown(value)) for name, value in rows if value]


def finding_rows(draft: Draft) -> list[tuple[str, str, str, str, str]]:
    """Label, presence, probability, source of the score and driving image of each finding."""
    return [
        (
            shown(finding.label),
            PRESENCE[finding.present],
            probability(finding),
            shown(finding.source),
            image_name(draft, finding.image_id),
        )
        for finding in draft.evidence.findings
    ]


def similar_rows(draft: Draft) -> list[tuple[str, str, str]]:
    """Number, cosine and labels of each similar case of another patient."""
    return [
        (str(number), f"{case.score:.3f}", _labels(case))
        for number, case in enumerate(draft.evidence.similar, 1)
    ]


def provenance_rows(draft: Draft, standing: Standing) -> list[tuple[str, str]]:
    """Names and values of the origin of the draft and of the checks of its sentences."""
    prior = draft.evidence.prior
    verdicts = Counter(check.verdict for check in draft.checks)
    flags = Counter(flag for check in draft.checks for flag in check.flags)
    checks = ", ".join(f"{count} {name}" for name, count in sorted((verdicts + flags).items()))
    rows = [
        ("Standing", standing.sentence),
        ("Draft", draft.id),
        ("Generator", draft.generator),
        ("Route", draft.route),
        ("Created", day(moment(draft.created_at, draft)) if draft.created_at else None),
        ("Embedding space", draft.evidence.space),
        ("Prompt template", draft.evidence.template),
        ("Prior study", prior and " of ".join(filter(None, (prior.study_instance_uid, prior.study_date)))),
        ("Checks of sentences", checks or "none were made"),
        ("Flipped by similar cases", ", ".join(draft.flips)),
        ("Warnings", " ".join(warnings_of(draft))),
        ("Scores", SCORES_NOTE),
    ]
    return [(name, shown(value)) for name, value in rows if value]


def probability(finding: Finding) -> str:
    """A probability with two decimals."""
    return f"{finding.probability:.2f}"


def image_name(draft: Draft, image_id: int) -> str:
    """`image 2` for the second image of the evidence, empty for one that is not there."""
    for number, image in enumerate(draft.evidence.images, 1):
        if image.image_id == image_id:
            return f"image {number}"
    return ""


def driven_by(draft: Draft, image: EvidenceImage) -> Sequence[Finding]:
    """The findings that an image drove, the most probable first."""
    findings = (f for f in draft.evidence.findings if f.image_id == image.image_id)
    return sorted(findings, key=lambda f: -f.probability)


def _labels(case: SimilarCase) -> str:
    names = sorted(name for name, value in case.labels.items() if value > 0)
    return ", ".join(shown(name) for name in names) or "none known"
