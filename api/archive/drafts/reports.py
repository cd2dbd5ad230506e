"""Draft reports of studies: drafted, shown, decided on and exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from medsiglip.answers.reports import (
    Concern,
    DraftedStudy,
    DraftSentence,
    EvidenceImage,
    Finding,
    FindingCode,
    Omission,
    Report,
    ReportLine,
    ReportList,
    ReviewedText,
    Revision,
    SentenceCheck,
    SentenceChoice,
    SimilarCase,
)
from medsiglip.api.archive.drafts.image_source import AvailablePictures, StoredPictures
from medsiglip.api.archive.files import AnyPath, output_file
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.service.drafts import DraftRecord
    from medsiglip.medgemma.exports.export import Export
    from medsiglip.medgemma.exports.study_facts import StudyFacts
    from medsiglip.medgemma.findings import FindingScores
    from medsiglip.medgemma.generators.generators import GeneratorSettings, Readiness
    from medsiglip.medgemma.generators.readiness import RememberedReadiness
    from medsiglip.medgemma.records import Draft, Evidence, SentenceDecision
    from medsiglip.medgemma.routing.rules import DraftOptions

FORMATS = {
    "sr": "dicom-sr",
    "pdf": "pdf",
    "html": "html",
    "fhir": "fhir",
    "markdown": "markdown",
    "dicom-pdf": "dicom-pdf",
}


@dataclass(frozen=True, slots=True)
class Decided:
    """What to do with a sentence of a draft, by its number: keep, edit (into `text`) or cut."""

    sentence: int
    choice: SentenceChoice
    text: str | None = None

    def as_record(self) -> SentenceDecision:
        """The decision as drafts know it."""
        from medsiglip.medgemma.records import SentenceDecision

        return SentenceDecision(self.sentence, self.choice, self.text)


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What to draft. Without `generator` and `options`, those of the routing rule, else `evidence-only`."""

    study: str
    route: str | None = None
    generator: str | None = None
    options: Mapping[str, Any] | None = None
    indication: str | None = None
    by: str = ""
    draft_id: str | None = None


def draft_report(
    archive: OpenedArchive,
    study: str,
    *,
    route: str | None = None,
    generator: str | None = None,
    options: Mapping[str, Any] | None = None,
    indication: str | None = None,
    by: str,
    on_progress: OnProgress = silent,
) -> Report:
    """Draft a report of a study now; `options` are fields of a routing rule."""
    request = ReportRequest(study, route, generator, options, indication, by)
    return report_of(make_draft(archive, request, on_progress=on_progress))


def show_report(archive: OpenedArchive, draft_id: str) -> Report:
    """One draft, with its evidence, checks and history."""
    return report_of(_stored(archive, draft_id))


