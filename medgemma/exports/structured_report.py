"""A draft as a DICOM structured report: Comprehensive SR, template TID 2000.

TID 2000 Basic Diagnostic Imaging Report (PS3.16) holds prose under headings, which a draft is; TID 1500 holds
measurements. Comprehensive SR (PS3.3 A.35.3) allows for the probability of a finding with the image that
drove it, and is read by most archives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.dicom_document import (
    MANUFACTURER,
    derived_uid,
    document,
    evidence_references,
    instance_of,
    long_string,
    person_name,
    written,
)
from medsiglip.medgemma.exports.passages import passages, shown
from medsiglip.medgemma.exports.standing import Standing, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft, EvidenceImage, Finding

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, ContentItem
    from pydicom.dataset import Dataset

SCHEME = "99MEDSIGLIP"
NO_ORGANIZATION = "Not stated"


def structured_report(draft: Draft, facts: StudyFacts) -> bytes:
    """The draft as a Comprehensive SR file.

    Until a person has accepted it, it is PARTIAL and UNVERIFIED, and its title, its series and its summary
    mark it as machine-drafted; afterwards it is COMPLETE and VERIFIED by that person (PS3.3 C.17.2).
    Observers are the generator, a device, and that person (PS3.16 TID 1001).
    """
    from pydicom.uid import ComprehensiveSRStorage

    stands = standing(draft)
    dataset = document(draft, facts, stands, "SR", ComprehensiveSRStorage)
    dataset.ReferencedPerformedProcedureStepSequence = []
    _add_sr_document_general(dataset, draft, facts, stands)
    for element in _root(draft, facts, stands):
        dataset.add(element)
    scheme = type(dataset)()
    scheme.CodingSchemeDesignator = SCHEME
    scheme.CodingSchemeName = "Headings of draft reports"
    dataset.CodingSchemeIdentificationSequence = [scheme]
    return written(dataset)


def _add_sr_document_general(dataset: Dataset, draft: Draft, facts: StudyFacts, stands: Standing) -> None:
    """PS3.3 C.17.2."""
    dataset.PreliminaryFlag = "FINAL" if stands.accepted else "PRELIMINARY"
    dataset.CompletionFlag = "COMPLETE" if stands.accepted else "PARTIAL"
    dataset.VerificationFlag = "VERIFIED" if stands.accepted else "UNVERIFIED"
    dataset.CompletionFlagDescription = stands.mark or "Accepted by a person"
    dataset.PerformedProcedureCodeSequence = []
    if stands.accepted:
        observer = type(dataset)()
        observer.VerifyingObserverName = person_name(stands.by or "")
        observer.VerifyingObserverIdentificationCodeSequence = []
        observer.VerifyingOrganization = long_string(facts.organization or "") or NO_ORGANIZATION
        observer.VerificationDateTime = stands.at.strftime("%Y%m%d%H%M%S+0000")
        dataset.VerifyingObserverSequence = [observer]
    references = evidence_references(draft, facts)
    if references:
        dataset.CurrentRequestedProcedureEvidenceSequence = references


def _root(draft: Draft, facts: StudyFacts, stands: Standing) -> ContentItem:
    from highdicom.sr import ContainerContentItem, ContentSequence
    from pydicom.sr.codedict import codes

    root = ContainerContentItem(codes.LN.DiagnosticImagingReport, False, template_id="2000")
    items: list[Any] = [*_context(draft, facts, stands)]
    summary = [text for text in (stands.mark, shown(stands.sentence)) if text]
    items.append(_section(codes.LN.Summary, [_text(codes.DCM.Comment, text) for text in summary]))
    if draft.evidence.indication:
        indication = _text(codes.LN.History, shown(draft.evidence.indication))
        items.append(_section(codes.LN.IndicationsForProcedure, [indication]))
    sentences = [
        f"{passage.text.strip()} {passage.mark or ''}".strip()
        for passage in passages(draft)
        if passage.text.strip()
    ]
    items.append(_section(codes.LN.Findings, [_text(codes.DCM.Finding, s) for s in sentences]))
    scores = [_score(draft, facts, finding) for finding in draft.evidence.findings]
    items.append(_section(_heading("scores", "Scores of findings by the image encoder"), scores))
    similar = [
        f"Similar case {number}: cosine {cosine}; labels: {labels}"
        for number, cosine, labels in wording.similar_rows(draft)
    ]
    items.append(_section(_heading("similar", "Similar cases of other patients"), _comments(similar)))
    provenance = [f"{name}: {value}" for name, value in wording.provenance_rows(draft, stands)]
    items.append(_section(_heading("provenance", "Provenance of the draft"), _comments(provenance)))
    root.ContentSequence = ContentSequence([item for item in items if item is not None])
    return root


def _context(draft: Draft, facts: StudyFacts, stands: Standing) -> Iterator[ContentItem]:
    """Language (TID 1204), what the title means (TID 1210) and observers (TID 1001)."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    yield from sr.LanguageOfContentItemAndDescendants(sr.CodedConcept("en", "RFC5646", "English"))
    meaning = stands.mark or "Report drafted by machine and accepted by a person"
    yield sr.TextContentItem(
        codes.DCM.EquivalentMeaningOfConceptName, meaning, sr.RelationshipTypeValues.HAS_CONCEPT_MOD
    )
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", draft.generator),
        name=shown(draft.generator),
        manufacturer_name=MANUFACTURER,
    )
    yield from sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), device)
    if stands.accepted:
        organization = facts.organization and shown(facts.organization)
        person = sr.PersonObserverIdentifyingAttributes(
            person_name(stands.by or ""), organization_name=organization or None
        )
        yield from sr.ObserverContext(sr.CodedConcept("121006", "DCM", "Person"), person)


