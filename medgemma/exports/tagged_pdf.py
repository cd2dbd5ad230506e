"""The structure of a tagged PDF (ISO 32000-1, 14.7 and 14.8), as PDF/UA-1 (ISO 14289-1) asks for it.

fpdf2 tags pictures alone; these objects take the place of its structure tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fpdf.syntax import PDFObject, PDFString


class MarkedContent:
    """A stretch of the content of one page, which belongs to an element; `pg` is set when fpdf2 writes."""

    def __init__(self, page: int, number: int) -> None:
        self._page = page
        self._number = number
        self.pg: Any = None

    def page_number(self) -> int:
        """From 1, as fpdf2 asks for it."""
        return self._page

    def serialize(self) -> str:
        """A marked-content reference dictionary (14.7.4.2)."""
        return f"<</Type /MCR /Pg {self.pg.ref} /MCID {self._number}>>"


class Element(PDFObject):
    """An element of the structure tree with a standard type (14.8.4), such as `Document`, `P` or `Table`.

    `alternative` describes a picture, `actual` is the text where its letters are not those of the glyphs
    one by one (14.9.3, 14.9.4); `attributes` are attribute objects (14.8.5) as PDF writes them.
    """

    def __init__(
        self,
        kind: str,
        parent: PDFObject,
        alternative: str | None = None,
        actual: str | None = None,
        attributes: str = "",
    ) -> None:
        super().__init__()
        self.kind = kind
        self.children: list[Element | MarkedContent] = []
        self._parent = parent
        self._alternative = alternative
        self._actual = actual
        self._attributes = attributes

    def serialize(self, obj_dict: Any = None, _security_handler: Any = None) -> str:
        """The element as an indirect object."""
        kids = " ".join(c.ref if isinstance(c, Element) else c.serialize() for c in self.children)
        entries: dict[str, object] = {
            "/Type": "/StructElem",
            "/S": f"/{self.kind}",
            "/P": self._parent.ref,
            "/K": f"[{kids}]",
        }
        if self._alternative:
            entries["/Alt"] = PDFString(self._alternative).serialize()
        if self._actual:
            entries["/ActualText"] = PDFString(self._actual).serialize()
        if self._attributes:
            entries["/A"] = self._attributes
        return super().serialize(entries)


class StructureTree(PDFObject):
    """The root of the tree with one `Document`, and which element each marked content belongs to (14.7.4.4).

    `doc_struct_elem`, `empty` and the iteration are what fpdf2 asks of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.document = Element("Document", self)
        self.doc_struct_elem = _Contents()
        self._elements = [self.document]
        self._parents: dict[int, list[Element]] = {}

    def add(
        self,
        kind: str,
        parent: Element,
        alternative: str | None = None,
        actual: str | None = None,
        attributes: str = "",
    ) -> Element:
        """A new last child of `parent`."""
        element = Element(kind, parent, alternative, actual, attributes)
        parent.children.append(element)
        self._elements.append(element)
        return element

    def mark(self, element: Element, page: int) -> int:
        """The number, within its page, of a new stretch of content that belongs to the element."""
        parents = self._parents.setdefault(page, [])
        content = MarkedContent(page, len(parents))
        parents.append(element)
        element.children.append(content)
        self.doc_struct_elem.k.append(content)
        return len(parents) - 1

    def empty(self) -> bool:
        """Never, as a page holds text."""
        return False

    def __iter__(self) -> Iterator[PDFObject]:
        yield self
        yield from self._elements

    def serialize(self, obj_dict: Any = None, _security_handler: Any = None) -> str:
        """The root as an indirect object. A page's StructParents is its number."""
        numbers = " ".join(
            f"{page} [{' '.join(element.ref for element in elements)}]"
            for page, elements in sorted(self._parents.items())
        )
        return super().serialize(
            {
                "/Type": "/StructTreeRoot",
                "/K": f"[{self.document.ref}]",
                "/ParentTree": f"<</Nums [{numbers}]>>",
                "/ParentTreeNextKey": str(max(self._parents, default=0) + 1),
            }
        )


class _Contents:
    def __init__(self) -> None:
        self.k: list[MarkedContent] = []


def metadata(title: str) -> str:
    """XMP that names the title and says that the file is PDF/UA-1 (ISO 14289-1, 5 and 7.1)."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">'
        "<pdfuaid:part>1</pdfuaid:part>"
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{escape(title)}</rdf:li></rdf:Alt></dc:title>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
