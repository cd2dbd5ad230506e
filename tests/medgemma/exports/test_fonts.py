"""Scripts beyond those of DejaVu Sans: by a font of the system, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.exports import fonts
from medsiglip.medgemma.exports.export import export
from medsiglip.medgemma.exports.fonts import fonts_for
from tests.medgemma.exports.exported_drafts import FACTS, Pictures, draft, needs_font, pdf_text, read_back
from tests.medgemma.exports.pdf_ua import TaggedPdf

HINDI = "फुफ्फुस में कोई द्रव नहीं है।"
JAPANESE = "胸水はありません。"
ARABIC = "لا يوجد انصباب جنبي في الصدر الأيسر، ولا توجد علامات لاسترواح الصدر أو تكاثف رئوي في الرئتين."
HEBREW = "אין תפליט פלאורלי (CT) 12 mm."
# Whichever of these a machine has fonts for is shown.
SCRIPTS = {
    "Hindi": HINDI,
    "Japanese": JAPANESE,
    "Arabic": ARABIC,
    "Hebrew": HEBREW,
    "Thai": "ไม่มีน้ำในเยื่อหุ้มปอด",
    "Korean": "흉수 없음.",
    "Chinese": "患者无胸腔积液。",
    "Bengali": "কোনো তরল নেই।",
}


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fonts, "FONT_FOLDERS", (str(tmp_path),))


@pytest.mark.long(every=3)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_whose_font_is_there_is_shown_and_said(script: str) -> None:
    text = SCRIPTS[script]
    needs_font(text)
    content = export(draft((text,)), "pdf", FACTS, Pictures()).content
    found = TaggedPdf(content)
    assert found.problems == []
    assert any(text in found.text(one) for one in found.document.all("P"))


@pytest.mark.parametrize(
    ("text", "script", "package"),
    [(HINDI, "Devanagari", "fonts-noto-core"), (JAPANESE, "Han, Hiragana", "fonts-noto-cjk")],
)
@pytest.mark.parametrize("format", ["pdf", "dicom-pdf"])
def test_without_a_font_pages_are_refused_by_the_name_of_the_script(
    no_fonts: None, text: str, script: str, package: str, format: Any
) -> None:
    with pytest.raises(DraftError) as refused:
        export(draft((text,)), format, FACTS, Pictures())
    assert refused.value.code == "font-missing"
    message = str(refused.value)
    assert script in message
    assert package in message
    assert "FHIR or Markdown" in message
    assert text not in message


def test_without_a_font_the_other_formats_hold_the_text(no_fonts: None) -> None:
    made = draft((HINDI, JAPANESE))
    for format in ("dicom-sr", "fhir", "markdown"):
        assert HINDI in read_back(export(made, format, FACTS, Pictures()), format)
    answer = json.loads(export(made, "fhir", FACTS, Pictures()).content)
    assert "presentedForm" not in answer
    assert "presentedForm" in json.loads(export(draft(), "fhir", FACTS, Pictures()).content)


def test_latin_greek_and_cyrillic_need_no_font_of_the_system(no_fonts: None) -> None:
    found = fonts_for("Größe ≥ 5 µm. Лёгкие без изменений. Καρδιά φυσιολογική. Ḿ ẵ ʃ ₂ ∑ → ☑")
    assert (found.files, found.shaped) == ((), False)
    assert not found.stand_ins


def test_right_to_left_letters_are_joined_and_turned(no_fonts: None) -> None:
    assert fonts_for(ARABIC).shaped
    text = pdf_text(export(draft((ARABIC,)), "pdf", FACTS).content, "-layout")
    words = "".join(c for c in text if c not in "\u202a\u202b\u202c").split()
    # Poppler turns what is drawn from the right around, so that whole words read as they are written.
    assert {"انصباب", "جنبي", "الصدر"} <= set(words)


def test_letters_that_are_joined_are_refused_without_the_library_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fonts, "find_spec", lambda name: None)
    with pytest.raises(DraftError) as refused:
        export(draft((ARABIC, HEBREW)), "pdf", FACTS)
    assert refused.value.code == "font-missing"
    assert "Arabic, Hebrew" in str(refused.value)
    assert "medsiglip[scripts]" in str(refused.value)
    assert fonts_for("Καρδιά").files == ()


def test_signs_of_no_script_are_written_as_their_codes(no_fonts: None) -> None:
    found = fonts_for("a \U0001f9ec and \ue000")
    assert found.stand_ins == {0x1F9EC: "[U+1F9EC]", 0xE000: "[U+E000]"}
    text = pdf_text(export(draft(("DNA \U0001f9ec here.",)), "pdf", FACTS).content)
    assert "DNA [U+1F9EC] here." in text
    assert "Unicode codes" in text


def test_a_file_that_is_no_font_is_passed_over(no_fonts: None, tmp_path: Path) -> None:
    (tmp_path / "NotoSansDevanagari-Regular.ttf").write_bytes(b"no font")
    (tmp_path / "DroidSansFallbackFull.ttf").write_bytes(b"")
    for text in (HINDI, JAPANESE):
        with pytest.raises(DraftError):
            fonts_for(text)
