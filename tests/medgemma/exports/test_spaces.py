"""Spaces that fonts have no glyph of keep words apart on pages."""

from __future__ import annotations

import dataclasses
import io

from pypdf import PdfReader

from medsiglip.medgemma.exports.export import export
from tests.medgemma.exports.exported_drafts import FACTS, draft


def test_tabs_and_wide_spaces_keep_words_apart() -> None:
    made = dataclasses.replace(draft(), text="Lungs:\tclear.\u3000Heart: 1\t2 cm.", checks=())
    pages = PdfReader(io.BytesIO(export(made, "pdf", FACTS).content)).pages
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    assert "Lungs: clear. Heart: 1 2 cm." in text
