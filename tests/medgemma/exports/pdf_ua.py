"""What PDF/UA-1 (ISO 14289-1, by the Matterhorn Protocol 1.1) asks of a file and a program can judge.

It reads with pypdf, not with what wrote the file. Fonts, reading order and tables are judged; links, forms,
annotations and media, which these files lack, are refused.
"""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass, field
from typing import Any

from pypdf import PdfReader
from pypdf.generic import ContentStream

# Children that an element may have (ISO 32000-1, 14.8.4); `None` stands for content.
_CHILDREN: dict[str, set[str | None]] = {
    "Document": {"H1", "H2", "H3", "P", "L", "Table", "Figure"},
    "H1": {None},
    "H2": {None},
    "H3": {None},
    "P": {None},
    "L": {"LI"},
    "LI": {"LBody"},
    "LBody": {None},
    "Table": {"TR"},
    "TR": {"TH", "TD"},
    "TH": {None},
    "TD": {None},
    "Figure": {None},
}
_DRAWS = {
    b"Tj",
    b"TJ",
    b"'",
    b'"',
    b"Do",
    b"S",
    b"s",
    b"f",
    b"F",
    b"f*",
    b"B",
    b"B*",
    b"b",
    b"b*",
    b"sh",
    b"BI",
    b"INLINE IMAGE",
}


@dataclass
class Element:
    """An element of the structure tree; a child is an element or (page, number) of marked content."""

    kind: str
    alternative: str | None
    actual: str | None
    attributes: dict[str, Any]
    children: list[Element | tuple[int, int]] = field(default_factory=list)

    def contents(self) -> list[tuple[int, int]]:
        """Marked content of the element and all below, in reading order."""
        found = []
        for child in self.children:
            found += child.contents() if isinstance(child, Element) else [child]
        return found

    def all(self, kind: str) -> list[Element]:
        """The elements of a kind, this one and all below, in reading order."""
        below = [one for c in self.children if isinstance(c, Element) for one in c.all(kind)]
        return [self, *below] if self.kind == kind else below


