"""The sections of a draft's text, by lines that are a name alone, such as `FINDINGS:`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from medsiglip.medgemma.exports.passages import Passage

HEADING = r"[A-Z][A-Za-z ]{2,30}:"
_FIRST_LINE = re.compile(rf"\s*({HEADING})[ \t]*(?:\n|$)")
# The section of PS3.16 CID 7001 and the element of CID 7002 that it holds, by keywords of pydicom's tables.
_KNOWN: Mapping[str, tuple[str, str]] = {
    "addendum": ("Addendum", "Comment"),
    "conclusion": ("Conclusions", "Conclusion"),
    "conclusions": ("Conclusions", "Conclusion"),
    "findings": ("Findings", "Finding"),
    "history": ("History", "History"),
    "impression": ("Impressions", "Impression"),
    "impressions": ("Impressions", "Impression"),
    "procedure": ("CurrentProcedureDescriptions", "ProcedureDescription"),
    "recommendation": ("Recommendations", "Recommendation"),
    "recommendations": ("Recommendations", "Recommendation"),
    "technique": ("CurrentProcedureDescriptions", "ProcedureDescription"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the text; `name` is its heading as it is written, None of what stands before the first."""

    name: str | None
    passages: list[Passage] = field(default_factory=list)

    @property
    def keywords(self) -> tuple[str | None, str]:
        """The keywords of its code in LOINC, None if it has none, and of the code of what it holds in DCM."""
        return _KNOWN.get((self.name or "findings").lower(), (None, "Comment"))


def sections(found: Sequence[Passage]) -> list[Section]:
    """The text by sections, in its order, without those that hold nothing."""
    result = [Section(None)]
    for passage in found:
        text = passage.text
        while heading := _FIRST_LINE.match(text):
            result.append(Section(heading[1].removesuffix(":").strip()))
            text = text[heading.end() :]
        if text.strip():
            result[-1].passages.append(replace(passage, text=text))
    return [section for section in result if section.passages]
