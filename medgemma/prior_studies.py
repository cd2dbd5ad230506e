"""The prior study of a patient: of the same modality, part of the body and side, and earlier."""

from __future__ import annotations

from collections.abc import Mapping

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import SeriesRecord, StudyDetail, StudyHeader
from medsiglip.medgemma.findings import FindingScores
from medsiglip.medgemma.pictures_of_study import SliceNumbers, pictures_to_show
from medsiglip.medgemma.records import EvidenceImage, PriorStudy
from medsiglip.medgemma.study_regions import ShownStudy
from medsiglip.regions.vocabulary import Regions, is_paired, sides_in_words


def same_modality(main: SeriesRecord) -> str:
    """The filter on images of the same modality; CR and DX are two techniques of one kind of radiograph."""
    modality = main.modality or ""
    return f"modality={'CR|DX' if modality in ('CR', 'DX') else modality}"


def prior_study(scores: FindingScores, detail: StudyDetail, main: SeriesRecord) -> PriorStudy | None:
    """The patient's last study before this one of the same modality and part of the body. None without a
    date, and where it is not known what the study shows.

    Of a part of which there is a left and a right one, a study of the other side is no prior, nor is one of
    an unknown side where that of this study is known. Of the same day, the earlier by Study Time is a prior;
    where either has no time, the one that the archive got first.
    """
    study, index = detail.study, scores.index
    if study.study_date is None:
        return None
    theirs = index.studies([f"patient_key={study.patient_key}", same_modality(main)])
    dated = {
        one.study_instance_uid: one.study_date
        for one in theirs
        if one.study_date and one.study_date <= study.study_date
    }
    shown = scores.shown([*dated, study.study_instance_uid])
    here = shown[study.study_instance_uid]
    earlier = [
        (day, _order(shown[uid].header), uid)
        for uid, day in dated.items()
        if uid != study.study_instance_uid
        and uid in shown  # deleted meanwhile
        and (day < study.study_date or _is_before(shown[uid].header, here.header))
        and _same_part(here, shown[uid])
    ]
    if not earlier:
        return None
    day, _, uid = max(earlier)
    text = index.report_texts.of([uid]).get(uid)
    return PriorStudy(uid, day, None if text is None else text.text, _pictures(index, index.study(uid), main))


def _order(header: StudyHeader) -> tuple[str, int]:
    return header.study_time or "", header.added


def _is_before(one: StudyHeader, other: StudyHeader) -> bool:
    """Which of two studies of one day is the earlier."""
    if one.study_time and other.study_time and one.study_time != other.study_time:
        return one.study_time < other.study_time
    return one.added < other.added


def _same_part(here: ShownStudy, there: ShownStudy) -> bool:
    if here.region.conflict is not None or there.region.conflict is not None:
        return False
    regions = here.region.regions
    if not regions:  # the same words, which the vocabulary does not know
        words = _body_parts(here.header)
        return bool(words) and words == _body_parts(there.header)
    shared = regions & there.region.regions
    return bool(shared) and _same_side(here.header, there.header, shared)


def _body_parts(header: StudyHeader) -> frozenset[str]:
    return frozenset(
        one.body_part_examined.upper() for one in header.series.values() if one.body_part_examined
    )


def _same_side(here: StudyHeader, there: StudyHeader, regions: Regions) -> bool:
    if not is_paired(regions):
        return True
    mine, theirs = _sides(here), _sides(there)
    return mine == theirs or bool(mine & theirs)


def _sides(header: StudyHeader) -> frozenset[str]:
    """The sides of a study's series by header, else by description."""
    series: Mapping[int, SeriesRecord] = header.series
    found: set[str] = set()
    for one in series.values():
        found |= sides_in_words(one.laterality) or sides_in_words(one.series_description)
    return frozenset(found) or sides_in_words(header.study_description)


def _pictures(index: CaseIndex, prior: StudyDetail, main: SeriesRecord) -> tuple[EvidenceImage, ...]:
    """The prior's pictures, those of the same view first."""
    views = {one.series.series_instance_uid: one.series.view_position for one in prior.series}
    pictures = pictures_to_show(prior, SliceNumbers.of(index, prior))
    return tuple(sorted(pictures, key=lambda one: views.get(one.series_instance_uid) != main.view_position))
