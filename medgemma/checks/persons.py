"""Names, dates of birth and record numbers of people in a text, which a draft has no reason to hold."""

from __future__ import annotations

import re

_NAME = r"[A-Z][a-z’'-]{1,30}"
_PERSONS = (
    re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\b\.? {_NAME}"),
    re.compile(  # a label before a name
        r"\b(?i:patient(?:'s)? name|name of (?:the )?patient|surname|name|patient):[ \t]{0,4}"
        r"(?!(?i:not|none|unknown|anonym|male|female|is|has|no|n/a)\b)"
        r"[A-Z][A-Za-z’'-]{1,30}[ ,]{1,2}[A-Z][A-Za-z’'-]{1,30}"
    ),
    re.compile(r"\b[A-Za-z’'-]{2,30}\^[A-Za-z’'-]{2,30}"),  # as DICOM writes names (PS3.5 6.2.1)
    re.compile(rf"\b(?i:patient|named) {_NAME} {_NAME}\b"),
    re.compile(
        r"\b(?:DOB|D\.O\.B|date of birth|birth ?date|born)\b\W{0,6}(?:on |in )?(?:[a-z]{3,9}\.? )?\d",
        re.IGNORECASE,
    ),
    re.compile(
        r"\b(?:MRN|medical record(?: number| no)?|patient id|accession(?: number| no)?|SSN|NHS(?: number)?)\b"
        r"\W{0,4}[a-z]{0,4}\d",
        re.IGNORECASE,
    ),
)


def persons_in(text: str) -> tuple[tuple[int, int], ...]:
    """The offsets (start, end) of what names a person or tells one from others, in order."""
    found = [(match.start(), match.end()) for pattern in _PERSONS for match in pattern.finditer(text)]
    return tuple(sorted(found))
