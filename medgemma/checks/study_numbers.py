"""Numbers in a draft that are of the study itself: of its slices and pictures, of age and dates."""

from __future__ import annotations

from typing import Literal

from medsiglip.medgemma.checks.stated import Stated
from medsiglip.medgemma.records import Evidence

Judged = tuple[Literal["agree", "contradict", "not-checkable"], str | None]
_OF_VOLUMES = ("CT", "MR", "PT", "NM")


def number_known(one: Stated, evidence: Evidence) -> Judged | None:
    """What is known of a number; None where it is not of the study, or the study does not tell."""
    if one.what == "slice":
        return _slice(one, evidence)
    if one.what == "pictures":
        return _pictures(one, evidence)
    if one.what == "age":
        return _age(one, evidence)
    return _date(one, evidence) if one.what == "date" else None


def _slice(one: Stated, evidence: Evidence) -> Judged:
    """A slice or picture by its number: it must not lie beyond the last."""
    slices = [image.slice_count for image in evidence.images if image.slice_count]
    if evidence.modality in _OF_VOLUMES and not slices:
        return "not-checkable", None  # what is stored may be a part of the series
    sizes = [max(series.images, series.instances) for series in evidence.series]
    most = max([*slices, *sizes], default=0) if slices else sum(sizes)
    ids = {finding.image_id for finding in evidence.findings} | {image.image_id for image in evidence.images}
    if not most:
        return "not-checkable", None
    agrees = all(0 < value <= most or value in ids for value in one.values)
    return ("agree" if agrees else "contradict"), f"pictures of the study: {most}"


def _pictures(one: Stated, evidence: Evidence) -> Judged:
    """A number of pictures or views: the study must have as many, or, of slices, a series."""
    images = [series.images for series in evidence.series if series.modality == evidence.modality]
    instances = [series.instances for series in evidence.series if series.modality == evidence.modality]
    if not images:
        return "not-checkable", None
    (number,) = one.values
    counts = {sum(images), sum(instances), *images, *instances}
    counts |= {image.slice_count for image in evidence.images if image.slice_count}
    if one.partial:
        return ("agree" if number <= max(counts) else "contradict"), f"pictures of the study: {max(counts)}"
    return ("agree" if number in counts else "contradict"), f"pictures of the study: {sum(images)}"


def _age(one: Stated, evidence: Evidence) -> Judged:
    """The patient's age in years, which may be given before or after a birthday."""
    if evidence.patient_age is None:
        return "not-checkable", None
    (age,) = one.values
    agrees = abs(age - evidence.patient_age) <= 1.0
    return ("agree" if agrees else "contradict"), f"age of the patient: {evidence.patient_age:g}"


def _date(one: Stated, evidence: Evidence) -> Judged:
    """A date: of a sentence that speaks of an earlier study, it is that of the prior or of the study."""
    prior = evidence.prior.study_date if evidence.prior is not None else None
    known = [date for date in (evidence.study_date, prior) if date]
    agrees = bool(one.values & set(known))
    if not agrees and (prior is None or not one.temporal):
        return "not-checkable", None
    return ("agree" if agrees else "contradict"), f"dates of the study and its prior: {', '.join(known)}"
