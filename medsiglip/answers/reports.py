"""Draft reports with what they stand on, and the routing rules that order them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from medsiglip.answers.answer import Answer, Labels, Moment

ReportStatus = Literal["draft", "edited", "accepted", "rejected"]
SentenceChoice = Literal["keep", "edit", "cut"]
Verdict = Literal["agree", "contradict", "doubtful", "unsupported", "not-checkable"]
ReportFormat = Literal["sr", "pdf", "html", "fhir", "markdown", "dicom-pdf"]


class FindingCode(Answer):
    """A code of SNOMED CT or RadLex, with the designator of its scheme (SCT, RADLEX)."""

    scheme: str
    value: str
    meaning: str


class Finding(Answer):
    """One label of a study; `present` is null where the score itself is uncertain, `source` names what gave
    the score, and `image_id` is the image that drove it. `name`, `state` (high, undecided or low) and
    `picture` ("slice 172 of 300") are for people to read; `code` is null where no scheme has one for the
    finding.
    """

    label: str
    probability: float
    present: bool | None
    source: str
    image_id: int
    cosine: float | None = None
    calibrated: bool = False
    name: str = ""
    state: str = ""
    picture: str = ""
    code: FindingCode | None = None


class SimilarCase(Answer):
    """A study of another patient; `score` is the cosine of the two, `text` its report if it has one,
    `image_id` its image that is most like the study, None in drafts of earlier versions.
    """

    study_instance_uid: str
    score: float
    text: str | None
    labels: Labels
    image_id: int | None = None


class EvidenceImage(Answer):
    """An image that the draft stands on, with the labels that it drove."""

    image_id: int
    sop_instance_uid: str
    series_instance_uid: str
    frame: int
    modality: str | None
    labels: tuple[str, ...]
    slice_number: int | None = None
    slice_count: int | None = None


class PriorStudy(Answer):
    """The patient's last study before of the same modality and region."""

    study_instance_uid: str
    study_date: str | None
    text: str | None
    images: tuple[EvidenceImage, ...]


class DraftedStudy(Answer):
    """What was known of the study; `template` names the prompt template that fits."""

    space: str
    modality: str | None
    body_part_examined: str | None
    template: str
    prior: PriorStudy | None
    indication: str | None
    study_date: str | None
    patient_age: float | None
    patient_sex: str | None
    region: str | None = None
    region_conflict: str | None = None
    not_scored: tuple[str, ...] = ()
    model: str = ""


class SentenceAttribute(Answer):
    """The side, size or number that a sentence gives, and what is known of it."""

    kind: str
    text: str
    start: int
    end: int
    verdict: str
    known: str | None


class Omission(Answer):
    """A finding with a high score, or of the prior report, that the text does not mention."""

    finding: str
    reason: str
    source: str
    probability: float | None
    calibrated: bool


class SentenceCheck(Answer):
    """What became of one sentence, at the character offsets `start` to `end` of the text."""

    sentence: str
    start: int
    end: int
    finding: str | None
    verdict: str
    polarity: bool | None
    probability: float | None
    flags: tuple[str, ...]
    sources: tuple[str, ...]
    hedged: bool = False
    attributes: tuple[SentenceAttribute, ...] = ()


class Concern(Answer):
    """What a person must acknowledge by its id, or edit away, before a draft is accepted; `quote` is the
    sentence of the text, null for what it does not mention.
    """

    id: str
    kind: str
    sentence: str
    quote: str | None


class SentenceDecision(Answer):
    """What a person decided about the sentence of this number; `quote` are its words as they were, `text`
    those that stand in their place where it was edited.
    """

    sentence: int
    choice: SentenceChoice
    text: str | None = None
    quote: str | None = None


class DraftSentence(Answer):
    """One sentence of the text that would be accepted, counted from 0, at its character offsets there;
    `line_breaks` are those before it, `heading` is its section.

    `verdict` is the most serious of its checks, and `flags` are those of all. `image_ids` are the pictures
    that drive the scores of its `findings`, `concerns` the ids of what must be decided before it is accepted.
    """

    number: int
    start: int
    end: int
    text: str
    line_breaks: int
    heading: str
    verdict: Verdict
    findings: tuple[str, ...]
    flags: tuple[str, ...]
    image_ids: tuple[int, ...]
    concerns: tuple[str, ...]


class ReviewedText(Answer):
    """What accepting would make of a draft after decisions about its sentences; nothing was stored.

    `difference` is a unified diff to the draft's text, null where it is the same. `concerns` are to be
    acknowledged by their ids or edited away, `settled` are those of sentences that were decided to be kept.
    """

    id: str
    revision: int
    text: str
    difference: str | None
    sentences: tuple[DraftSentence, ...]
    concerns: tuple[Concern, ...]
    settled: tuple[Concern, ...]
    incomplete: str | None = None


