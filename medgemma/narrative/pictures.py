"""Pictures as people name them: a slice by its number in the series, a radiograph by its view."""

from __future__ import annotations

from medsiglip.medgemma.narrative.nouns import terms
from medsiglip.medgemma.records import Evidence, EvidenceImage, EvidenceSeries


def picture_in_words(evidence: Evidence, image_id: int) -> str:
    """`slice 172 of 300`, `series 2, slice 12 of 40`, `posteroanterior view`; "" of a picture not in the
    evidence.

    A series is named by its place in the study where several have pictures, a picture that is none of a
    volume by its view, and else by its place among the pictures of the evidence.
    """
    numbered = list(enumerate(evidence.images, 1))
    found = next(((number, image) for number, image in numbered if image.image_id == image_id), None)
    if found is None:
        return ""
    number, image = found
    series = _series(evidence, image)
    parts = []
    if image.slice_number is not None:
        if len(evidence.series) > 1 and series is not None:
            plane = f" ({series.orientation})" if series.orientation else ""
            parts.append(f"series {evidence.series.index(series) + 1}{plane}")
        of = f" of {image.slice_count}" if image.slice_count else ""
        parts.append(f"slice {image.slice_number}{of}")
        return ", ".join(parts)
    view = view_in_words(series) if series is not None else ""
    parts += [f"{view} view"] if view else []
    alone = series is not None and series.images == 1
    if not (view and alone):
        parts.append(f"image {number}")
    if image.frame:
        parts.append(f"frame {image.frame + 1}")
    return ", ".join(parts)


def view_in_words(series: EvidenceSeries) -> str:
    """The view of a series, of a mammogram with its side: `right craniocaudal`; "" where no view is known."""
    known = str(terms("views")["views"].get((series.view_position or "").strip().upper(), ""))
    side = side_in_words(series) if series.modality == "MG" else ""
    return f"{side} {known}".strip() if known else ""


def side_in_words(series: EvidenceSeries) -> str:
    """The side that the header of a series names, `left` or `right`, else ""."""
    return str(terms("views")["sides"].get((series.laterality or "").strip().upper(), ""))


def part_in_words(evidence: Evidence) -> str:
    """The part of the body that is shown, "" where it is not known or header and pictures disagree."""
    if evidence.region_conflict:
        return ""
    if evidence.region:
        return evidence.region.strip().lower().replace("_", " ").replace("-", " ")
    part = (evidence.body_part_examined or "").strip()
    known = terms("views")["parts"].get(part.upper().replace(" ", ""))
    return str(known) if known else part.lower()


def _series(evidence: Evidence, image: EvidenceImage) -> EvidenceSeries | None:
    uid = image.series_instance_uid
    return next((one for one in evidence.series if one.series_instance_uid == uid), None)
