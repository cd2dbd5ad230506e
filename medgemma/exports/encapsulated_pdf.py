"""A draft as PDF pages inside a DICOM object (Encapsulated PDF Storage, PS3.3 A.45.1)."""

from __future__ import annotations

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.dicom_document import derived_uid, document, evidence_references, written
from medsiglip.medgemma.exports.standing import MARK, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft


def encapsulated_pdf(draft: Draft, facts: StudyFacts, pdf: bytes) -> bytes:
    """The pages `pdf` of a draft as a DICOM file, with the attributes of PS3.3 C.8.6.1 and C.24.2.

    Its document title is machine-drafted until a person has accepted the draft, and it is then VERIFIED.
    """
    from pydicom.sr.codedict import codes
    from pydicom.uid import EncapsulatedPDFStorage

    stands = standing(draft)
    dataset = document(draft, facts, stands, "DOC", EncapsulatedPDFStorage)
    # The pages also hold pictures, which the draft does not.
    dataset.SOPInstanceUID = derived_uid(dataset.SOPInstanceUID, pdf.hex())
    dataset.ConversionType = "WSD"
    dataset.AcquisitionDateTime = None
    # The pages show the patient key and the study's date, and pictures may name the patient.
    dataset.BurnedInAnnotation = "YES"
    dataset.VerificationFlag = "VERIFIED" if stands.accepted else "UNVERIFIED"
    dataset.DocumentTitle = f"{wording.title(stands)}: {MARK}" if stands.mark else wording.title(stands)
    title = type(dataset)()
    title.CodeValue, title.CodingSchemeDesignator = codes.LN.DiagnosticImagingReport[:2]
    title.CodeMeaning = codes.LN.DiagnosticImagingReport.meaning
    dataset.ConceptNameCodeSequence = [title]
    sources = [
        instance
        for study in evidence_references(draft, facts)
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    if sources:
        dataset.SourceInstanceSequence = sources
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return written(dataset)
