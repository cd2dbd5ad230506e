"""Kinds of report: what each is called, what its pictures are, and the order of its organs
(`report_kinds/*.toml`).

The fields of a file:
    title         what a picture of this kind is called
    of_part       whether the part of the body follows the title: "Radiograph of the foot"
    side_of       the paired organ that follows the title where a header names the side: "of the left eye"
    unit          what its pictures are called: view, slice, image, field
    modalities    DICOM modalities that it fits; of all if it is left out
    regions       parts of the body that it fits; all if it is left out
    organs        the organs in the order of the report, each with its heading
    limitations   sentences about what a score of such a picture cannot say
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from medsiglip.medgemma.narrative.pictures import part_in_words
from medsiglip.medgemma.records import Evidence


@dataclass(frozen=True, slots=True)
class ReportKind:
    """One kind of report; `organs` are the headings by organ, in the order of the report."""

    name: str
    title: str
    unit: str
    organs: Mapping[str, str]
    of_part: bool = False
    side_of: str = ""
    modalities: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    limitations: tuple[str, ...] = ()


def kind_of(evidence: Evidence) -> ReportKind:
    """The kind that fits modality and part of the body, the one with the narrower fit first."""
    modality, part = (evidence.modality or "").strip().upper(), part_in_words(evidence)
    fitting = [
        kind
        for kind in report_kinds()
        if (not kind.modalities or modality in kind.modalities) and (not kind.regions or part in kind.regions)
    ]
    return max(fitting, key=lambda kind: (bool(kind.modalities), bool(kind.regions)))


def title_of(evidence: Evidence, kind: ReportKind, side: str = "") -> str:
    """What the pictures are called: `Chest radiograph`, `Radiograph of the left foot`; `side` is `left`,
    `right` or "" where none is known.
    """
    part = part_in_words(evidence) if kind.of_part else kind.side_of if side else ""
    return f"{kind.title} of the {' '.join(filter(None, (side, part)))}" if part else kind.title


@cache
def report_kinds() -> tuple[ReportKind, ...]:
    """The bundled kinds, by name."""
    return tuple(_read())


def _read() -> Iterator[ReportKind]:
    folder = resources.files("medsiglip.medgemma") / "report_kinds"
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    for file in files:
        fields = tomllib.loads(file.read_text(encoding="utf-8"))
        yield ReportKind(
            file.name.removesuffix(".toml"),
            fields["title"],
            fields["unit"],
            dict(fields["organs"]),
            fields.get("of_part", False),
            fields.get("side_of", ""),
            frozenset(fields.get("modalities", ())),
            frozenset(fields.get("regions", ())),
            tuple(fields.get("limitations", ())),
        )
