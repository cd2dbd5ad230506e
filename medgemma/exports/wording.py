"""The wording that all formats share: the study, its findings, similar cases, the provenance of a draft.

Similar cases are of other patients: they are exported as scores and labels, without UIDs and texts, and on
pages for reading with a small picture if that may be shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from medsiglip.medgemma.checks.copied import warnings_of
from medsiglip.medgemma.exports.page_pictures import PagePicture, StoredPreview, WithheldPicture
from medsiglip.medgemma.exports.passages import shown
from medsiglip.medgemma.exports.standing import Standing, day, moment, report_text
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.narrative.dates import written_date
from medsiglip.medgemma.narrative.pictures import picture_in_words
from medsiglip.medgemma.narrative.score_table import ScoreRow, score_rows
from medsiglip.medgemma.records import Draft, Evidence, EvidenceImage, Omission, PriorStudy, SimilarCase

CALIBRATED = {True: "calibrated", False: "uncalibrated"}
FINDING_COLUMNS = ("Finding", "State", "Score", "Calibration", "Source", "Picture")
SCORES_NOTE = (
    "Scores come from the image encoder and its probes, never from the generator of the text. An "
    "uncalibrated score ranks findings; it does not say how often they are there."
)


PICTURES_NOTE = "Pictures are reduced for the page and not for diagnosis."
PREVIEW_NOTE = "(from a stored preview: its file could not be read when this document was made)"
MISSING_NOTE = "Without a picture, because its file could not be read when this document was made"


def title(standing: Standing) -> str:
    """The title of the document."""
    if not standing.accepted:
        return "Draft report"
    if standing.superseded_by:
        return "Superseded report"
    return "Report (addendum)" if standing.supersedes else "Report"


def accepted_note(standing: Standing) -> str:
    """What an accepted report is, in at most 64 characters."""
    if standing.superseded_by:
        return "Superseded report, drafted by machine"
    kind = "addendum" if standing.supersedes else "report"
    return f"Accepted {kind}, drafted by machine"


def study_rows(draft: Draft, facts: StudyFacts) -> list[tuple[str, str]]:
    """Names and values of the known facts of the study."""
    evidence = draft.evidence
    age = None if facts.patient_age is None else f"{facts.patient_age:g} years"
    rows = [
        ("Patient key", facts.patient_key),
        ("Age", age),
        ("Sex", facts.patient_sex),
        ("Study", facts.study_instance_uid),
        ("Study date", facts.study_date and written_date(facts.study_date)),
        ("Modality", evidence.modality),
        ("Body part in the header", evidence.body_part_examined),
        ("Part of the body", _region(evidence)),
        ("Indication", evidence.indication),
    ]
    return [(name, shown(value)) for name, value in rows if value]


def finding_rows(draft: Draft) -> list[tuple[str, str, str, str, str, str]]:
    """Label, score in a word and in digits, calibration, source and driving picture of each finding, as
    `FINDING_COLUMNS` name them.
    """
    return [
        (
            shown(row.label),
            row.state,
            row.probability,
            CALIBRATED[row.calibrated],
            shown(row.source),
            shown(row.picture),
        )
        for row in score_rows(draft.evidence)
    ]


def concern_lists(draft: Draft, standing: Standing) -> list[tuple[str, list[str]]]:
    """Headings with what a reader must know beside the text: findings that it does not mention or, in an
    accepted report, the concerns with which a person accepted it, and scores that were not made.
    """
    if standing.accepted:
        lists = [("Acknowledged at acceptance", _acknowledged(draft))]
    else:
        lists = [("Not mentioned in the text", [omission_sentence(one) for one in draft.omissions])]
    not_scored = [*filter(None, (draft.evidence.region_conflict,)), *draft.evidence.not_scored]
    lists.append(("Not scored", [shown(one) for one in not_scored]))
    return [(heading, sentences) for heading, sentences in lists if sentences]


def omission_sentence(omission: Omission) -> str:
    """What a finding that the text does not mention is known from."""
    if omission.reason == "prior":
        return shown(f"{omission.finding}: in the prior report")
    score = "" if omission.probability is None else f" {omission.probability:.2f}"
    return shown(f"{omission.finding}: score{score}, {CALIBRATED[omission.calibrated]}")


def similar_rows(draft: Draft) -> list[tuple[str, str, str]]:
    """Number, cosine and labels of each similar case of another patient."""
    return [
        (str(number), f"{case.score:.3f}", _labels(case))
        for number, case in enumerate(draft.evidence.similar, 1)
    ]


def picture_caption(
    draft: Draft, image: EvidenceImage, driven: Sequence[ScoreRow], picture: PagePicture
) -> str:
    """What stands below a picture of the study: what it is, and the findings that it drove."""
    name = image_name(draft, image.image_id).capitalize()
    findings = [f"{shown(row.label)[:60]}: {row.state} score ({row.probability})" for row in driven]
    most = ", ".join(findings[:6]) + (f" and {len(findings) - 6} more" if len(findings) > 6 else "")
    caption = f"{name}: {most}"
    if picture is None:
        return f"{MISSING_NOTE}. {caption}"
    return f"{caption} {PREVIEW_NOTE}" if isinstance(picture, StoredPreview) else caption


def similar_captions(
    cases: Sequence[SimilarCase], pictures: Sequence[PagePicture | WithheldPicture]
) -> list[str]:
    """What stands below the picture of each similar case, or in its place."""
    captions = []
    for number, (case, picture) in enumerate(zip(cases, pictures, strict=True), 1):
        caption = f"Case {number}: cosine {case.score:.3f}"
        if isinstance(picture, WithheldPicture):
            caption += "; not shown, because its picture may name or show the patient"
        elif picture is None:
            caption += "; not shown, because nothing is left of its picture"
        captions.append(caption)
    return captions


def more_cases(count: int) -> str:
    """What is said of similar cases whose pictures there is no room for."""
    return f"{count} more similar cases are shown without a picture."


def provenance_rows(draft: Draft, standing: Standing) -> list[tuple[str, str]]:
    """Names and values of the origin of the draft and of the checks of its sentences."""
    prior = draft.evidence.prior
    verdicts = Counter(check.verdict for check in draft.checks)
    flags = Counter(flag for check in draft.checks for flag in check.flags)
    checks = ", ".join(f"{count} {name}" for name, count in sorted((verdicts + flags).items()))
    unknown = Counter(a.kind for c in draft.checks for a in c.attributes if a.verdict == "not-checkable")
    not_compared = ", ".join(f"{count} of {kind}" for kind, count in sorted(unknown.items()))
    rows = [
        ("Standing", standing.sentence),
        ("Draft", draft.id),
        ("Generator", draft.generator),
        ("Route", draft.route),
        ("Created", day(moment(draft.created_at, draft)) if draft.created_at else None),
        ("Image encoder", draft.evidence.model),
        ("Embedding space", draft.evidence.space),
        ("Prompt template", draft.evidence.template),
        ("Prior study", prior and _prior(prior)),
        ("Checks of sentences", checks or "none were made"),
        ("Statements that nothing is known to compare with", not_compared),
        ("Flipped by similar cases", ", ".join(draft.flips)),
        ("Warnings", " ".join(warnings_of(draft))),
        ("Scores", SCORES_NOTE),
    ]
    return [(name, shown(value)) for name, value in rows if value]


def image_name(draft: Draft, image_id: int) -> str:
    """A picture in words, such as `slice 172 of 300`; empty for one that is not there."""
    return shown(picture_in_words(draft.evidence, image_id))


def driven_by_image(draft: Draft) -> Mapping[int, Sequence[ScoreRow]]:
    """The scores that each image drove, by its id, the most probable first."""
    found: dict[int, list[ScoreRow]] = {}
    for row in sorted(score_rows(draft.evidence), key=lambda row: -row.finding.probability):
        found.setdefault(row.image_id, []).append(row)
    return found


def _acknowledged(draft: Draft) -> list[str]:
    """What the person knew who accepted, with the sentence of the text that it is about. A sentence that is
    not in the accepted text, such as one of another patient, is not repeated.
    """
    steps = [step for step in draft.history if step.status == "accepted"]
    text = " ".join(report_text(draft).split())
    sentences = []
    for concern in (one for step in steps[-1:] for one in step.acknowledged):
        quote = " ".join((concern.quote or "").split())
        known = quote and quote.removesuffix("…") in text
        words = f'{concern.sentence} "{quote}"' if known else concern.sentence
        sentences.append(shown(words, draft.evidence.similar))
    return sentences


def _region(evidence: Evidence) -> str | None:
    """The part of the body that all agree on, where the header does not say the same."""
    named = (evidence.body_part_examined or "").casefold()
    return None if evidence.region is None or evidence.region.casefold() == named else evidence.region


def _prior(prior: PriorStudy) -> str:
    date = prior.study_date and written_date(prior.study_date)
    return " of ".join(filter(None, (prior.study_instance_uid, date)))


def _labels(case: SimilarCase) -> str:
    names = sorted(name for name, value in case.labels.items() if value > 0)
    return ", ".join(shown(name) for name in names) or "none known"
