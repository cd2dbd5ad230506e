"""Which part of the body a series and a study show: header, description and the encoder's look together.

Header and description are what people and devices wrote; either may be wrong or missing. What agrees is kept,
the narrower of the two. Where any two disagree the part is not known, and a person is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from medsiglip.regions.vocabulary import (
    UNKNOWN,
    Regions,
    agree,
    in_words,
    region_of_modality,
    regions_in_words,
    regions_of_body_part,
)

_RADIOGRAPHS = frozenset({"CR", "DX", "RG", "RF", "XR"})


@dataclass(frozen=True, slots=True)
class SeriesRegion:
    """The regions that a series may show, none if unknown; `also` is one that its modality adds, such as the
    skin of a photograph. `conflict` is a sentence where the witnesses disagree.
    """

    regions: Regions = UNKNOWN
    also: Regions = UNKNOWN
    conflict: str | None = None

    @property
    def fitting(self) -> Regions:
        """The regions that something made for one of them fits."""
        return self.regions | self.also

    def with_look(self, looked: Regions) -> SeriesRegion:
        """The same with the encoder's strong look, which decides where nothing else is known."""
        if self.conflict or not looked or self.also:
            return self
        if not self.regions:
            return replace(self, regions=looked)
        if agree(self.regions, looked):
            return self
        return replace(
            self,
            regions=UNKNOWN,
            conflict=_conflict(("header or description", self.regions), ("the picture itself", looked)),
        )


def written_region(
    modality: str | None, body_part: str | None, series_description: str | None, study_description: str | None
) -> SeriesRegion:
    """The region of a series as header and descriptions give it. A series' own description takes precedence
    over that of the study, which may name the parts of its other series as well.
    """
    header = regions_of_body_part(body_part)
    described = regions_in_words(series_description) or regions_in_words(study_description)
    of_modality = region_of_modality(modality)
    if of_modality is not None and not of_modality.exclusive:
        # The part that skin or tissue is from, which a description of both may name twice.
        return SeriesRegion(header or described, frozenset((of_modality.region,)))
    if of_modality is not None:
        own = frozenset((of_modality.region,))
        for name, said in (("Body Part Examined", header), ("the description", described)):
            if said and not agree(said, own):
                return SeriesRegion(conflict=_conflict((f"the modality {modality}", own), (name, said)))
        return SeriesRegion(own)
    if header and described and _apart(modality, header, described):
        return SeriesRegion(
            conflict=_conflict(("Body Part Examined", header), ("the description", described))
        )
    return SeriesRegion(header & described or header or described)


def _apart(modality: str | None, header: Regions, described: Regions) -> bool:
    """Whether header and description cannot be of the same pictures. A radiograph shows the one part that it
    was taken of, and a wrong default in its header names a neighbour as often as any other; a series of
    slices may begin in the one part and end in the other.
    """
    if (modality or "").strip().upper() in _RADIOGRAPHS:
        return header.isdisjoint(described)
    return not agree(header, described)


@dataclass(frozen=True, slots=True)
class StudyRegion:
    """The regions of a study's series, by the row id of the series, and the conflict of one of them."""

    series: dict[int, SeriesRegion]

    @property
    def regions(self) -> Regions:
        """All regions of its series, those of modalities only where nothing else is known."""
        found = _union(one.regions for one in self.series.values())
        return found or _union(one.also for one in self.series.values())

    @property
    def conflict(self) -> str | None:
        """The first conflict of its series."""
        return next((one.conflict for one in self.series.values() if one.conflict), None)


def _union(sets: Iterable[Regions]) -> Regions:
    return frozenset().union(*sets)


def _conflict(one: tuple[str, Sequence[str] | Regions], other: tuple[str, Sequence[str] | Regions]) -> str:
    (first, said), (second, contrary) = one, other
    first = first[0].upper() + first[1:]
    return (
        f"{first} says {in_words(said)}, and {second} says {in_words(contrary)}: nothing is scored. "
        "Correct Body Part Examined or the description where the study comes from, forget it here and ingest "
        "it again."
    )
