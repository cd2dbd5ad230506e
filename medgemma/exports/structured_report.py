"""A draft as a DICOM structured report: Comprehensive SR, template TID 2000.

TID 2000 Basic Diagnostic Imaging Report (PS3.16) holds prose under headings, which a draft is; TID 1500 holds
measurements. Comprehensive SR (PS3.3 A.35.3) allows for the score of a finding with the image that
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
    long_string,
    person_name,
    predecessors,
    written,
)
from medsiglip.medgemma.exports.passages import Passage, passages, shown
from medsiglip.medgemma.exports.score_items import SCHEME, score_item, statement_items
from medsiglip.medgemma.exports.sections import Section, sections
from medsiglip.medgemma.exports.standing import Standing, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.narrative.score_table import score_rows
from medsiglip.medgemma.records import Draft

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, ContentItem
    from pydicom.dataset import Dataset

NO_ORGANIZATION = "Not stated"
_HEADING_CODES = {
    "Not mentioned in the text": "not-mentioned",
    "Acknowledged at acceptance": "acknowledged",
    "Not scored": "not-scored",
}


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
    dataset.CompletionFlagDescription = stands.mark or wording.accepted_note(stands)
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
    former = predecessors(draft, facts, "SR")
    if former:
        dataset.PredecessorDocumentsSequence = former


def _root(draft: Draft, facts: StudyFacts, stands: Standing) -> ContentItem:
    from highdicom.sr import ContainerContentItem, ContentSequence
    from pydicom.sr.codedict import codes

    root = ContainerContentItem(codes.LN.DiagnosticImagingReport, False, template_id="2000")
    items: list[Any] = [*_context(draft, facts, stands)]
    summary = [text for text in (stands.mark, stands.incomplete, shown(stands.sentence)) if text]
    items.append(_section(codes.LN.Summary, [_text(codes.DCM.Comment, text) for text in summary]))
    if draft.evidence.indication:
        indication = _text(codes.LN.History, shown(draft.evidence.indication))
        items.append(_section(codes.LN.IndicationsForProcedure, [indication]))
    items += [_text_section(section) for section in sections(passages(draft))]
    for heading, sentences in wording.concern_lists(draft, stands):
        items.append(_section(_heading(_HEADING_CODES[heading], heading), _comments(sentences)))
    scores = [score_item(draft, facts, row) for row in score_rows(draft.evidence)]
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


def _text_section(section: Section) -> ContentItem | None:
    """A section of the text: of PS3.16 CID 7001 where that has its name, else of its own name."""
    from pydicom.sr.codedict import codes

    code, element = section.keywords
    own = (section.name or "").lower().replace(" ", "-")[:16]
    name = getattr(codes.LN, code) if code else _heading(own, str(section.name))
    return _section(name, [_sentence(getattr(codes.DCM, element), one) for one in section.passages])


def _sentence(name: Any, passage: Passage) -> ContentItem:
    """A sentence with its mark, and what it was read to state (PS3.16 TID 2001)."""
    from highdicom import sr

    item = _text(name, f"{passage.text.strip()} {passage.mark or ''}".strip())
    read = [one for check in passage.checks for one in statement_items(check)]
    if read:
        item.ContentSequence = sr.ContentSequence(read)
    return item


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