class Revision(Answer):
    """One step of the workflow: who did what, when (ISO 8601, UTC); `difference` is a unified diff.
    `acknowledged` are the concerns with which the draft was accepted, `decisions` what was decided then about
    single sentences.
    """

    status: ReportStatus
    by: str
    at: str
    text: str | None
    difference: str | None
    reason: str | None
    acknowledged: tuple[Concern, ...] = ()
    decisions: tuple[SentenceDecision, ...] = ()


class Report(Answer):
    """A draft: its text, what it stands on, and how each of its sentences fared."""

    id: str
    study_instance_uid: str
    status: ReportStatus
    route: str | None
    generator: str
    text: str
    marked: str = Field(
        description="the text with what is wrong by scores, study or prior, copied or left out marked"
    )
    findings: tuple[Finding, ...]
    evidence: tuple[SimilarCase, ...]
    checks: tuple[SentenceCheck, ...]
    flips: tuple[str, ...]
    omissions: tuple[Omission, ...] = ()
    incomplete: str | None = Field(None, description="why the text is cut off, null if it is whole")
    concerns: tuple[Concern, ...] = Field((), description="what accepting asks to be acknowledged")
    sentences: tuple[DraftSentence, ...] = Field(
        (), description="the text that would be accepted, sentence by sentence"
    )
    supersedes: str | None = Field(None, description="the accepted draft to which this is an addendum")
    superseded_by: str | None = Field(None, description="the addendum that stands in place of this one")
    warnings: tuple[str, ...] = Field(description="what to look at before the text is used")
    text_without_context: str | None = None
    thinking: str | None = None
    images: tuple[EvidenceImage, ...]
    study: DraftedStudy
    details: dict[str, Any]
    revision: int
    created_at: str
    history: tuple[Revision, ...]


class ReportLine(Answer):
    """A draft in a list; `verdicts` counts the checks of its sentences by verdict."""

    id: str
    study_instance_uid: str
    status: ReportStatus
    route: str | None
    generator: str
    text: str
    revision: int
    created_at: Moment
    incomplete: str | None = None
    supersedes: str | None = None
    superseded_by: str | None = None
    verdicts: dict[str, int] = Field(default_factory=dict)


class ReportList(Answer):
    """Drafts, the newest first; `cursor` asks for the next page, and is null at the end."""

    reports: tuple[ReportLine, ...]
    cursor: str | None = None


class Route(Answer):
    """A routing rule, and how many studies it sent and holds back. Of those sent, `waiting` are not drafted
    yet and `failed` could not be; `route run` orders these again.
    """

    name: str
    enabled: bool
    priority: int
    rule: dict[str, Any]
    sent: int
    held: int
    waiting: int = 0
    failed: int = 0
    created_at: Moment
    updated_at: Moment


class HeldBack(Answer):
    """A study that waits for the budget."""

    study_instance_uid: str
    reason: str | None


class RoutedDraft(Answer):
    """A draft that a rule ordered and that is not there. `status` is that of its job: queued, running or
    failed; `code` and `message` are those of its last failure.
    """

    study_instance_uid: str
    job_id: str
    status: str
    code: str | None
    message: str | None
    sent_at: Moment


class RouteDetail(Route):
    """A routing rule, what it holds back, and its drafts that wait or failed, the oldest; `warnings` name
    what the rule asks for and nothing has yet.
    """

    held_back: tuple[HeldBack, ...]
    waiting_drafts: tuple[RoutedDraft, ...] = ()
    failed_drafts: tuple[RoutedDraft, ...] = ()
    warnings: tuple[str, ...] = ()


class RouteList(Answer):
    """Routing rules, the most urgent first."""

    routes: tuple[Route, ...]


class RouteDetailList(Answer):
    """Routing rules that were stored, in the order of their file."""

    routes: tuple[RouteDetail, ...]


class RouteCondition(Answer):
    """One condition of a rule: `value` is what the study has; `met` is null where it was not looked at, and
    `reason` says why a score does not count.
    """

    condition: str
    value: Any
    met: bool | None
    reason: str | None = None


class RouteAssessment(Answer):
    """Whether a study fits a rule, with every condition."""

    study_instance_uid: str
    fits: bool
    conditions: tuple[RouteCondition, ...]


class RouteTest(Answer):
    """What a rule would send of the whole archive, and why; some of what it would not."""

    route: str
    studies: int
    would_send: tuple[RouteAssessment, ...]
    already_sent: int
    would_not_send: int
    examples_not_sent: tuple[RouteAssessment, ...]


class RouteDecision(Answer):
    """What became of a study: `sent` with its job, or `held` back for a reason."""

    route: str
    study_instance_uid: str
    outcome: Literal["sent", "held"]
    reason: str | None
    job_id: str | None


class RouteProblem(Answer):
    """A rule that could not be evaluated, and why."""

    route: str
    code: str
    message: str


class RouteRun(Answer):
    """What the evaluation of routing rules sent and held back, and how many failed drafts it ordered again;
    `warnings` tell of studies that were not routed because a score does not count for them.
    """

    sent: int
    held: int
    resent: int = 0
    decisions: tuple[RouteDecision, ...]
    problems: tuple[RouteProblem, ...]
    warnings: tuple[str, ...] = ()
