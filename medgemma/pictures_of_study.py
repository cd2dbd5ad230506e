"""The pictures of a study that represent it, and the numbers of its slices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import SeriesRecord, StoredImage, StudyDetail
from medsiglip.medgemma.records import EvidenceImage


@dataclass(frozen=True, slots=True)
class SliceNumbers:
    """The number of each slice in its series, from 1, and how many slices the series has, by image id.

    Instance Number (0020,0013) is what viewers show. It is used where the numbers of a series' instances
    follow the order of its slices, up or down; otherwise the place in anatomical order is. Both count the
    slices that sampling left out, of which the first and the last are always kept.
    """

    numbers: Mapping[int, tuple[int, int]]

    @classmethod
    def of(cls, index: CaseIndex, detail: StudyDetail) -> SliceNumbers:
        """The numbers of the slices of one study."""
        series: dict[str, list[StoredImage]] = defaultdict(list)
        for image in detail.images:
            if image.slice_index is not None:
                series[image.series_instance_uid].append(image)
        if not series:
            return cls({})
        found = index.instances.of_study(detail.study.study_instance_uid)
        given = {one.sop_instance_uid: one.instance_number for _, one in found}
        counts = {one.series.series_instance_uid: one.instances for one in detail.series}
        numbers: dict[int, tuple[int, int]] = {}
        for uid, slices in series.items():
            numbers |= _numbered(slices, given, counts.get(uid, 0))
        return cls(numbers)


def _numbered(
    slices: Sequence[StoredImage], given: Mapping[str, int | None], instances: int
) -> dict[int, tuple[int, int]]:
    places = {image.image_id: (image.slice_index or 0) + 1 for image in slices}
    count = max(*places.values(), instances if len(slices) == instances else 1)
    named = {image.image_id: given.get(image.sop_instance_uid) for image in slices}
    distinct = len({image.sop_instance_uid for image in slices}) == len(slices)
    downward = {one: count + 1 - place for one, place in places.items()}
    numbers = downward if distinct and named == downward else places
    return {one: (number, count) for one, number in numbers.items()}


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


def pictures_to_show(detail: StudyDetail, numbers: SliceNumbers | None = None) -> tuple[EvidenceImage, ...]:
    """All images of the main modality that are neither blank nor localizers, in order: for the generator."""
    modality = main_series(detail).modality
    shown = [image for image in detail.images if image.modality == modality and not _is_aside(image)]
    return tuple(evidence_image(image, numbers) for image in shown)


def _is_aside(image: StoredImage) -> bool:
    """Whether an image is blank, or a localizer beside the series."""
    return any(image.quality.get(name) in (True, 1.0) for name in ("near_blank", "blank", "localizer"))


def evidence_image(
    image: StoredImage, numbers: SliceNumbers | None = None, labels: Sequence[str] = ()
) -> EvidenceImage:
    """An image as evidence, with the labels that it drove."""
    number, count = (None, None) if numbers is None else numbers.numbers.get(image.image_id, (None, None))
    return EvidenceImage(
        image_id=image.image_id,
        sop_instance_uid=image.sop_instance_uid,
        series_instance_uid=image.series_instance_uid,
        frame=image.frame,
        modality=image.modality,
        labels=tuple(labels),
        slice_number=number,
        slice_count=count,
    )
