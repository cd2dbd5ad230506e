"""Drafts of every kind, and readers of exports that nobody here wrote: highdicom, poppler, fhir.resources."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import DigitalXRayImageStorageForPresentation

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.exports.export import Export
from medsiglip.medgemma.exports.fonts import fonts_for
from medsiglip.medgemma.exports.page_pictures import WithheldPicture
from medsiglip.medgemma.exports.study_facts import Instance, StudyFacts
from medsiglip.medgemma.records import (
    Check,
    Concern,
    Draft,
    Evidence,
    EvidenceImage,
    Finding,
    Flag,
    Omission,
    Revision,
    SimilarCase,
    Status,
    Verdict,
)

STUDY = "2.25.100"
OTHER_STUDY = "2.25.999111222"
OTHER_TEXT = "Somebody else has a broken rib."
PLAIN = (
    "The heart is enlarged.",
    "There is no pneumothorax.",
    "The effusion is larger than before.",
    "Impression: cardiomegaly.",
)
HTML_ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "div", "span", "strong"),
    *("ul", "li", "figure", "figcaption", "img", "table", "thead", "tbody", "tr", "th", "td"),
}
HTML_ATTRIBUTES = {"lang", "charset", "name", "content", "class", "dir", "scope", "alt", "src"}
VERDICTS: tuple[Verdict, ...] = ("agree", "contradict", "unsupported", "not-checkable")
TEXTS: dict[str, tuple[str, ...]] = {
    "plain": PLAIN,
    "nothing": (),
    "unicode": (
        "Größe ≥ 5 µm.",
        "Лёгкие без изменений.",
        "Καρδιά φυσιολογική.",
        "肺に結節がある。",
        "Naïve œdème 😀.",
    ),
    "markup": (
        "<b>Bold</b> & &amp; ]]> <!-- no -->.",
        "*star* _line_ `code` [link](http://x) ![i](y) | pipe ~~gone~~ $x$.",
        "1. not a list.",
        "- nor this.",
        "# nor a heading.",
        "+ plus.",
        "=====",
        "> no quote\\ with \\* backslash.",
        "    no code block.",
    ),
    "long": tuple(f"Sentence number {n} says that the lung is clear." for n in range(600)),
    "one long word": ("W" * 3000 + ".",),
}


def draft(
    sentences: Sequence[str] = PLAIN,
    status: Status = "draft",
    history: tuple[Revision, ...] = (),
    findings: int = 3,
    images: int = 2,
    between: str = " ",
) -> Draft:
    """A draft whose second sentence the scores contradict and whose third speaks of change."""
    text, checks, at = between.join(sentences), [], 0
    for number, sentence in enumerate(sentences):
        verdict = VERDICTS[min(number, 3)]
        flags: tuple[Flag, ...] = ("temporal-without-prior",) if number == 2 else ()
        checks.append(Check(sentence, at, at + len(sentence), "pneumothorax", verdict, False, 0.87, flags))
        at += len(sentence) + len(between)
    evidence = Evidence(
        STUDY,
        "abcdef123456-medsiglip-eval-1152",
        "DX",
        "CHEST",
        "chest-xray",
        tuple(
            Finding(
                f"finding-{n:03d}",
                (n % 100) / 100,
                (True, False, None)[n % 3],
                "prompts:chest-xray",
                1 + n % 2,
            )
            for n in range(findings)
        ),
        tuple(EvidenceImage(n, f"2.25.10{n}", "2.25.77", 0, "DX") for n in range(1, images + 1)),
        (SimilarCase(OTHER_STUDY, 0.934, OTHER_TEXT, {"cardiomegaly": 1.0}), SimilarCase("2.25.998", 0.921)),
        indication="cough & fever",
    )
    return Draft(
        id="draft-17",
        study_instance_uid=STUDY,
        route="night",
        generator="openai:medgemma-4b-it",
        status=status,
        text=text,
        evidence=evidence,
        checks=tuple(checks),
        created_at="2026-11-25T04:00:00+00:00",
        history=history,
    )


ACCEPTED = Revision("accepted", "Dr. Anna Moeller", "2026-11-25T06:30:00+01:00")
EDITED = Revision(
    "edited", "Dr. Anna Moeller", "2026-11-25T05:30:00Z", text="There is no pneumothorax. The rest is mine."
)
REJECTED = Revision("rejected", "Dr. Anna Moeller", "2026-11-25T05:30:00Z", reason="Wrong *patient* side.")
FACTS = StudyFacts(
    STUDY,
    "ab12" * 8,
    63.0,
    "F",
    "2024-05-06",
    tuple(Instance(f"2.25.10{n}", "2.25.77", DigitalXRayImageStorageForPresentation) for n in (1, 2)),
    "Hospital",
)


def incomplete(sentences: Sequence[str]) -> Draft:
    return dataclasses.replace(
        draft(sentences),
        incomplete="length",
        omissions=(
            Omission("consolidation", "high-score", "prompts:chest-xray", 0.97, True),
            Omission("rib fracture", "prior", "2.25.55"),
        ),
    )


def acknowledged(sentences: Sequence[str]) -> Draft:
    concern = Concern("omitted:nodule", "omitted", "The text does not mention nodule, whose score is high.")
    quoted = [
        Concern(f"contradict:{n}", "contradict", f"A sentence contradicts score {n}.", quote)
        for n, quote in enumerate((PLAIN[1], OTHER_TEXT))
    ]
    step = dataclasses.replace(ACCEPTED, acknowledged=(concern, *quoted))
    return draft(sentences, "accepted", (step,))


STANDINGS: dict[str, Callable[[Sequence[str]], Draft]] = {
    "draft": draft,
    "incomplete": incomplete,
    "edited": lambda sentences: draft(sentences, "edited", (EDITED,)),
    "accepted": lambda sentences: draft(sentences, "accepted", (ACCEPTED,)),
    "acknowledged": acknowledged,
    "addendum": lambda sentences: dataclasses.replace(acknowledged(sentences), supersedes="draft-16"),
    "superseded": lambda sentences: dataclasses.replace(acknowledged(sentences), superseded_by="draft-18"),
}


class Pictures:
    """An image source whose pictures are ramps of different shapes. The first similar case has one, that of
    the second is withheld, and of others nothing is left.
    """

    def similar(self, cases: Sequence[SimilarCase]) -> list[NDArray[np.uint8] | WithheldPicture | None]:
        [ramp] = self.pictures([1])
        return [
            *([ramp] if cases else []),
            *([WithheldPicture()] if cases[1:] else []),
            *([None] * len(cases[2:])),
        ]

    def pictures(self, image_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        ramp = np.tile(np.arange(256, dtype=np.uint8), (90, 1))
        return [np.repeat(np.vstack([ramp] * i)[..., None], 3, axis=2) for i in image_ids]


def needs_font(text: str) -> None:
    """Skip the test where this machine has no font for a script of the text."""
    try:
        fonts_for(text)
    except DraftError as error:
        pytest.skip(str(error))


def content_items(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The content items of an SR below the root, in order."""
    found = []
    for item in dataset.get("ContentSequence", []):
        found += [item, *content_items(item)]
    return found


