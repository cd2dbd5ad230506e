"""Which part of the body each study of an index shows, by its headers and by the encoder's own look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Level, StudyHeader
from medsiglip.medgemma.region_look import LookTexts, look_texts, nameable, strong_look
from medsiglip.regions.decision import SeriesRegion, StudyRegion, written_region
from medsiglip.regions.vocabulary import UNKNOWN, Regions, region_of_modality
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_set import PromptSet

MakeClassifier = Callable[[PromptSet], ZeroShotClassifier]
# Studies whose vectors are in memory at a time, and images of the studies that are remembered.
_CHUNK = 500
_MOST_REMEMBERED = 500_000


@dataclass(frozen=True, slots=True)
class ShownStudy:
    """What a study shows, and the age of its patient in years."""

    header: StudyHeader
    region: StudyRegion

    @property
    def patient_age(self) -> float | None:
        """The patient's age in years."""
        return self.header.patient_age

    def fitting(self, level: Level, row_id: str) -> Regions:
        """The regions of an image, a series or the study, by its id in a `CaseTable` of that level."""
        series = self.region.series
        if level == "study":
            return UNKNOWN.union(*(one.fitting for one in series.values()))
        if level == "image":
            key = self.header.images.get(int(row_id))  # None of one that came meanwhile
            return series[key].fitting if key in series else UNKNOWN
        theirs = (key for key, one in self.header.series.items() if one.series_instance_uid == row_id)
        return UNKNOWN.union(*(series[key].fitting for key in theirs if key in series))


@dataclass(slots=True)
class StudyRegions:
    """The regions of the studies of an index. `make_classifier` gives the classifier of the texts with which
    the encoder looks; without one, headers alone decide.
    """

    index: CaseIndex
    make_classifier: MakeClassifier | None = None
    _classifier: ZeroShotClassifier | None = field(default=None, init=False, repr=False)
    _remembered: dict[str, ShownStudy] = field(default_factory=dict, init=False, repr=False)

    def of(self, study_instance_uids: Sequence[str]) -> dict[str, ShownStudy]:
        """What each of the studies that exist shows, by UID."""
        if sum(len(one.header.images) for one in self._remembered.values()) > _MOST_REMEMBERED:
            self._remembered.clear()
        unknown = [uid for uid in dict.fromkeys(study_instance_uids) if uid not in self._remembered]
        for start in range(0, len(unknown), _CHUNK):
            self._remembered |= self._found(unknown[start : start + _CHUNK])
        return {uid: self._remembered[uid] for uid in study_instance_uids if uid in self._remembered}

    def _found(self, uids: Sequence[str]) -> dict[str, ShownStudy]:
        headers = self.index.instances.headers_of(uids)
        looked = self._looked(headers)
        demonstration = self.index.space is not None and self.index.space.model == "tiny"
        return {
            uid: ShownStudy(header, _region(header, looked, demonstration=demonstration))
            for uid, header in headers.items()
        }

    def _looked(self, headers: Mapping[str, StudyHeader]) -> dict[int, Regions]:
        """What the encoder sees for certain, by the row id of the series."""
        space = self.index.space
        if self.make_classifier is None or space is None:
            return {}
        texts = look_texts(demonstration=space.model == "tiny")
        if not any(one.telling and _may_be_looked_at(texts, one) for one in headers.values()):
            return {}
        if self._classifier is None:
            self._classifier = self.make_classifier(texts.prompt_set)
        table = self.index.table("image", (), among=list(headers))
        if not table.ids:
            return {}
        scores = self._classifier.scores(table.vectors)
        rows: dict[int, list[int]] = defaultdict(list)
        modalities: dict[int, str | None] = {}
        for row, (image_id, uid) in enumerate(zip(table.image_ids, table.study_instance_uids, strict=True)):
            header = headers[uid]
            if int(image_id) in header.telling:
                series = header.images[int(image_id)]
                rows[series].append(row)
                modalities[series] = table.modalities[row]
        return {
            series: strong_look(texts, scores, np.array(theirs, np.intp), modalities[series])
            for series, theirs in rows.items()
        }


def _may_be_looked_at(texts: LookTexts, header: StudyHeader) -> bool:
    """Whether there are texts for pictures of the study that do not tell their part by their modality."""
    return any(
        nameable(texts, one.modality) and region_of_modality(one.modality) is None
        for one in header.series.values()
    )


def _region(header: StudyHeader, looked: Mapping[int, Regions], *, demonstration: bool) -> StudyRegion:
    with_images = set(header.images.values())
    series: dict[int, SeriesRegion] = {}
    for key, one in header.series.items():
        if key in with_images:
            written = written_region(
                one.modality, one.body_part_examined, one.series_description, header.study_description
            )
            look = looked.get(key, UNKNOWN)
            if written.regions and not demonstration:
                # A look that has no text of what is written would see a neighbour in it.
                known = nameable(look_texts(demonstration=False), one.modality)
                look = look if written.regions <= known else UNKNOWN
            series[key] = written.with_look(look)
    return StudyRegion(series)