def _score(draft: Draft, facts: StudyFacts, finding: Finding) -> ContentItem:
    """A finding in words with its probability as (111012, DCM, "Certainty of Finding"), which is what a
    device places upon a finding, and the image that drove it (PS3.16 TID 2001, CID 7003).
    """
    from highdicom import sr
    from pydicom.sr.codedict import codes

    image = next((i for i in draft.evidence.images if i.image_id == finding.image_id), None)
    name = wording.image_name(draft, finding.image_id)
    words = f"{shown(finding.label)}: {wording.PRESENCE[finding.present]}, by {shown(finding.source)}"
    item = _text(codes.DCM.Finding, f"{words}, {name}" if name else words)
    properties = sr.NumContentItem(
        codes.DCM.CertaintyOfFinding,
        round(finding.probability * 100, 2),
        codes.UCUM.Percent,
        relationship_type=sr.RelationshipTypeValues.HAS_PROPERTIES,
    )
    item.ContentSequence = sr.ContentSequence([properties, *_image(image, facts)])
    return item


def _image(image: EvidenceImage | None, facts: StudyFacts) -> Iterator[ContentItem]:
    from highdicom import sr
    from pydicom.sr.codedict import codes

    if image is None:
        return
    instance = instance_of(image, facts)
    if instance is None:
        return
    frames = [image.frame + 1] if (instance.number_of_frames or 1) > 1 else None
    yield sr.ImageContentItem(
        codes.DCM.BestIllustrationOfFinding,
        str(instance.sop_class_uid),
        instance.sop_instance_uid,
        referenced_frame_numbers=frames,
        relationship_type=sr.RelationshipTypeValues.INFERRED_FROM,
    )


def _section(name: Any, items: Sequence[ContentItem]) -> ContentItem | None:
    """A heading with what stands under it, None where nothing does."""
    from highdicom import sr

    if not items:
        return None
    section = sr.ContainerContentItem(name, False, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    section.ContentSequence = sr.ContentSequence(items)
    return section


def _heading(code: str, meaning: str) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(code, SCHEME, meaning)


def _comments(texts: Sequence[str]) -> list[ContentItem]:
    from pydicom.sr.codedict import codes

    return [_text(codes.DCM.Comment, text) for text in texts]


def _text(name: Any, text: str) -> ContentItem:
    from highdicom import sr

    return sr.TextContentItem(name, text, sr.RelationshipTypeValues.CONTAINS)