class TaggedPdf:
    """A file with its structure; `problems` are the ways in which it is not PDF/UA-1."""

    def __init__(self, content: bytes) -> None:
        self.reader = PdfReader(io.BytesIO(content))
        trailer: Any = self.reader.trailer
        self.catalog = trailer["/Root"]
        self._pages = {page.indirect_reference.idnum: n for n, page in enumerate(self.reader.pages)}  # type: ignore[union-attr]
        self.problems: list[str] = []
        self.tree: Any = self.catalog["/StructTreeRoot"]
        [root] = self.tree["/K"]
        self.document = self._element(root.get_object(), root.get_object()["/P"].get_object())
        self._check_catalog()
        self._check_tree()
        self._check_contents()
        self._check_fonts()

    def text(self, element: Element) -> str:
        """What an element says: its actual text, or through the fonts' ToUnicode."""
        if element.actual:
            return element.actual
        return "".join(self._said.get(place, "") for place in element.contents())

    def _element(self, node: Any, parent: Any) -> Element:
        if node["/P"].get_object() is not parent and node["/P"].get_object() != parent:
            self.problems.append(f"the parent of {node['/S']} is another")
        attributes = node.get("/A", {})
        attributes = dict(attributes.get_object()) if attributes else {}
        found = Element(node["/S"][1:], node.get("/Alt"), node.get("/ActualText"), attributes)
        for kid in node["/K"]:
            kid = kid.get_object()
            if kid.get("/Type") == "/MCR":
                found.children.append((self._pages[kid.raw_get("/Pg").idnum], int(kid["/MCID"])))
            else:
                found.children.append(self._element(kid, node))
        return found

    def _check_catalog(self) -> None:
        if (
            self.catalog["/MarkInfo"].get("/Marked") is not True
            and str(self.catalog["/MarkInfo"]["/Marked"]) != "True"
        ):
            self.problems.append("not marked as tagged (6.1)")
        if not self.catalog.get("/Lang"):
            self.problems.append("no language (11-006)")
        if str(self.catalog["/ViewerPreferences"].get("/DisplayDocTitle")).lower() != "true":
            self.problems.append("the title is not shown (07-002)")
        xmp = self.catalog["/Metadata"].get_object().get_data().decode()
        if not re.search(r"<pdfuaid:part>1</pdfuaid:part>", xmp):
            self.problems.append("no PDF/UA identifier (06-002)")
        title = re.search(r"<dc:title>.*?<rdf:li[^>]*>(.+?)</rdf:li>", xmp)
        if not title or not self.reader.metadata or not self.reader.metadata.title:
            self.problems.append("no title (06-003)")
        if any(key in self.catalog for key in ("/AcroForm", "/OCProperties", "/Names", "/AA")):
            self.problems.append("forms, layers, files or actions")
        if any("/Annots" in page for page in self.reader.pages):
            self.problems.append("annotations")

    def _check_tree(self) -> None:
        self._check_element(self.document)
        levels = [int(kind[1]) for kind in self._kinds(self.document) if re.fullmatch(r"H\d", kind)]
        if levels[:1] != [1] or any(b > a + 1 for a, b in itertools.pairwise(levels)):
            self.problems.append(f"levels of headings {levels} (14-003)")
        for figure in self.document.all("Figure"):
            if not figure.alternative or not figure.alternative.strip():
                self.problems.append("a figure without alternative (13-004)")
            if len(figure.attributes.get("/BBox", ())) != 4:
                self.problems.append("a figure without its box")
        for table in self.document.all("Table"):
            self._check_table(table)

    def _check_table(self, table: Element) -> None:
        rows = [[cell for cell in row.children if isinstance(cell, Element)] for row in table.all("TR")]
        if len({len(row) for row in rows}) != 1:
            self.problems.append("rows of a table differ in their cells (15-003)")
        if {cell.kind for cell in rows[0]} != {"TH"} or {c.kind for row in rows[1:] for c in row} - {"TD"}:
            self.problems.append("a table whose first row alone does not head it")
        if any(cell.attributes.get("/Scope") != "/Column" for cell in table.all("TH")):
            self.problems.append("a heading of a table without scope (15-003)")

    def _check_element(self, element: Element) -> None:
        allowed = _CHILDREN.get(element.kind)
        if allowed is None:
            self.problems.append(f"{element.kind} is no known element (02-001)")
            return
        if not element.children:
            self.problems.append(f"{element.kind} is empty")
        for child in element.children:
            kind = child.kind if isinstance(child, Element) else None
            if kind not in allowed:
                self.problems.append(f"{element.kind} holds {kind} (09-004)")
            if isinstance(child, Element):
                self._check_element(child)

    def _kinds(self, element: Element) -> list[str]:
        below = [k for c in element.children if isinstance(c, Element) for k in self._kinds(c)]
        return [element.kind, *below]

    def _check_contents(self) -> None:
        """All content is marked, once, and belongs to the element that the parent tree names (01-005 ff)."""
        self._said: dict[tuple[int, int], str] = {}
        self._unmapped: set[tuple[int, int]] = set()
        seen = []
        pages: list[Any] = list(self.reader.pages)
        for number, page in enumerate(pages):
            seen += self._check_page(number, page)
        if sorted(seen) != sorted(self.document.contents()):
            self.problems.append("marked content and structure tree differ")
        if self.document.contents() != sorted(self.document.contents()):
            self.problems.append("the reading order is not the order of the pages")
        nums = list(self.tree["/ParentTree"]["/Nums"])
        parents = {int(nums[n]): nums[n + 1] for n in range(0, len(nums), 2)}
        for element, (number, place) in self._owners(self.document):
            owner = parents[int(pages[number]["/StructParents"])][place].get_object()
            if (number, place) in self._unmapped and not element.actual:
                self.problems.append(f"a glyph of {element.kind} has no character (10-001)")
            if owner["/S"][1:] != element.kind:
                self.problems.append(f"the parent tree has {owner['/S']} for {element.kind} (01-006)")

    def _owners(self, element: Element) -> list[tuple[Element, tuple[int, int]]]:
        found = []
        for child in element.children:
            found += self._owners(child) if isinstance(child, Element) else [(element, child)]
        return found

    def _check_page(self, number: int, page: Any) -> list[tuple[int, int]]:
        fonts = {
            name: _to_unicode(font.get_object()) for name, font in page["/Resources"].get("/Font", {}).items()
        }
        stack: list[int | None] = []
        seen, font = [], {}
        for operands, operator in ContentStream(page.get_contents(), self.reader).operations:
            if operator == b"BDC":
                stack.append(None if operands[0] == "/Artifact" else int(operands[1]["/MCID"]))
                if stack[-1] is not None:
                    seen.append((number, stack[-1]))
                if len(stack) > 1:
                    self.problems.append("content is marked twice (01-003)")
            elif operator == b"EMC":
                stack.pop()
            elif operator == b"Tf":
                font = fonts[operands[0]]
            elif operator in _DRAWS:
                if not stack:
                    self.problems.append(f"{operator.decode()} on page {number + 1} is not marked (01-005)")
                elif stack[-1] is not None and operator in (b"Tj", b"TJ"):
                    place = (number, stack[-1])
                    self._said[place] = self._said.get(place, "") + self._decoded(operands[0], font, place)
        if stack:
            self.problems.append("marked content does not end")
        return seen

    def _decoded(self, shown: Any, font: dict[int, str], place: tuple[int, int]) -> str:
        pieces = shown if isinstance(shown, list) else [shown]
        text = ""
        for piece in pieces:
            if hasattr(piece, "original_bytes"):
                raw = piece.original_bytes
            elif isinstance(piece, bytes):
                raw = piece
            else:
                continue
            for at in range(0, len(raw), 2):
                glyph = int.from_bytes(raw[at : at + 2], "big")
                if glyph == 0:
                    self.problems.append("a glyph that is not there is shown (31-030)")
                if glyph not in font:
                    self._unmapped.add(place)
                text += font.get(glyph, "")
        return text

    def _check_fonts(self) -> None:
        pages: list[Any] = list(self.reader.pages)
        for page in pages:
            for font in page["/Resources"].get("/Font", {}).values():
                [descendant] = font.get_object()["/DescendantFonts"]
                descriptor = descendant.get_object()["/FontDescriptor"].get_object()
                if not {"/FontFile2", "/FontFile3"} & set(descriptor):
                    self.problems.append("a font is not embedded (31-009)")
                if "/FontFile2" in descriptor and "/CIDToGIDMap" not in descendant.get_object():
                    self.problems.append("no CIDToGIDMap (31-006)")


def _to_unicode(font: Any) -> dict[int, str]:
    """The characters of each glyph by the font's ToUnicode (ISO 32000-1, 9.10.3)."""
    text = font["/ToUnicode"].get_object().get_data().decode()
    found = {}
    for block in re.findall(r"beginbfchar(.*?)endbfchar", text, re.DOTALL):
        for glyph, characters in re.findall(r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]*)>", block):
            found[int(glyph, 16)] = bytes.fromhex(characters).decode("utf-16-be")
    for block in re.findall(r"beginbfrange(.*?)endbfrange", text, re.DOTALL):
        for first, last, start in re.findall(
            r"<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>\s*<([0-9A-Fa-f]+)>", block
        ):
            for step in range(int(last, 16) - int(first, 16) + 1):
                code = int(start, 16) + step
                found[int(first, 16) + step] = chr(code)
    return found
