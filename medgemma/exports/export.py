"""Exports a draft in any format by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.exports.encapsulated_pdf import encapsulated_pdf
from medsiglip.medgemma.exports.fhir import diagnostic_report
from medsiglip.medgemma.exports.html_page import html_page
from medsiglip.medgemma.exports.markdown import markdown
from medsiglip.medgemma.exports.page_pictures import PictureSource, SimilarPictureSource
from medsiglip.medgemma.exports.pdf_pages import pdf_pages
from medsiglip.medgemma.exports.structured_report import structured_report
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft

Format = Literal["dicom-sr", "dicom-pdf", "pdf", "html", "fhir", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Export:
    """The bytes of a file, its media type (RFC 6838) and how its name should end."""

    content: bytes
    media_type: str
    suffix: str


def export(
    draft: Draft,
    format: str,
    facts: StudyFacts,
    images: PictureSource | None = None,
    similar: SimilarPictureSource | None = None,
) -> Export:
    """The draft as a file of that format; without `images` the pages hold no pictures, without `similar` none
    of similar cases. These are of other patients: they stand on pages for reading alone (`pdf`, `html`), not
    on those that are filed with the patient.

    Raises `DraftError`: `unknown-format`; `draft-rejected` for all but Markdown, the only one that a
    person reads and no system files as a report; `other-study` where the facts are not of the
    draft's study; `draft-undecided-by` and `draft-undated` as in `standing`; `font-missing` of both PDF
    formats as in `fonts_for`.
    """
    if format not in FORMATS:
        raise DraftError("unknown-format", f"There is no format {format!r}; ask for {', '.join(FORMATS)}.")
    if facts.study_instance_uid != draft.study_instance_uid:
        raise DraftError(
            "other-study",
            f"Draft {draft.id} is of study {draft.study_instance_uid}, not {facts.study_instance_uid}; "
            "hand in the facts of its own study.",
        )
    if draft.status == "rejected" and format != "markdown":
        raise DraftError(
            "draft-rejected",
            f"Draft {draft.id} was rejected and leaves only as markdown; ask for that, or draft anew.",
        )
    return _export(draft, format, facts, images, similar)


def _export(
    draft: Draft,
    format: Format,
    facts: StudyFacts,
    images: PictureSource | None,
    similar: SimilarPictureSource | None,
) -> Export:
    if format == "html":
        page = html_page(draft, facts, images, similar)
        return Export(page.encode(), "text/html; charset=utf-8", ".html")
    if format == "markdown":
        return Export(markdown(draft, facts).encode(), "text/markdown; charset=utf-8", ".md")
    if format == "dicom-sr":
        return Export(structured_report(draft, facts), "application/dicom", ".sr.dcm")
    if format == "fhir":
        report = diagnostic_report(draft, facts, _pages(draft, facts, images))
        return Export(report.encode(), "application/fhir+json", ".fhir.json")
    if format == "pdf":
        pdf = pdf_pages(draft, facts, images, similar)
        return Export(pdf, "application/pdf", ".pdf")
    pdf = pdf_pages(draft, facts, images)
    return Export(encapsulated_pdf(draft, facts, pdf), "application/dicom", ".pdf.dcm")


def _pages(draft: Draft, facts: StudyFacts, images: PictureSource | None) -> bytes | None:
    """The pages that a report in FHIR may have, None where no font shows its text."""
    try:
        return pdf_pages(draft, facts, images)
    except DraftError as error:
        if error.code != "font-missing":
            raise
        return None
