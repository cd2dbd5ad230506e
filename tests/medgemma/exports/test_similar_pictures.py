"""Small pictures of similar cases stand on pages for reading; withheld ones say so; filed pages have none."""

from __future__ import annotations

import dataclasses
import io
import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pypdf import PdfReader

from medsiglip.medgemma.exports.export import export
from medsiglip.medgemma.records import SimilarCase
from tests.medgemma.exports.exported_drafts import (
    FACTS,
    OTHER_STUDY,
    Pictures,
    draft,
    embedded_pdf,
    html_text,
    pdf_text,
    squeezed,
)
from tests.medgemma.exports.pdf_ua import TaggedPdf

CASES = (
    SimilarCase(OTHER_STUDY, 0.934, None, {"cardiomegaly": 1.0}, 7),
    SimilarCase("2.25.998", 0.921, image_id=8),
    SimilarCase("2.25.997", 0.9),
)
MADE = dataclasses.replace(draft(), evidence=dataclasses.replace(draft().evidence, similar=CASES))
CAPTIONS = (
    "Case 1: cosine 0.934",
    "Case 2: cosine 0.921; not shown, because its picture may name or show the patient",
    "Case 3: cosine 0.900; not shown, because nothing is left of its picture",
)


def exported(format: str, *, similar: bool = True) -> bytes:
    return export(MADE, format, FACTS, None, Pictures() if similar else None).content


def pictures_of(pdf: bytes) -> Iterator[tuple[int, int]]:
    """Their sizes; the watermark is a mask."""
    for page in PdfReader(io.BytesIO(pdf)).pages:
        yield from (one.image.size for one in page.images if one.image and one.image.mode == "RGB")


def test_pages_of_pdf_show_them() -> None:
    pdf = exported("pdf")
    text = squeezed(pdf_text(pdf))
    assert all(squeezed(caption) in text for caption in CAPTIONS)
    assert list(pictures_of(pdf)) == [(256, 90)]
    assert TaggedPdf(pdf).problems == []
    assert OTHER_STUDY not in pdf_text(pdf)


def test_a_page_of_html_shows_them() -> None:
    page = exported("html").decode()
    text = html_text(page)
    assert all(caption in text for caption in CAPTIONS)
    [data] = [part.partition('"')[0] for part in page.split('src="data:image/jpeg;base64,')[1:]]
    assert Image.open(io.BytesIO(b64decode(data))).size == (256, 90)
    assert 'alt="Case 1: cosine 0.934"' in page
    assert OTHER_STUDY not in page


def test_without_a_source_and_where_the_patient_is_filed_there_are_none() -> None:
    fhir = json.loads(exported("fhir"))["presentedForm"][0]
    filed = [b64decode(fhir["data"]), embedded_pdf(pydicom.dcmread(io.BytesIO(exported("dicom-pdf"))))]
    for pdf in (*filed, exported("pdf", similar=False)):
        assert list(pictures_of(pdf)) == []
        assert "not shown" not in pdf_text(pdf)
    assert "<img" not in exported("html", similar=False).decode()


class Every(Pictures):
    """A grey picture of each case, every one of another grey."""

    def similar(self, cases: Sequence[SimilarCase]) -> list[Any]:
        return [np.full((90, 90, 3), 20 * n, np.uint8) for n in range(len(cases))]


def test_many_cases_go_over_the_page() -> None:
    many = tuple(dataclasses.replace(CASES[0], score=0.9 - n / 100) for n in range(12))
    made = dataclasses.replace(MADE, evidence=dataclasses.replace(MADE.evidence, similar=many))
    pdf = export(made, "pdf", FACTS, Pictures(), Every()).content
    assert len(list(pictures_of(pdf))) == 2 + 8
    assert TaggedPdf(pdf).problems == []
    rest = "4 more similar cases are shown without a picture."
    assert squeezed(rest) in squeezed(pdf_text(pdf))
    page = export(made, "html", FACTS, Pictures(), Every()).content.decode()
    assert (page.count("<img"), rest in page) == (2 + 8, True)
