"""A4 pages with a structure that assistive software reads: headings, paragraphs, lists, tables, figures.

Whatever is drawn belongs to an element of the structure or is an artifact (PDF/UA-1, ISO 14289-1, 7.1).
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from unicodedata import bidirectional

import numpy as np
from fpdf import FPDF, ViewerPreferences
from fpdf.fonts import TTFFont
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from medsiglip.medgemma.exports.fonts import Fonts, dejavu
from medsiglip.medgemma.exports.standing import Standing, day
from medsiglip.medgemma.exports.tagged_pdf import Element, StructureTree, metadata

RED, GREY, BLACK = (168, 0, 0), (105, 105, 105), (0, 0, 0)
FAMILY = "DejaVu"
MARGIN = 18.0
GAP = 6.0
WATERMARK = 240
PICTURE_PIXELS = 800
# A row must fit a page.
MAX_CELL = 400
_ZERO_WIDTH_SPACE = 0x200B
_HEADING_SIZES = {1: 16.0, 2: 11.0, 3: 9.5}


class Pages(FPDF):
    """Pages in millimetres with the mark of a standing across, above and below each; `foot` is one line."""

    def __init__(self, title: str, stands: Standing, foot: str, fonts: Fonts) -> None:
        super().__init__(format="A4")
        self._stands = stands
        self._foot = foot
        # Fonts have no glyph of these spaces, and words would run together.
        self._stand_ins = {0x09: "    ", 0x1680: " ", 0x3000: " ", **(fonts.stand_ins or {})}
        self._tree = StructureTree()
        self.struct_builder = cast(Any, self._tree)
        self._open: list[Element] = [self._tree.document]
        self._marked: Element | None = None
        self._watermark = _watermark(stands.mark) if stands.mark else None
        self.c_margin = 0
        self.set_draw_color(*GREY)
        self.set_margins(MARGIN, 12, MARGIN)
        self.set_auto_page_break(True, 20)
        self._add_fonts(fonts)
        self.set_creation_date(stands.at)
        self.set_lang("en")
        self.set_title(title)
        self.set_xmp_metadata(metadata(title))
        self.viewer_preferences = ViewerPreferences(display_doc_title=True)

    def _add_fonts(self, fonts: Fonts) -> None:
        self.add_font(FAMILY, "", dejavu("DejaVuSans.ttf"))
        self.add_font(FAMILY, "B", dejavu("DejaVuSans-Bold.ttf"))
        names = [f"other{number}" for number in range(len(fonts.files))]
        for name, file in zip(names, fonts.files, strict=True):
            self.add_font(name, "", file)
        if names:
            self.set_fallback_fonts(names, exact_match=False)
        if fonts.shaped:
            self.set_text_shaping(True)

    def written(self) -> bytes:
        """The file."""
        for font in self.fonts.values():
            for glyph, _ in font.subset.items() if isinstance(font, TTFFont) else ():
                if glyph is not None and glyph.unicode == ():
                    # A further glyph of a letter, whose first has the character; each must have one
                    # (PDF/UA-1, 7.21.7).
                    glyph.unicode = (_ZERO_WIDTH_SPACE,)
        return bytes(self.output())

    @contextmanager
    def element(self, kind: str, attributes: str = "") -> Iterator[None]:
        """What is added within is a descendant of a new element of that standard type."""
        self._open.append(self._tree.add(kind, self._open[-1], attributes=attributes))
        yield
        self._open.pop()

    @contextmanager
    def content(
        self, kind: str, text: str = "", alternative: str | None = None, attributes: str = ""
    ) -> Iterator[None]:
        """What is drawn within is the content of a new element, over the end of a page, too. `text` is what
        it says: of joined or reordered letters, the glyphs do not tell it.
        """
        actual = text if self.text_shaping else None
        element = self._tree.add(kind, self._open[-1], alternative, actual, attributes)
        self._begin(element)
        yield
        self._end()

    @contextmanager
    def artifact(self, kind: str = "Layout") -> Iterator[None]:
        """What is drawn within is no content, such as lines and page numbers (ISO 32000-1, 14.8.2.2)."""
        self._out(f"/Artifact <</Type /{kind}>> BDC")
        yield
        self._out("EMC")

    def _begin(self, element: Element) -> None:
        number = self._tree.mark(element, self.page)
        self.pages[self.page].struct_parents = self.page
        self._out(f"/{element.kind} <</MCID {number}>> BDC")
        self._marked = element

    def _end(self) -> None:
        self._out("EMC")
        self._marked = None

    def add_page(self, *args: Any, **kwargs: Any) -> None:
        """Content that goes over the end of a page is two stretches of one element."""
        marked = self._marked
        if marked:
            self._end()
        super().add_page(*args, **kwargs)
        if marked:
            self._begin(marked)

    def normalize_text(self, text: str) -> str:
        """Text as these pages write it."""
        return super().normalize_text(text.translate(self._stand_ins))

    def header(self) -> None:
        """The mark, or who accepted."""
        stands = self._stands
        with self.artifact("Pagination"):
            if stands.mark and self._watermark:
                self.image(self._watermark, 0, 0, self.w, self.h, keep_aspect_ratio=True)
                self.set_font(FAMILY, "B", 10)
                self.set_fill_color(*RED)
                self.set_text_color(255)
                self.cell(0, 7, stands.mark, align="C", fill=True, new_x="LMARGIN", new_y="NEXT")
            else:
                self.set_font(FAMILY, size=7)
                self.set_text_color(*GREY)
                accepted = f"Drafted by machine, accepted by {stands.by} on {day(stands.at)}"
                if stands.superseded_by:
                    self.set_font(FAMILY, "B", 8)
                    self.set_text_color(*RED)
                    accepted = f"SUPERSEDED BY REPORT {stands.superseded_by} · {accepted}"
                self.multi_cell(0, 4, accepted, align="C", new_x="LMARGIN", new_y="NEXT")
            self.set_text_color(*BLACK)
        self.ln(4)

    def footer(self) -> None:
        """The draft, the number of the page and the mark."""
        with self.artifact("Pagination"):
            self.set_y(-15)
            self.set_font(FAMILY, size=7)
            self.set_text_color(*GREY)
            line = f"{self._foot} · page {self.page_no()} of {{nb}}"
            self.cell(0, 4, f"{line} · {self._stands.mark}" if self._stands.mark else line, align="C")
            self.set_text_color(*BLACK)

    def pen(self, style: str, size: float) -> None:
        """Set the font even where fpdf2 considers it set: after a fragment in another font the page continues
        in the font before that.
        """
        self.set_font(FAMILY, style, size + 1)
        self.set_font(FAMILY, style, size)

    def heading(self, text: str, level: int = 2, keep: float = 12) -> None:
        """A heading, of level 1 for the title, on the page of what is below it, `keep` mm high."""
        if self.will_page_break(12 + keep):
            self.add_page()
        self.ln(2)
        size = _HEADING_SIZES[level]
        with self.content(f"H{level}", text):
            self.set_font(FAMILY, "B", size)
            self.multi_cell(0, size / 2, text, align="L", new_x="LMARGIN", new_y="NEXT")
        self.ln(1)

    def paragraph(
        self,
        text: str,
        size: float = 9.5,
        style: str = "",
        colour: tuple[int, int, int] = BLACK,
        kind: str = "P",
    ) -> None:
        """A paragraph, or another block of text, from the right where it is written so."""
        align = "R" if is_right_to_left(text) else "L"
        with self.content(kind, text):
            self.pen(style, size)
            self.set_text_color(*colour)
            height = size / 2 + (0.5 if size > 8 else 0.25)
            self.multi_cell(0, height, text, align=align, new_x="LMARGIN", new_y="NEXT")
            self.set_text_color(*BLACK)
        self.ln(1.5)

    def note(self, text: str) -> None:
        """A paragraph in small grey letters."""
        self.paragraph(text, 7.5, colour=GREY)

    def pairs(self, rows: Sequence[tuple[str, str]]) -> None:
        """A list of names with their values."""
        if not rows:
            return
        with self.element("L"):
            for name, value in rows:
                with self.element("LI"), self.content("LBody", f"{name}: {value}"):
                    self.pen("B", 8)
                    self.write(4.5, f"{name}: ")
                    self.pen("", 8)
                    self.write(4.5, value)
                self.ln()
        self.ln(1.5)

    def bullets(self, texts: Sequence[str]) -> None:
        """A list of sentences."""
        if not texts:
            return
        with self.element("L"):
            for text in texts:
                with self.element("LI"), self.content("LBody", text):
                    self.pen("", 8.5)
                    self.write(4.5, f"– {text}")
                self.ln()
        self.ln(1.5)

    def grid(self, rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
        """A table whose first row is its heading, again above the rows of each further page; `widths` are
        shares of the width.
        """
        measures = [self.epw * width / sum(widths) for width in widths]
        with self.element("Table"):
            for number, row in enumerate(rows):
                height = self._row_height(row, measures, bold=number == 0)
                if self.will_page_break(height):
                    self.add_page()
                    if number:
                        with self.artifact():
                            self._row(rows[0], measures, heading=True)
                with self.element("TR"):
                    self._row(row, measures, heading=number == 0, tagged=True)
        self.ln(3)

    def _row(
        self, cells: Sequence[str], measures: Sequence[float], heading: bool, tagged: bool = False
    ) -> None:
        top, left = self.y, self.l_margin
        height = self._row_height(cells, measures, bold=heading)
        attributes = "<</O /Table /Scope /Column>>" if heading else ""
        for text, width in zip(cells, measures, strict=True):
            self.set_xy(left, top + 0.6)
            self.pen("B" if heading else "", 8)
            if tagged:
                with self.content("TH" if heading else "TD", _cut(text), attributes=attributes):
                    self._cell(text, width)
            else:
                self._cell(text, width)
            left += width
        if tagged:
            with self.artifact():
                self.line(self.l_margin, top + height, self.l_margin + self.epw, top + height)
        self.set_xy(self.l_margin, top + height)

    def _cell(self, text: str, width: float) -> None:
        align = "R" if is_right_to_left(text) else "L"
        self.multi_cell(width - 1.5, 4.2, _cut(text), align=align, new_x="RIGHT", new_y="TOP")

    def _row_height(self, cells: Sequence[str], measures: Sequence[float], bold: bool) -> float:
        self.set_font(FAMILY, "B" if bold else "", 8)
        lines = max(len(self._lines(text, width - 1.5)) for text, width in zip(cells, measures, strict=True))
        return 4.2 * max(lines, 1) + 1.6

    def _lines(self, text: str, width: float, height: float = 4.2) -> list[str]:
        found = self.multi_cell(width, height, _cut(text), align="L", dry_run=True, output="LINES")
        return cast(list[str], found)

    def figures_height(self, cells: Sequence[tuple[NDArray[np.uint8], str]], across: int = 2) -> float:
        """The height, in mm, of what `figures` draws."""
        width = self._figure_width(across)
        self.set_font(FAMILY, size=7.5)
        lines = max(len(self._lines(text, width, 4)) for _, text in cells)
        return self._picture_height(cells, width) + 2 + 4 * lines

    def _figure_width(self, across: int) -> float:
        return (self.epw - (across - 1) * GAP) / across

    def _picture_height(self, cells: Sequence[tuple[NDArray[np.uint8], str]], width: float) -> float:
        return max(min(width * float(p.shape[0] / p.shape[1]), width) for p, _ in cells)

    def figures(self, cells: Sequence[tuple[NDArray[np.uint8], str]], across: int = 2) -> None:
        """Pictures, uint8 [height, width, 3], side by side with their captions, which say what they show; at
        most as many as there is room for `across` the page.
        """
        width = self._figure_width(across)
        height = self._picture_height(cells, width)
        needed = self.figures_height(cells, across)
        if self.will_page_break(needed):
            self.add_page()
        top = self.y
        for number, (picture, text) in enumerate(cells):
            left = self.l_margin + number * (width + GAP)
            corners = [self.k * v for v in (left, self.h - top - height, left + width, self.h - top)]
            box = " ".join(f"{value:.2f}" for value in corners)
            attributes = f"<</O /Layout /Placement /Block /BBox [{box}]>>"
            with self.content("Figure", alternative=text, attributes=attributes):
                self.image(_jpeg(picture), left, top, width, height, keep_aspect_ratio=True)
            with self.content("P", _cut(text)):
                self.pen("", 7.5)
                self.set_xy(left, top + height + 1)
                self.multi_cell(width, 4, _cut(text), align="L")
        self.set_xy(self.l_margin, top + needed + 2)


def is_right_to_left(text: str) -> bool:
    """Whether a paragraph begins at the right: by its first letter (Unicode Annex 9, P2 and P3)."""
    for character in text:
        direction = bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 1]}…"


def _jpeg(picture: NDArray[np.uint8]) -> io.BytesIO:
    """A picture small enough for a page."""
    image = Image.fromarray(picture)
    image.thumbnail((PICTURE_PIXELS, PICTURE_PIXELS))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    buffer.seek(0)
    return buffer


def _watermark(mark: str) -> Image.Image:
    """The mark across a page, as a picture: letters between the lines of the text would split it
    when it is copied or searched.
    """
    font = ImageFont.truetype(str(dejavu("DejaVuSans-Bold.ttf")), 64)
    left, top, right, bottom = font.getbbox(mark)
    picture = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8), 255)
    ImageDraw.Draw(picture).text((4 - left, 4 - top), mark, WATERMARK, font)
    return picture.rotate(54, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
