"""The evidence of a study: its findings, the images behind them, similar cases, and the prior study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from medsiglip.index.records import SeriesRecord, StudyDetail
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.pictures_of_study import (
    SliceNumbers,
    evidence_image,
    main_series,
    pictures_to_show,
)
from medsiglip.medgemma.prior_studies import prior_study, same_modality
from medsiglip.medgemma.prompting.prompts import template_for
from medsiglip.medgemma.records import (
    Evidence,
    EvidenceImage,
    EvidenceSeries,
    Finding,
    SimilarCase,
)
from medsiglip.medgemma.study_regions import ShownStudy
from medsiglip.numerics import mean_vector
from medsiglip.regions.vocabulary import UNKNOWN, Regions

__all__ = ["EvidenceOptions", "gather", "main_series", "pictures_to_show"]


# Studies that are searched for each similar case, as some show another part of the body.
_SEARCHED = 4


@dataclass(frozen=True, slots=True)
class EvidenceOptions:
    """`neighbours` is the number of similar cases that are kept; `findings` names sources of scores, all that
    fit if none; `template` a prompt template, the one that fits if None; `indication` why the study was made.
    """

    neighbours: int = 5
    findings: tuple[str, ...] = ()
    template: str | None = None
    indication: str | None = None


def gather(
    scores: FindingScores, study_instance_uid: str, options: EvidenceOptions | None = None
) -> Evidence:
    """Gather the evidence for a draft of the study. Raises `CatalogError` `unknown-study`."""
    chosen = options or EvidenceOptions()
    index = scores.index
    detail = index.study(study_instance_uid)
    main = main_series(detail)
    scored = scores.of_study(study_instance_uid, chosen.findings)
    numbers = SliceNumbers.of(index, detail)
    images = _driving_images(detail, scored.findings, numbers)
    prior = prior_study(scores, detail, main)
    space = index.space
    template = chosen.template or template_for(
        main.modality,
        main.body_part_examined,
        images,
        prior,
        region=scored.region,
        conflict=scored.region_conflict is not None,
    )
    return Evidence(
        study_instance_uid=study_instance_uid,
        space="" if space is None else space.name,
        model="" if space is None else space.model,
        modality=main.modality,
        body_part_examined=main.body_part_examined,
        template=template,
        findings=scored.findings,
        images=images,
        similar=_similar(scores, detail, main, chosen.neighbours),
        prior=prior,
        indication=chosen.indication,
        study_date=detail.study.study_date,
        patient_age=detail.study.patient_age,
        patient_sex=detail.study.patient_sex,
        left_out=scored.left_out,
        region=scored.region,
        region_conflict=scored.region_conflict,
        not_scored=scored.not_scored,
        series=_series(detail),
    )


def _driving_images(
    detail: StudyDetail, findings: Sequence[Finding], numbers: SliceNumbers
) -> tuple[EvidenceImage, ...]:
    labels: dict[int, list[str]] = defaultdict(list)
    for finding in findings:
        labels[finding.image_id].append(finding.label)
    stored = {image.image_id: image for image in detail.images}
    driving = [evidence_image(stored[one], numbers, labels[one]) for one in labels if one in stored]
    if driving or not detail.images:
        return tuple(driving)
    return (evidence_image(detail.images[len(detail.images) // 2], numbers),)


def _series(detail: StudyDetail) -> tuple[EvidenceSeries, ...]:
    return tuple(
        EvidenceSeries(
            one.series.series_instance_uid,
            one.images,
            one.instances,
            one.series.modality,
            one.series.view_position,
            one.series.laterality,
            one.series.orientation,
        )
        for one in detail.series
    )


def _may_show(shown: ShownStudy | None, regions: Regions) -> bool:
    """Whether a study may show one of these parts of the body: any may where nothing is known of either."""
    if regions and shown is not None and shown.region.conflict is not None:
        return False
    theirs = UNKNOWN if shown is None else shown.region.regions
    return not regions or not theirs or not regions.isdisjoint(theirs)


def _similar(
    scores: FindingScores, detail: StudyDetail, main: SeriesRecord, count: int
) -> tuple[SimilarCase, ...]:
    """The nearest studies of other patients with an image of the same modality, with their reports: without
    those, among several times as many, that show another part of the body.
    """
    if count < 1 or not detail.images:
        return ()
    index, uid = scores.index, detail.study.study_instance_uid
    vectors = index.vectors([image.image_id for image in detail.images])
    [hits] = index.search(
        mean_vector(vectors)[None],
        k=count * _SEARCHED,
        level="study",
        where=[same_modality(main)],
        exclude_patients=[detail.study.patient_key],
    )
    shown = scores.shown([uid, *(hit.study_instance_uid for hit in hits)])
    regions = shown[uid].region.regions
    alike = [hit for hit in hits if _may_show(shown.get(hit.study_instance_uid), regions)]
    hits = alike[:count]
    texts = index.report_texts.of([hit.study_instance_uid for hit in hits])
    return tuple(
        SimilarCase(
            hit.study_instance_uid,
            hit.score,
            texts[hit.study_instance_uid].text if hit.study_instance_uid in texts else None,
            hit.labels,
            hit.image_id,
        )
        for hit in hits
    )
