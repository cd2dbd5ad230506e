"""The evidence of a study: its findings, the images behind them, similar cases, and the prior study."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import SeriesRecord, StoredImage, StudyDetail
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.prompting.prompts import template_for
from medsiglip.medgemma.records import (
    Evidence,
    EvidenceImage,
    EvidenceSeries,
    Finding,
    PriorStudy,
    SimilarCase,
)
from medsiglip.numerics import mean_vector


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
    images = _driving_images(detail, scored.findings)
    prior = _prior(index, detail, main)
    space = index.space
    return Evidence(
        study_instance_uid=study_instance_uid,
        space="" if space is None else space.name,
        modality=main.modality,
        body_part_examined=main.body_part_examined,
        template=chosen.template or template_for(main.modality, main.body_part_examined, images, prior),
        findings=scored.findings,
        images=images,
        similar=_similar(index, detail, main, chosen.neighbours),
        prior=prior,
        indication=chosen.indication,
        study_date=detail.study.study_date,
        patient_age=detail.study.patient_age,
        patient_sex=detail.study.patient_sex,
        left_out=scored.left_out,
        series=_series(detail),
    )


def main_series(detail: StudyDetail) -> SeriesRecord:
    """The series that represents the study: of the most common modality, the one with most images."""
    if not detail.series:
        return SeriesRecord("")
    counts: Counter[str | None] = Counter()
    for one in detail.series:
        counts[one.series.modality] += one.images
    modality = counts.most_common(1)[0][0]
    theirs = [one for one in detail.series if one.series.modality == modality]
    return max(theirs, key=lambda one: one.images).series


def pictures_to_show(detail: StudyDetail) -> tuple[EvidenceImage, ...]:
    """All images of the main modality that are neither blank nor localizers, in order: for the generator."""
    modality = main_series(detail).modality
    shown = [image for image in detail.images if image.modality == modality and not _is_aside(image)]
    return tuple(_evidence_image(image) for image in shown)


def _is_aside(image: StoredImage) -> bool:
    """Whether an image is blank, or a localizer beside the series."""
    return any(image.quality.get(name) in (True, 1.0) for name in ("near_blank", "blank", "localizer"))


def _driving_images(detail: StudyDetail, findings: Sequence[Finding]) -> tuple[EvidenceImage, ...]:
    labels: dict[int, list[str]] = defaultdict(list)
    for finding in findings:
        labels[finding.image_id].append(finding.label)
    stored = {image.image_id: image for image in detail.images}
    driving = [_evidence_image(stored[one], labels[one]) for one in labels if one in stored]
    if driving or not detail.images:
        return tuple(driving)
    return (_evidence_image(detail.images[len(detail.images) // 2]),)


def _evidence_image(image: StoredImage, labels: Sequence[str] = ()) -> EvidenceImage:
    return EvidenceImage(
        image_id=image.image_id,
        sop_instance_uid=image.sop_instance_uid,
        series_instance_uid=image.series_instance_uid,
        frame=image.frame,
        modality=image.modality,
        labels=tuple(labels),
    )


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


def _similar(
    index: CaseIndex, detail: StudyDetail, main: SeriesRecord, count: int
) -> tuple[SimilarCase, ...]:
    """The nearest studies of other patients with an image of the same modality, with their reports."""
    if count < 1 or not detail.images:
        return ()
    vectors = index.vectors([image.image_id for image in detail.images])
    [hits] = index.search(
        mean_vector(vectors)[None],
        k=count,
        level="study",
        where=[_same_modality(main)],
        exclude_patients=[detail.study.patient_key],
    )
    texts = index.report_texts.of([hit.study_instance_uid for hit in hits])
    return tuple(
        SimilarCase(
            hit.study_instance_uid,
            hit.score,
            texts[hit.study_instance_uid].text if hit.study_instance_uid in texts else None,
            hit.labels,
        )
        for hit in hits
    )


def _same_modality(main: SeriesRecord) -> str:
    """The filter on images of the same modality; CR and DX are two techniques of one kind of radiograph."""
    modality = main.modality or ""
    return f"modality={'CR|DX' if modality in ('CR', 'DX') else modality}"


def _prior(index: CaseIndex, detail: StudyDetail, main: SeriesRecord) -> PriorStudy | None:
    """The patient's last study of an earlier day of the same modality and body part; None without dates."""
    if detail.study.study_date is None:
        return None
    where = [
        f"patient_key={detail.study.patient_key}",
        _same_modality(main),
        f"body_part_examined={main.body_part_examined or ''}",
    ]
    earlier = [
        one for one in index.studies(where) if one.study_date and one.study_date < detail.study.study_date
    ]
    if not earlier:
        return None
    last = max(earlier, key=lambda one: (one.study_date or "", one.study_instance_uid))
    text = index.report_texts.of([last.study_instance_uid]).get(last.study_instance_uid)
    return PriorStudy(
        last.study_instance_uid,
        last.study_date,
        None if text is None else text.text,
        _prior_pictures(index.study(last.study_instance_uid), main),
    )


def _prior_pictures(prior: StudyDetail, main: SeriesRecord) -> tuple[EvidenceImage, ...]:
    """The prior's pictures, those of the same view first."""
    views = {one.series.series_instance_uid: one.series.view_position for one in prior.series}
    pictures = pictures_to_show(prior)
    return tuple(sorted(pictures, key=lambda one: views.get(one.series_instance_uid) != main.view_position))
