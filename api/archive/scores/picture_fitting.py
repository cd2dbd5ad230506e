"""Whether the labels of a prompt set are about a picture file, by its header and by the model's own look.

A picture that the archive has is judged by what the catalogue knows of it; metadata may have told it more
than its file. Of another one modality, part of the body and age come from its header. A plain picture has
none: then the look alone may tell that it shows another part, and nobody that it fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.api.archive.fitting_sources import (
    ANYTHING,
    Fitting,
    fits_of_labels,
    fitting_of_study,
    fitting_warnings,
)
from medsiglip.api.archive.scores.classifiers import prompt_classifier

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.archive.queries import Picture
    from medsiglip.index.catalogue.filter_expression import Term
    from medsiglip.ingest.header.header import Header
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.regions.decision import SeriesRegion
    from medsiglip.regions.vocabulary import Regions
    from medsiglip.zero_shot.prompt_set import PromptSet

_UNKNOWN_MODALITIES = ("", "OT")
Verdict = tuple[bool | None, str]


def fitting_of_pictures(
    archive: OpenedArchive, prompt_set: PromptSet, pictures: Sequence[Picture], path: str
) -> Fitting:
    """Whether labels of a prompt set are about the pictures of the file `path`."""
    from medsiglip.medgemma.fitting import Fits

    fits = fits_of_labels(prompt_set)
    if all(one == Fits() for one in fits.values()):
        return ANYTHING
    image_ids = [one.image_id for one in pictures if one.image_id is not None]
    if len(image_ids) == len(pictures):
        [first, *_] = archive.index.find_image(pictures[0].sop_instance_uid, pictures[0].pixel_hash)
        make = partial(prompt_classifier, archive)
        return fitting_of_study(archive, make, prompt_set, first.study_instance_uid, image_ids)
    header = _header(archive, path)
    if header is None:
        return Fitting(dict.fromkeys(fits))
    shown = _region(archive, header, pictures)
    verdicts: dict[Fits, Verdict] = {}
    for one in fits.values():
        if one not in verdicts:
            verdicts[one] = _verdict(one, header, shown)
    found = {label: verdicts[one][0] for label, one in fits.items()}
    reasons = {label: verdicts[one][1] for label, one in fits.items() if found[label] is not True}
    return Fitting(found, fitting_warnings(f"prompt set {prompt_set.name}", "picture", found, reasons))


def _header(archive: OpenedArchive, path: str) -> Header | None:
    """The header of a picture file; its key for the patient, which any secret makes, is not used."""
    from medsiglip.ingest.files.walk import FoundFile, walk
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.privacy.deidentify import SecretKey

    found = next(iter(walk([path])), None)
    read = archive.rendering_pool.scan(found, SecretKey(bytes(32))) if isinstance(found, FoundFile) else None
    return read if isinstance(read, Header) else None


def _verdict(fits: Fits, header: Header, shown: SeriesRegion) -> Verdict:
    """Whether labels fit, and the reason where they do not or nobody can tell."""
    from medsiglip.regions.vocabulary import in_words

    passes = [_passes(expression, header) for expression in fits.where]
    if False in passes:
        kind = "" if header.modality in _UNKNOWN_MODALITIES else f", which has modality {header.modality}"
        wanted = " and ".join(one for one, found in zip(fits.where, passes, strict=True) if found is False)
        return False, f"it is for {wanted}, and not for this one{kind}."
    if not fits.population.fits(header.patient_age):
        return False, f"it is for patients of {fits.population}, and the age of this one is outside of that."
    if shown.conflict is not None:
        return False, f"{shown.conflict[0].lower()}{shown.conflict[1:]}"
    if fits.regions and shown.fitting and fits.regions.isdisjoint(shown.fitting):
        return False, f"it is for {in_words(fits.regions)}, and this picture shows {in_words(shown.fitting)}."
    if None in passes:
        wanted = " and ".join(one for one, found in zip(fits.where, passes, strict=True) if found is None)
        return None, f"it is for {wanted}, which the file does not tell."
    if fits.regions and not shown.fitting:
        return None, (
            f"it is for {in_words(fits.regions)}, and neither its header nor the picture tells which part of "
            "the body it shows."
        )
    return True, ""


def _passes(expression: str, header: Header) -> bool | None:
    """Whether a picture passes a filter on columns that its header has; None where that is not known."""
    from medsiglip.index.catalogue.filter_expression import read_terms

    passes = [_holds(term, header) for term in read_terms(expression)]
    if True in passes:
        return True
    return None if None in passes else False


def _holds(term: Term, header: Header) -> bool | None:
    parts = term.expression
    known: Mapping[str, str | None] = {
        "modality": None if header.modality in _UNKNOWN_MODALITIES else header.modality,
        "body_part_examined": header.body_part_examined,
        "view_position": header.view_position,
        "laterality": header.laterality,
        "patient_sex": header.patient_sex,
        "photometric_interpretation": header.photometric_interpretation or None,
    }
    value = known.get(parts.name) if parts.kind == "field" else None
    if value is None or parts.operator not in ("=", "!="):
        return None
    is_one = value.upper() in {one.upper() for one in parts.alternatives()}
    asks_for_others = (parts.operator == "!=") != term.negated
    return is_one != asks_for_others


def _region(archive: OpenedArchive, header: Header, pictures: Sequence[Picture]) -> SeriesRegion:
    """The part of the body that header, description and the model's look give, as for a stored series."""
    from medsiglip.regions.decision import written_region
    from medsiglip.regions.vocabulary import UNKNOWN

    written = written_region(
        header.modality, header.body_part_examined, header.series_description, header.study_description
    )
    if written.also or written.conflict is not None:
        return written
    looked, nameable = _look(archive, header.modality, pictures)
    if written.regions and not written.regions <= nameable:
        looked = UNKNOWN
    return written.with_look(looked)


def _look(archive: OpenedArchive, modality: str, pictures: Sequence[Picture]) -> tuple[Regions, Regions]:
    """The region that the model is certain of, and those that its texts can name for the modality; a picture
    of unknown modality is looked at as one of the modality of the text that it is most like.
    """
    from medsiglip.medgemma.region_look import look_texts, nameable, strong_look
    from medsiglip.regions.vocabulary import UNKNOWN

    texts = look_texts(demonstration=archive.checkpoint.is_demonstration)
    if modality not in _UNKNOWN_MODALITIES and not nameable(texts, modality):
        return UNKNOWN, UNKNOWN
    scores = prompt_classifier(archive, texts.prompt_set).scores(np.stack([one.vector for one in pictures]))
    if modality in _UNKNOWN_MODALITIES:
        best = int(scores.probability.mean(axis=0).argmax())
        modality = min(texts.modalities[best])
    return strong_look(texts, scores, np.arange(len(pictures)), modality), nameable(texts, modality)
