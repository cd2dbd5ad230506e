"""Drafts and reports of studies, in the shapes of the JSON contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from medsiglip.api.archive.payload import plain
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.reporting import ReportingArchive
    from medsiglip.api.jobs.job_run import JobRun
    from medsiglip.medgemma.exports.export import Export
    from medsiglip.medgemma.exports.study_facts import StudyFacts
    from medsiglip.medgemma.findings import FindingScores
    from medsiglip.medgemma.records import Draft
    from medsiglip.medgemma.routing.rules import DraftOptions

Answer = dict[str, Any]
FORMATS = {"sr": "dicom-sr", "pdf": "pdf", "fhir": "fhir", "markdown": "markdown", "dicom-pdf": "dicom-pdf"}


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What to draft. Without `generator` and `options` those of the route, else `evidence-only`."""

    study: str
    route: str | None = None
    generator: str | None = None
    options: Mapping[str, Any] | None = None
    indication: str | None = None
    by: str = ""
    draft_id: str | None = None


def make_draft(
    archive: ReportingArchive,
    request: ReportRequest,
    cancelled: Callable[[], bool] = lambda: False,
    on_progress: Callable[[str, int, int | None], None] = lambda _stage, _done, _total: None,
) -> Draft:
    """Draft a report of a study and store it."""
    from medsiglip.api.archive.drafts.generator_settings import generator_named
    from medsiglip.api.archive.drafts.image_source import StoredPictures
    from medsiglip.api.archive.queries import stored_study_uid
    from medsiglip.ingest.header.burned_in import may_preview
    from medsiglip.medgemma.drafts import Drafter, DraftRequest

    name, options = chosen_generator(archive, request)
    configured = generator_named(archive.settings, name)
    index = archive.index
    drafter = Drafter(
        finding_scores(archive), StoredPictures(index, archive.drawing), name, cancelled=cancelled
    )
    drafter.on_stage = on_progress
    if configured is not None:
        drafter.generator = configured.make()
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


def chosen_generator(archive: ReportingArchive, request: ReportRequest) -> tuple[str, DraftOptions]:
    """The generator's name and the options: those asked for, else the route's. Raises DraftError `bad-route`
    for options that cannot be used, and CatalogError `unknown-route`.
    """
    from medsiglip.medgemma.routing.rule_reading import read_rule

    told: dict[str, Any] = {}
    if request.route is not None and (request.generator is None or request.options is None):
        told = dict(archive.index.routes.get(request.route).rule)
    told |= dict(request.options or {})
    if request.generator is not None:
        told["generator"] = request.generator
    rule = read_rule(request.route or "report", told)
    return rule.generator, rule.options


def draft_for_job(archive: ReportingArchive, run: JobRun) -> Answer:
    """The report job: one draft, whose id is the job's."""
    from medsiglip.medgemma.errors import DraftError

    given = run.parameters
    route = given.get("route")
    request = ReportRequest(
        study=given["study_instance_uid"],
        route=route,
        generator=given.get("generator"),
        options=given.get("options"),
        indication=given.get("indication"),
        by=given.get("by") or (f"route:{route}" if route else "worker"),
        draft_id=run.job.id,
    )
    try:
        draft = make_draft(archive, request, lambda: run.stopped_by is not None, run.progress)
    except DraftError:
        run.check()  # what was cancelled ends so
        raise
    return {"id": draft.id, "status": draft.status, "study_instance_uid": draft.study_instance_uid}


def finding_scores(archive: ReportingArchive) -> FindingScores:
    """Scores by the archive's model and probes, with the band that the settings leave uncertain."""
    from medsiglip.api.archive.classification import prompt_classifier
    from medsiglip.medgemma.findings import FindingScores, UncertainBand

    settings = archive.settings
    band = UncertainBand(settings.uncertain_low, settings.uncertain_high)
    return FindingScores(archive.index, partial(prompt_classifier, archive), band)


def draft_answer(draft: Draft) -> Answer:
    """A draft in the JSON shape of `report draft`."""
    from medsiglip.medgemma.checks.copied import warnings_of
    from medsiglip.medgemma.checks.verify import marked

    evidence: Answer = plain(draft.evidence)
    return {
        "id": draft.id,
        "study_instance_uid": draft.study_instance_uid,
        "status": draft.status,
        "route": draft.route,
        "generator": draft.generator,
        "text": draft.text,
        "marked": marked(draft.text, draft.checks),
        "findings": evidence.pop("findings"),
        "evidence": evidence.pop("similar"),
        "checks": plain(draft.checks),
        "flips": list(draft.flips),
        "warnings": list(warnings_of(draft)),
        "text_without_context": draft.text_without_context,
        "thinking": draft.thinking,
        "images": evidence.pop("images"),
        "study": {name: value for name, value in evidence.items() if name != "study_instance_uid"},
        "details": plain(draft.details),
        "revision": len(draft.history),
        "created_at": draft.created_at,
        "history": plain(draft.history),
    }


def exported(archive: ReportingArchive, draft: Draft, name: str) -> Export:
    """The draft as a file. Raises ServiceError `unknown-format`, and what `export` raises."""
    from medsiglip.api.archive.drafts.image_source import StoredPictures
    from medsiglip.medgemma.exports.export import export

    if name not in FORMATS:
        raise ServiceError(
            "unknown-format", f"there is no format {name!r}: choose one of {', '.join(FORMATS)}."
        )
    return export(
        draft, FORMATS[name], study_facts(archive, draft), StoredPictures(archive.index, archive.drawing)
    )


def study_facts(archive: ReportingArchive, draft: Draft) -> StudyFacts:
    """What an export says of the study and its patient."""
    from medsiglip.medgemma.exports.study_facts import Instance, StudyFacts

    uid = draft.study_instance_uid
    study = archive.index.study(uid).study
    instances = [
        Instance(one.sop_instance_uid, series_uid, one.sop_class_uid, one.number_of_frames)
        for series_uid, one in archive.index.instances_of(uid)
    ]
    return StudyFacts(
        uid, study.patient_key, study.patient_age, study.patient_sex, study.study_date, tuple(instances)
    )
