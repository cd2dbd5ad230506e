"""Codes of findings in SNOMED CT and RadLex (`terms/codes.toml`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from medsiglip.medgemma.narrative.nouns import name_of, terms

Scheme = Literal["SCT", "RADLEX"]
SCHEMES: Mapping[Scheme, str] = {"SCT": "http://snomed.info/sct", "RADLEX": "http://radlex.org"}
"""The URI of each coding scheme by its designator, from DICOM PS3.16 table 8-1."""


@dataclass(frozen=True, slots=True)
class Code:
    """A code with the designator of its scheme (PS3.16 table 8-1) and the scheme's meaning of it."""

    scheme: Scheme
    value: str
    meaning: str

    @property
    def system(self) -> str:
        """The URI of the scheme, as in FHIR."""
        return SCHEMES[self.scheme]


def code_of(label: str, source: str = "") -> Code | None:
    """The code of a score's label or a finding's name: SNOMED CT's if it has one, else RadLex's, or None."""
    return next(iter(codes_of(label, source)), None)


def codes_of(label: str, source: str = "") -> tuple[Code, ...]:
    """All codes of a label, SNOMED CT first; `source` is that of the score, such as `prompts:NAME`."""
    names = (
        name_of(label, source) or "",
        " ".join(label.lower().replace("-", " ").replace("_", " ").split()),
    )
    return next((_codes()[name] for name in names if name in _codes()), ())


@cache
def _codes() -> Mapping[str, tuple[Code, ...]]:
    found: dict[str, tuple[Code, ...]] = {}
    data = terms("codes")
    for scheme in SCHEMES:
        for name, fields in data[scheme].items():
            found[name] = (*found.get(name, ()), Code(scheme, fields["value"], fields["meaning"]))
    return found