def list_reports(
    archive: OpenedArchive,
    *,
    status: str | None = None,
    study: str | None = None,
    route: str | None = None,
    words: str | None = None,
    verdict: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> ReportList:
    """The newest drafts, without evidence, checks and history; `words` are looked for in their texts and in
    the reports of their studies, `verdict` is one that a check of their sentences has, `cursor` of the page
    before.
    """
    from medsiglip.index.service.newest_first import Place, read_place

    uid = None if study is None else stored_study_uid(archive, study)
    after = None if cursor is None else read_place(cursor)
    found = archive.index.drafts.listed(
        status=status,
        study_instance_uid=uid,
        route=route,
        words=words,
        verdict=verdict,
        after=after,
        limit=limit + 1,
    )
    shown = found[:limit]
    more = None if len(found) == len(shown) else Place(shown[-1].created_at, shown[-1].id).cursor()
    return ReportList(reports=tuple(map(_line_of, shown)), cursor=more)


def accept_report(
    archive: OpenedArchive,
    draft_id: str,
    *,
    by: str,
    revision: int | None = None,
    acknowledge: Collection[str] = (),
    sentences: Sequence[Decided] = (),
    also: Callable[[Connection], None] = lambda connection: None,
) -> Report:
    """Accept a draft: it is the study's report from now on. `acknowledge` are ids of its `concerns`; one that
    is missing is refused (`draft-concerns`). `sentences` of the `revision` are kept with their concerns,
    edited or cut. `also` is done in the transaction that accepts.
    """
    from medsiglip.medgemma.workflow import accept

    decisions = [one.as_record() for one in sentences]
    given: dict[str, Any] = {"by": by, "revision": revision, "acknowledge": acknowledge}
    return report_of(accept(archive.index, draft_id, **given, decisions=decisions, also=also))


def review_report(
    archive: OpenedArchive, draft_id: str, sentences: Sequence[Decided], *, revision: int | None = None
) -> ReviewedText:
    """What accepting would make of a draft after decisions about its sentences; nothing is stored."""
    from medsiglip.medgemma.workflow import propose

    made = propose(archive.index, draft_id, [one.as_record() for one in sentences], revision)
    return ReviewedText(
        id=draft_id,
        revision=len(made.draft.history),
        text=made.draft.text,
        difference=made.difference,
        sentences=_sentences(made.draft),
        concerns=tuple(Concern.model_validate(one) for one in made.concerns),
        settled=tuple(Concern.model_validate(one) for one in made.settled),
        incomplete=made.draft.incomplete,
    )


def edit_report(
    archive: OpenedArchive, draft_id: str, text: str, *, by: str, revision: int | None = None
) -> Report:
    """Put a person's words in place of a draft's."""
    from medsiglip.medgemma.workflow import edit

    return report_of(edit(archive.index, draft_id, by=by, text=text, revision=revision))


def reject_report(
    archive: OpenedArchive, draft_id: str, reason: str, *, by: str, revision: int | None = None
) -> Report:
    """Reject a draft for a reason."""
    from medsiglip.medgemma.workflow import reject

    return report_of(reject(archive.index, draft_id, by=by, reason=reason, revision=revision))


def export_report(archive: OpenedArchive, draft_id: str, format_: str, out: AnyPath) -> dict[str, Any]:
    """Write a draft to a file as sr, pdf, html, fhir, markdown or dicom-pdf."""
    draft = _stored(archive, draft_id)
    file = output_file(out)
    made = exported(archive, draft, format_)
    file.write_bytes(made.content)
    uid = draft.study_instance_uid
    return {"id": draft.id, "study_instance_uid": uid, "path": str(file), "media_type": made.media_type}


def _stored(archive: OpenedArchive, draft_id: str) -> Draft:
    from medsiglip.medgemma.draft_record import draft_of

    return draft_of(archive.index.drafts.get(draft_id))


def make_draft(
    archive: OpenedArchive,
    request: ReportRequest,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: OnProgress = silent,
) -> Draft:
    """Draft a report of a study and store it."""
    from medsiglip.api.archive.drafts.generators import generator_named
    from medsiglip.ingest.header.burned_in import may_preview
    from medsiglip.medgemma.drafts import Drafter, DraftRequest

    name, options = chosen_generator(archive, request)
    configured = generator_named(archive.settings, name)
    index = archive.index
    drafter = Drafter(
        finding_scores(archive), StoredPictures(index, archive.rendering_pool), name, cancelled=cancelled
    )
    drafter.on_stage = on_progress
    if configured is not None:
        drafter.generator = configured.make()
        drafter.ready = remembered_readiness(configured)
        if not configured.show_burned_in:
            drafter.may_show = lambda image_id: may_preview(index.get(image_id).quality)
    return drafter.draft(
        DraftRequest(
            draft_id=request.draft_id or uuid4().hex,
            study_instance_uid=stored_study_uid(archive, request.study),
            by=request.by,
            route=request.route,
            indication=request.indication,
            options=options,
        )
    )


@cache
def _remembered() -> dict[GeneratorSettings, RememberedReadiness]:
    return {}


def remembered_readiness(settings: GeneratorSettings) -> Callable[[], Readiness]:
    """Whether a configured generator is ready, asked of it every five minutes at most by this process.

    It is made anew each time, so that a key that was corrected is read, and no model is kept.
    """
    from medsiglip.medgemma.generators.readiness import RememberedReadiness

    known = _remembered()
    return known.setdefault(settings, RememberedReadiness(lambda: settings.make().ready()))


def chosen_generator(archive: OpenedArchive, request: ReportRequest) -> tuple[str, DraftOptions]:
    """The generator's name and the options: those given, else the rule's. Raises DraftError `bad-route`
    for options that cannot be used, and CatalogError `unknown-route`.
    """
    from medsiglip.medgemma.routing.rules import read_rule

    fields: dict[str, Any] = {}
    if request.route is not None and (request.generator is None or request.options is None):
        fields = dict(archive.index.routing_rules.get(request.route).rule)
    fields |= dict(request.options or {})
    if request.generator is not None:
        fields["generator"] = request.generator
    rule = read_rule(request.route or "report", fields)
    return rule.generator, rule.options


def finding_scores(archive: OpenedArchive) -> FindingScores:
    """Scores by the archive's model and probes, with the band that the settings leave uncertain."""
    from medsiglip.api.archive.scores.classifiers import prompt_classifier
    from medsiglip.medgemma.findings import FindingScores, UncertainBand

    settings = archive.settings
    band = UncertainBand(settings.uncertain_low, settings.uncertain_high)
    return FindingScores(archive.index, partial(prompt_classifier, archive), band)


def _line_of(record: DraftRecord) -> ReportLine:
    """A draft of a list, with what its payload says of its standing."""
    from medsiglip.medgemma.draft_record import incomplete_of

    standing: dict[str, Any] = {name: record.payload.get(name) for name in ("supersedes", "superseded_by")}
    standing["incomplete"] = incomplete_of(record.payload, record.status)
    standing["verdicts"] = dict(Counter(one["verdict"] for one in record.payload.get("checks") or ()))
    return ReportLine.model_validate({**asdict(record), **standing})


def _findings(evidence: Evidence) -> tuple[Finding, ...]:
    """The findings with the words of the table of scores."""
    from medsiglip.medgemma.narrative.score_table import score_rows

    return tuple(
        Finding.model_validate(
            {
                **asdict(row.finding),
                "name": row.label,
                "state": row.state,
                "picture": row.picture,
                "code": None if row.code is None else FindingCode.model_validate(row.code),
            }
        )
        for row in score_rows(evidence)
    )


def report_of(draft: Draft) -> Report:
    """A draft as an answer."""
    from medsiglip.medgemma.checks.concerns import concerns
    from medsiglip.medgemma.checks.copied import warnings_of
    from medsiglip.medgemma.checks.marks import marked
    from medsiglip.medgemma.workflow import to_accept

    evidence, proposed = draft.evidence, to_accept(draft)
    return Report(
        id=draft.id,
        study_instance_uid=draft.study_instance_uid,
        status=draft.status,
        route=draft.route,
        generator=draft.generator,
        text=draft.text,
        marked=marked(draft.text, draft.checks, draft.omissions),
        findings=_findings(evidence),
        evidence=tuple(SimilarCase.model_validate(one) for one in evidence.similar),
        checks=tuple(SentenceCheck.model_validate(one) for one in draft.checks),
        flips=draft.flips,
        omissions=tuple(Omission.model_validate(one) for one in draft.omissions),
        incomplete=draft.incomplete,
        concerns=tuple(Concern.model_validate(one) for one in concerns(proposed)),
        sentences=_sentences(proposed),
        supersedes=draft.supersedes,
        superseded_by=draft.superseded_by,
        warnings=tuple(warnings_of(draft)),
        text_without_context=draft.text_without_context,
        thinking=draft.thinking,
        images=tuple(EvidenceImage.model_validate(one) for one in evidence.images),
        study=DraftedStudy.model_validate(evidence),
        details=dict(draft.details),
        revision=len(draft.history),
        created_at=draft.created_at,
        history=tuple(Revision.model_validate(one) for one in draft.history),
    )


def _sentences(draft: Draft) -> tuple[DraftSentence, ...]:
    from medsiglip.medgemma.sentence_decisions import sentences

    return tuple(DraftSentence.model_validate(one) for one in sentences(draft))


def exported(archive: OpenedArchive, draft: Draft, name: str) -> Export:
    """The draft as a file; it says which pictures are missing because their files are gone. Raises
    ServiceError `unknown-format`, and what `export` raises.
    """
    from medsiglip.medgemma.exports.export import export

    if name not in FORMATS:
        raise ServiceError(
            "unknown-format", f"there is no format {name!r}: choose one of {', '.join(FORMATS)}."
        )
    pictures = AvailablePictures(archive)
    return export(draft, FORMATS[name], study_facts(archive, draft), pictures, pictures)


def study_facts(archive: OpenedArchive, draft: Draft) -> StudyFacts:
    """What an export says of the study and its patient."""
    from medsiglip.medgemma.exports.study_facts import Instance, StudyFacts

    uid = draft.study_instance_uid
    study = archive.index.study(uid).study
    instances = [
        Instance(one.sop_instance_uid, series_uid, one.sop_class_uid, one.number_of_frames)
        for series_uid, one in archive.index.instances.of_study(uid)
    ]
    return StudyFacts(
        uid, study.patient_key, study.patient_age, study.patient_sex, study.study_date, tuple(instances)
    )
