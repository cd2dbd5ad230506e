"""An empty PDF document whose every page says how the draft stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsiglip.medgemma.exports.standing import Standing, day

if TYPE_CHECKING:
    from fpdf import FPDF
    from PIL.Image import Image

RED, GREY, BLACK = (168, 0, 0), (105, 105, 105), (0, 0, 0)
FAMILY = "DejaVu"
MARGIN = 18.0
WATERMARK = 240


def pages(stands: Standing, foot: str) -> FPDF:
    """A4, millimetres, with the mark of `stands` across, above and below every page; `foot` is one line.

    DejaVu Sans, which comes with matplotlib, draws Latin, Greek, Cyrillic, IPA and most signs. See
    `draw_other_scripts` for the rest.
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


def draw_other_scripts(document: FPDF, text: str) -> bool:
    """Ready the document for all characters of `text`; True if it will not draw some as their readers do.

    Characters that DejaVu lacks are drawn as boxes that name their script, and can still be copied and
    searched. Right-to-left text is neither joined nor turned around.
    """
    from unicodedata import bidirectional

    from fpdf.fonts import TTFFont

    known = set.intersection(*(set(f.cmap) for f in document.fonts.values() if isinstance(f, TTFFont)))
    lacking = {ord(c) for c in text if not c.isspace()} - known
    if lacking:
        # A table of every code point there is: a second and 200 MB, so only for those who need it.
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
    """The mark across a page, as a picture: letters that lie between its lines would part the text for who
    copies or searches it.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(_font("DejaVuSans-Bold.ttf"), 64)
    left, top, right, bottom = font.getbbox(mark)
    drawn = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8), 255)
    ImageDraw.Draw(drawn).text((4 - left, 4 - top), mark, WATERMARK, font)
    return drawn.rotate(54, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def _font(file: str) -> str:
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/{file}"
