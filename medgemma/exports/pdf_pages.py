"""A draft as pages to read: text with its marks, driving images, scores, similar cases, provenance."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.page_pictures import PagePicture, PictureSource, StoredPreview
from medsiglip.medgemma.exports.passages import Passage, passages, shown
from medsiglip.medgemma.exports.standing import Standing, day, standing
from medsiglip.medgemma.exports.study_facts import StudyFacts
from medsiglip.medgemma.records import Draft, EvidenceImage, Finding

if TYPE_CHECKING:
    from fpdf import FPDF
    from PIL.Image import Image

RED, GREY, BLACK = (168, 0, 0), (105, 105, 105), (0, 0, 0)
FAMILY = "DejaVu"
MARGIN = 18.0
WATERMARK = 240
MAX_PICTURES = 8
PICTURE_PIXELS = 800
# fpdf2 refuses a row that is higher than a page.
MAX_CELL = 400
GAP = 6.0
PICTURES_NOTE = "Pictures are reduced for the page and not for diagnosis."
PREVIEW_NOTE = "(from a stored preview: its file could not be read when this document was made)"
MISSING_NOTE = "Without a picture, because its file could not be read when this document was made"
SCRIPTS_NOTE = (
    "This text holds scripts that these pages do not draw as their readers write them. "
    "The structured report, FHIR and Markdown forms of it do hold them rightly."
)


def pdf_pages(draft: Draft, facts: StudyFacts, images: PictureSource | None = None) -> bytes:
    """The draft as a PDF file, the same bytes for the same draft; without `images` it holds no pictures.

    At most `MAX_PICTURES` images are shown, those that drove the most probable findings; the pages say which
    of them are previews, and which are missing because nothing is left of their files.
    """
    stands = standing(draft)
    found = passages(draft)
    document = _pages(stands, f"Draft {shown(draft.id)}")
    document.set_title(f"{wording.title(stands)}: {stands.mark}" if stands.mark else wording.title(stands))
    partly = _add_other_scripts(document, _everything(draft, facts, stands, found))
    document.add_page()
    _heading(document, wording.title(stands), 16)
    _paragraph(document, shown(stands.sentence))
    _lines(document, wording.study_rows(draft, facts))
    _heading(document, "Text")
    if partly:
        _paragraph(document, SCRIPTS_NOTE, note=True)
    _prose(document, found)
    _pictures(document, draft, images)
    _tables(document, draft)
    _heading(document, "Provenance")
    _lines(document, wording.provenance_rows(draft, stands))
    return bytes(document.output())


def _everything(draft: Draft, facts: StudyFacts, stands: Standing, found: Sequence[Passage]) -> str:
    rows: list[Sequence[str]] = [
        *wording.study_rows(draft, facts),
        *wording.finding_rows(draft),
        *wording.similar_rows(draft),
        *wording.provenance_rows(draft, stands),
        *((passage.text, passage.mark or "") for passage in found),
    ]
    return "".join("".join(row) for row in rows)


def _heading(document: FPDF, text: str, size: float = 11) -> None:
    if document.will_page_break(24):
        document.add_page()
    document.ln(2)
    document.set_font(FAMILY, "B", size)
    document.multi_cell(0, size / 2, text, align="L", new_x="LMARGIN", new_y="NEXT")
    document.ln(1)


def _paragraph(document: FPDF, text: str, note: bool = False) -> None:
    document.set_font(FAMILY, size=7.5 if note else 9.5)
    document.set_text_color(*(GREY if note else BLACK))
    document.multi_cell(0, 4 if note else 5, text, align="L", new_x="LMARGIN", new_y="NEXT")
    document.set_text_color(*BLACK)
    document.ln(1.5)


def _lines(document: FPDF, rows: Iterable[tuple[str, str]]) -> None:
    for name, value in rows:
        _pen(document, "B", 8)
        document.write(4.5, f"{name}: ")
        _pen(document, "", 8)
        document.write(4.5, value)
        document.ln()
    document.ln(1.5)


def _prose(document: FPDF, found: Sequence[Passage]) -> None:
    """What the scores contradict is red and underlined; every mark stands in bold behind its sentence."""
    marked = False
    for passage in found or (Passage("(The draft holds no text.)"),):
        words = passage.text.rstrip()
        if marked and not passage.text[:1].isspace():
            document.write(5.5, " ")
        marked = bool(passage.mark)
        _pen(document, "U" if passage.contradicted else "", 10)
        document.set_text_color(*(RED if passage.contradicted else BLACK))
        document.write(5.5, words)
        if passage.mark:
            _pen(document, "B", 8.5)
            document.set_text_color(*RED)
            document.write(5.5, f" {passage.mark}")
        _pen(document, "", 10)
        document.write(5.5, passage.text[len(words) :])
    document.set_text_color(*BLACK)
    document.ln(8)


def _pen(document: FPDF, style: str, size: float) -> None:
    """Set the font even where fpdf2 considers it set: after a fragment in the fallback font the page
    continues in the font before that.
    """
    document.set_font(FAMILY, style, size + 1)
    document.set_font(FAMILY, style, size)


def _tables(document: FPDF, draft: Draft) -> None:
    _heading(document, "Scores of findings")
    rows = wording.finding_rows(draft)
    if rows:
        head = ("Finding", "Reading", "Probability", "Source", "Image")
        _table(document, [head, *rows], (30, 15, 15, 26, 14))
    else:
        _paragraph(document, "No finding was scored.")
    _paragraph(document, wording.SCORES_NOTE, note=True)
    similar = wording.similar_rows(draft)
    if similar:
        _heading(document, "Similar cases of other patients")
        _table(document, [("Case", "Cosine", "Labels"), *similar], (12, 16, 72))


def _table(document: FPDF, rows: Sequence[Sequence[str]], widths: tuple[int, ...]) -> None:
    document.set_font(FAMILY, size=8)
    layout = "HORIZONTAL_LINES"
    with document.table(
        col_widths=widths, text_align="LEFT", line_height=4.5, padding=(0.6, 1, 0.6, 0), borders_layout=layout
    ) as table:
        for cells in rows:
            row = table.row()
            for text in cells:
                row.cell(text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…")
    document.ln(3)


def _pictures(document: FPDF, draft: Draft, images: PictureSource | None) -> None:
    """Pictures in pairs, each with the findings that it drove; those of the most probable findings first."""
    driving = [(i, wording.driven_by(draft, i)) for i in draft.evidence.images]
    ranked = [image for image, findings in sorted(driving, key=lambda d: -_top(d[1])) if findings]
    shown_images = ranked[:MAX_PICTURES]
    if not shown_images or images is None:
        return
    pictures = images.pictures([image.image_id for image in shown_images])
    _heading(document, "Images that drove the findings")
    left_out = len(ranked) - len(shown_images)
    more = f" {left_out} more images drove findings." if left_out else ""
    _paragraph(document, PICTURES_NOTE + more, note=True)
    cells = [
        (_pixels(picture), _caption(draft, image, picture))
        for picture, image in zip(pictures, shown_images, strict=True)
    ]
    there = [(pixels, text) for pixels, text in cells if pixels is not None]
    for start in range(0, len(there), 2):
        _row(document, there[start : start + 2])
    for pixels, text in cells:
        if pixels is None:
            _paragraph(document, text)


def _pixels(picture: PagePicture) -> NDArray[np.uint8] | None:
    return picture.pixels if isinstance(picture, StoredPreview) else picture


def _row(document: FPDF, cells: Sequence[tuple[NDArray[np.uint8], str]]) -> None:
    width = (document.epw - GAP) / 2
    heights = [min(width * p.shape[0] / p.shape[1], width) for p, _ in cells]
    document.set_font(FAMILY, size=7.5)
    lines = [
        cast(list[str], document.multi_cell(width, 4, text, align="L", dry_run=True, output="LINES"))
        for _, text in cells
    ]
    needed = max(heights) + 2 + 4 * max(len(found) for found in lines)
    if document.will_page_break(needed):
        document.add_page()
        document.set_font(FAMILY, size=7.5)
    top = document.get_y()
    for n, (picture, text) in enumerate(cells):
        left = document.l_margin + n * (width + GAP)
        document.image(_jpeg(picture), left, top, width, max(heights), keep_aspect_ratio=True, alt_text=text)
        document.set_xy(left, top + max(heights) + 1)
        document.multi_cell(width, 4, text, align="L")
    document.set_xy(document.l_margin, top + needed + 2)


def _caption(draft: Draft, image: EvidenceImage, picture: PagePicture) -> str:
    name = wording.image_name(draft, image.image_id).capitalize()
    findings = [
        f"{shown(f.label)[:60]} {wording.PRESENCE[f.present]} ({wording.probability(f)})"
        for f in wording.driven_by(draft, image)
    ]
    most = ", ".join(findings[:6]) + (f" and {len(findings) - 6} more" if len(findings) > 6 else "")
    caption = f"{name}, frame {image.frame + 1}: {most}"
    if picture is None:
        return f"{MISSING_NOTE}. {caption}"
    return f"{caption} {PREVIEW_NOTE}" if isinstance(picture, StoredPreview) else caption


def _jpeg(picture: NDArray[np.uint8]) -> io.BytesIO:
    """A picture small enough for a page."""
    from PIL import Image

    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    buffer.seek(0)
    return buffer


def _top(findings: Sequence[Finding]) -> float:
    return max((finding.probability for finding in findings), default=0.0)


def _pages(stands: Standing, foot: str) -> FPDF:
    """A4, millimetres, with the mark of `stands` across, above and below every page; `foot` is one line.

    DejaVu Sans, which comes with matplotlib, has Latin, Greek, Cyrillic, IPA and most signs. See
    `_add_other_scripts` for the rest.
    """
    from fpdf import FPDF

    class Pages(FPDF):
        def header(self) -> None:
            _header(self, stands, watermark)

        def footer(self) -> None:
            self.set_y(-15)
            self.set_font(FAMILY, size=7)
            self.set_text_color(*GREY)
            line = f"{foot} · page {self.page_no()} of {{nb}}"
            self.cell(0, 4, f"{line} · {stands.mark}" if stands.mark else line, align="C")
            self.set_text_color(*BLACK)

    watermark = _watermark(stands.mark) if stands.mark else None
    document = Pages(format="A4")
    document.c_margin = 0
    document.set_draw_color(*GREY)
    document.set_margins(MARGIN, 12, MARGIN)
    document.set_auto_page_break(True, 20)
    for style, file in (("", "DejaVuSans.ttf"), ("B", "DejaVuSans-Bold.ttf")):
        document.add_font(FAMILY, style, _font(file))
    document.set_creation_date(stands.at)
    document.set_lang("en")
    return document


def _add_other_scripts(document: FPDF, text: str) -> bool:
    """Prepare the document for all characters of `text`; True if some will not look as readers expect.

    Characters that DejaVu lacks are shown as boxes that name their script, and can still be copied and
    searched. Right-to-left text is neither joined nor turned around.
    """
    from unicodedata import bidirectional

    from fpdf.fonts import TTFFont

    known = set.intersection(*(set(f.cmap) for f in document.fonts.values() if isinstance(f, TTFFont)))
    lacking = {ord(c) for c in text if not c.isspace()} - known
    if lacking:
        # A table of every code point there is: a second and 200 MB, so only where it is needed.
        document.add_font("LastResort", "", _font("LastResortHE-Regular.ttf"))
        document.set_fallback_fonts(["LastResort"], exact_match=False)
    return bool(lacking) or any(bidirectional(c) in ("R", "AL", "AN") for c in text)


def _header(document: FPDF, stands: Standing, watermark: Image | None) -> None:
    if stands.mark and watermark:
        document.image(watermark, 0, 0, document.w, document.h, keep_aspect_ratio=True)
        document.set_font(FAMILY, "B", 10)
        document.set_fill_color(*RED)
        document.set_text_color(255)
        document.cell(0, 7, stands.mark, align="C", fill=True, new_x="LMARGIN", new_y="NEXT")
    else:
        document.set_font(FAMILY, size=7)
        document.set_text_color(*GREY)
        accepted = f"Drafted by machine, accepted by {stands.by} on {day(stands.at)}"
        document.multi_cell(0, 4, accepted, align="C", new_x="LMARGIN", new_y="NEXT")
    document.set_text_color(*BLACK)
    document.ln(4)


def _watermark(mark: str) -> Image:
    """The mark across a page, as a picture: letters between the lines of the text would split it
    when it is copied or searched.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(_font("DejaVuSans-Bold.ttf"), 64)
    left, top, right, bottom = font.getbbox(mark)
    picture = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8), 255)
    ImageDraw.Draw(picture).text((4 - left, 4 - top), mark, WATERMARK, font)
    return picture.rotate(54, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def _font(file: str) -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/{file}"
