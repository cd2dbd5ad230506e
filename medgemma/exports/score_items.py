"""Scores and statements of findings as coded content items of a structured report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.body_sites import Site, sites_of
from medsiglip.medgemma.exports.dicom_document import instance_of
from medsiglip.medgemma.exports.passages import shown
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.narrative.codes import Code, code_of
from medsiglip.medgemma.narrative.score_table import ScoreRow
from medsiglip.medgemma.records import Check, Draft, EvidenceImage

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, ContentItem

SCHEME = "99MEDSIGLIP"


def score_item(draft: Draft, facts: StudyFacts, row: ScoreRow) -> ContentItem:
    """A finding in words with, as properties, its code, whether the score says that it is present, that as a
    certainty, the score, and the image that drove it (PS3.16 TID 2001, CID 7003).

    (111012, DCM, "Certainty of Finding") is what a device places upon what it says: of an absent finding, the
    certainty of its absence. An undecided score has none. (122157, DCM, "Probability") is always that of
    presence, and stands only where the score is calibrated; else the number has a code of ours.
    """
    from highdicom import sr
    from pydicom.sr.codedict import codes

    finding = row.finding
    calibrated = wording.CALIBRATED[row.calibrated]
    words = f"{row.label}: model score {row.state}, {row.probability} ({calibrated})"
    parts = [words, f"by {row.source}", row.picture]
    item = sr.TextContentItem(
        codes.DCM.Finding, shown(", ".join(filter(None, parts))), sr.RelationshipTypeValues.CONTAINS
    )
    properties: list[ContentItem] = []
    if row.code:
        properties.append(_coded(_own("scored-finding", "Finding that was scored"), row.code))
    presence = {True: codes.DCM.Present, False: codes.DCM.Absent, None: codes.DCM.PresenceUndetermined}
    properties.append(_property(codes.DCM.PresenceOfProperty, presence[row.present]))
    if row.present is not None:
        certainty = finding.probability if row.present else 1 - finding.probability
        properties.append(_percent(codes.DCM.CertaintyOfFinding, certainty))
    uncalibrated = _own("model-score", "Score of the model, uncalibrated")
    number = codes.DCM.Probability if row.calibrated else uncalibrated
    properties.append(_percent(number, finding.probability))
    state = ("calibrated", "Calibrated") if row.calibrated else ("not-calibrated", "Uncalibrated")
    properties.append(_property(_own("calibration", "Calibration of the score"), _own(*state)))
    image = next((i for i in draft.evidence.images if i.image_id == finding.image_id), None)
    properties += [_site(site) for site in sites_of(draft.evidence, image)]
    item.ContentSequence = sr.ContentSequence([*properties, *_image(image, facts)])
    return item


def statement_items(check: Check) -> Iterator[ContentItem]:
    """What a sentence was read to state: the finding's code with, as its property, whether it is present,
    absent, suspected (a strong hedge) or left open; nothing of a finding without a code.
    """
    from highdicom.sr import CodedConcept, ContentSequence
    from pydicom.sr.codedict import codes

    code = code_of(check.finding) if check.finding else None
    if code is None:
        return
    stated: Any = {True: codes.DCM.Present, False: codes.DCM.Absent, None: codes.DCM.PresenceUndetermined}[
        check.polarity
    ]
    if check.hedged:
        stated = CodedConcept("415684004", "SCT", "Suspected")
    item = _coded(_own("named-finding", "Finding that is named"), code)
    item.ContentSequence = ContentSequence([_property(codes.DCM.PresenceOfProperty, stated)])
    yield item


def _coded(name: CodedConcept, code: Code) -> ContentItem:
    from highdicom.sr import CodedConcept

    return _property(name, CodedConcept(code.value, code.scheme, code.meaning))


def _property(name: Any, value: Any) -> ContentItem:
    from highdicom import sr

    return sr.CodeContentItem(name, value, sr.RelationshipTypeValues.HAS_PROPERTIES)


def _percent(name: Any, share: float) -> ContentItem:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    return sr.NumContentItem(
        name,
        round(share * 100, 4),
        codes.UCUM.Percent,
        relationship_type=sr.RelationshipTypeValues.HAS_PROPERTIES,
    )


def _site(site: Site) -> ContentItem:
    """The part of the body that the picture shows, with its side where it has one."""
    from highdicom import sr
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    item = _property(codes.SCT.FindingSite, CodedConcept(site.code, "SCT", site.meaning))
    if site.side:
        laterality = sr.CodeContentItem(
            codes.SCT.Laterality,
            {"L": codes.SCT.Left, "R": codes.SCT.Right, "B": codes.SCT.Bilateral}[site.side],
            sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
        )
        item.ContentSequence = sr.ContentSequence([laterality])
    return item


def _image(image: EvidenceImage | None, facts: StudyFacts) -> Iterator[ContentItem]:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    instance = None if image is None else instance_of(image, facts)
    if image is None or instance is None:
        return
    frames = [image.frame + 1] if (instance.number_of_frames or 1) > 1 else None
    yield sr.ImageContentItem(
        codes.DCM.BestIllustrationOfFinding,
        str(instance.sop_class_uid),
        instance.sop_instance_uid,
        referenced_frame_numbers=frames,
        relationship_type=sr.RelationshipTypeValues.INFERRED_FROM,
    )


def _own(code: str, meaning: str) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(code, SCHEME, meaning)
