"""Whether texts and images are in scope of an archive: like what it is asked about, and like what it holds.

What is not is answered all the same, and the answer says so. `medsiglip.scope` has the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.backgrounds import Kind
from medsiglip.api.archive.queries import Vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.search.ranking.image_sample import ImageSample
    from medsiglip.scope.image_scope import ImageScope
    from medsiglip.scope.text_scope import TextScope

_MOST_SENTENCES = 400
_SHORTEST, _LONGEST = 3, 200


def text_p_values(archive: OpenedArchive, texts: Sequence[str], vectors: Vector) -> dict[str, float]:
    """How usual each text with its vector [n, d] is among those that the archive is asked about; empty where
    that cannot be told, as the archive holds nothing.
    """
    from medsiglip.scope.text_scope import Measured, TextScope

    sample = _sample(archive)
    if sample is None or not len(sample.image_ids) or not len(texts):
        return {}
    kind = Kind(_name_of_texts(archive), partial(_measure_texts, archive, sample), TextScope.from_json)
    scope = archive.backgrounds.of(archive.index, archive.searchable_space.name, kind, sample.images)
    if not isinstance(scope, TextScope):
        return {}
    measured = Measured.of(archive.encoder.tokenizer, texts, vectors, sample.vectors)
    return dict(zip(texts, scope.p_values(measured).tolist(), strict=True))


def image_p_value(
    archive: OpenedArchive, vectors: Vector, patient_key: str | None, where: Sequence[str] = ()
) -> float | None:
    """How usual images [n, d] of one study are among those of the archive's other patients that pass the
    filters; None where these are too few to tell.
    """
    from medsiglip.scope.image_scope import median_p_value

    scope = _image_scope(archive, where)
    return None if scope is None else median_p_value(scope.p_values(vectors, patient_key))


@dataclass(frozen=True, slots=True)
class StoredScope:
    """The scope of images, of which the catalogue keeps the usual scores."""

    scope: ImageScope

    def to_json(self) -> dict[str, Any]:
        """The usual scores."""
        return {"usual": [float(f"{value:.7g}") for value in self.scope.usual]}


def _image_scope(archive: OpenedArchive, where: Sequence[str]) -> ImageScope | None:
    from medsiglip.scope.image_scope import MOST_IMAGES

    sample = _sample(archive)
    if sample is None or not len(sample.image_ids):
        return None
    name = "image"
    if where:
        name += f" {blake2b(repr(tuple(where)).encode(), digest_size=12).hexdigest()}"

    def measure() -> StoredScope | None:
        taken = archive.index.image_sample(MOST_IMAGES, where) if where else sample
        return _scope_of(archive, taken)

    def read(content: Mapping[str, Any]) -> StoredScope:
        found = measure()
        if found is None:
            raise ValueError("too few images")
        return found

    stored = archive.backgrounds.of(
        archive.index, archive.searchable_space.name, Kind(name, measure, read), sample.images
    )
    return stored.scope if isinstance(stored, StoredScope) else None


def _scope_of(archive: OpenedArchive, sample: ImageSample) -> StoredScope | None:
    from medsiglip.scope.image_scope import ImageScope

    owners = archive.index.instances.owners_of_images(sample.image_ids.tolist())
    there = [i for i, image_id in enumerate(sample.image_ids.tolist()) if image_id in owners]
    keys = [owners[int(sample.image_ids[i])][1] for i in there]
    scope = ImageScope.of(sample.vectors[there], keys)
    return None if scope is None else StoredScope(scope)


def _name_of_texts(archive: OpenedArchive) -> str:
    """The background of texts: another each time that the number of reports has doubled, up to 256, as
    their sentences are in scope.
    """
    reports = archive.index.report_texts.at_least(_MOST_SENTENCES)
    return f"text, {1 << (reports.bit_length() - 1)} reports or more" if reports else "text"


def _measure_texts(archive: OpenedArchive, sample: ImageSample) -> TextScope:
    """Learn from the texts of the package; sentences of the archive's own reports also set the threshold."""
    from medsiglip.scope.reference_texts import reference_texts
    from medsiglip.scope.text_scope import Measured, TextScope

    archive.note("measuring once what texts and images of this archive are like")
    encoder = archive.patient_encoder

    def measured(texts: Sequence[str]) -> Measured:
        return Measured.of(encoder.tokenizer, texts, encoder.encode_texts(texts), sample.vectors)

    given = reference_texts()
    scope = TextScope.fit(measured(given.fitted), measured(given.outliers), measured(given.held_out))
    own = _report_sentences(archive, sample)
    return scope.with_usual(measured(own)) if own else scope


def _report_sentences(archive: OpenedArchive, sample: ImageSample) -> list[str]:
    """A sentence of a report of each of at most 400 patients: the middle one."""
    owners = archive.index.instances.owners_of_images(sample.image_ids.tolist())
    by_patient = {patient_key: study for study, patient_key in owners.values()}
    texts = archive.index.report_texts.of(list(by_patient.values()))
    found = []
    for study in sorted(texts)[:_MOST_SENTENCES]:
        sentences = _sentences(texts[study].text)
        found += sentences[len(sentences) // 2 : len(sentences) // 2 + 1]
    return found


def _sentences(text: str) -> list[str]:
    from medsiglip.tokenizer import canonicalise

    parts = (part.strip() for line in text.splitlines() for part in line.replace(". ", ".\n").splitlines())
    return [part for part in parts if len(canonicalise(part)) >= _SHORTEST and len(part) <= _LONGEST]


def _sample(archive: OpenedArchive) -> ImageSample | None:
    """The images that are compared; None where there is no archive, or one of another model."""
    from medsiglip.index.errors import CatalogError
    from medsiglip.scope.image_scope import MOST_IMAGES

    try:
        if not archive.is_there or archive.stored_space is None:
            return None
        _ = archive.searchable_space
        return archive.index.image_sample(MOST_IMAGES)
    except CatalogError as error:
        if error.code not in ("no-archive", "no-space", "space-mismatch"):
            raise
        return None