def pdf_text(pdf: bytes, *options: str) -> str:
    """What poppler reads of the pages, without their headers and footers unless `options` say otherwise."""
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler-utils) is not installed")
    crop = options or ("-x", "0", "-y", "62", "-W", "595", "-H", "725")
    done = subprocess.run(
        ["pdftotext", "-raw", "-nopgbrk", *crop, "-", "-"], input=pdf, capture_output=True, check=True
    )
    assert done.stderr == b""
    # Poppler itself puts embedding marks around words from right to left (TextPage::dumpFragment).
    return re.sub("[\u202a-\u202c]", "", done.stdout.decode())


def embedded_pdf(dataset: pydicom.Dataset) -> bytes:
    return bytes(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])


def read_back(export: Export, format: str) -> str:
    """All text of an export, as another program reads it."""
    content = export.content
    if format == "dicom-sr":
        from highdicom.sr import ComprehensiveSR

        report = ComprehensiveSR.from_dataset(pydicom.dcmread(io.BytesIO(content)))
        return "\n".join(str(i.TextValue) for i in content_items(report) if i.ValueType == "TEXT")
    if format == "markdown":
        return markdown_text(content.decode())
    if format == "html":
        return html_text(content.decode())
    if format == "fhir":
        from fhir.resources.R4B.diagnosticreport import DiagnosticReport

        return str(DiagnosticReport.model_validate_json(content).conclusion)
    if format == "dicom-pdf":
        return pdf_text(embedded_pdf(pydicom.dcmread(io.BytesIO(content))))
    return pdf_text(content)


class ShownPage(HTMLParser):
    """The text of a page in `parts`; it refuses elements and attributes that act or load."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in HTML_ELEMENTS, tag
        for name, value in attrs:
            assert name in HTML_ATTRIBUTES, name
            assert name != "src" or (value or "").startswith("data:image/jpeg;base64,")
        self._hidden = tag in ("style", "title")

    def handle_endtag(self, tag: str) -> None:
        self._hidden = False

    def handle_data(self, data: str) -> None:
        self.parts += [] if self._hidden else [data]

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def html_text(page: str) -> str:
    """What a browser shows as text."""
    shown = ShownPage()
    shown.feed(page)
    shown.close()
    return "".join(shown.parts)


def markdown_text(markdown: str) -> str:
    """What a CommonMark parser shows as text: no markup, no links, no code, no HTML."""
    from markdown_it import MarkdownIt

    parts = []
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        for child in token.children or []:
            assert child.type in {
                "text",
                "softbreak",
                "hardbreak",
                "strong_open",
                "strong_close",
                "text_special",
            }
            parts.append(child.content)
        assert token.type not in {"html_block", "code_block", "fence", "blockquote_open", "bullet_list_open"}
    return "\n".join(parts)


def squeezed(text: str) -> str:
    """Without white space, which no two formats break alike."""
    return "".join(text.split())


def fhir_json(export: Export) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(export.content)
    return parsed
