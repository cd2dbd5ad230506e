"""Zero-shot classification of picture files and of studies against free labels or a prompt set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.api.archive.files import require_pictures
from medsiglip.api.archive.queries import Picture, pictures_of_file, pictures_of_study
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Answer, AnyPath, Archive
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.zeroshot import PromptSet, ZeroShotClassifier


def classify(
    archive: Archive,
    *,
    images: Sequence[AnyPath],
    study: str | None,
    labels: Sequence[str] | None,
    prompts: str | None,
) -> Answer:
    """Answer in the JSON shape of `classify`.

    Of several files, one that cannot be used gets an `error` in its place; with no usable file at all its
    error is raised. Pictures can be classified without an archive by a model that the settings name; else
    CatalogError `no-archive`.
    """
    from medsiglip.zeroshot import free_labels, load_prompt_set

    if bool(images) == (study is not None):
        raise ServiceError("one-of", "classify either picture files or one study.")
    if (labels is None) == (prompts is None):
        raise ServiceError("one-of", "give either labels or a prompt set.")
    prompt_set = free_labels(labels) if labels is not None else load_prompt_set(str(prompts))
    if images and not any(Path(path).expanduser().is_file() for path in images):
        require_pictures(images)
    space = archive.space if archive.settings.model and not study else archive.searchable_space
    if study is not None:
        pictures = pictures_of_study(archive, study)
        scored = _scored(prompt_classifier(archive, prompt_set), pictures)
        return {"space": space.name, "study_instance_uid": study, **scored}
    classifier = prompt_classifier(archive, prompt_set)
    if len(images) == 1:
        return {"space": space.name, **_scored(classifier, pictures_of_file(archive, images[0]))}
    return {"space": space.name, "results": _each(archive, classifier, images)}


def prompt_classifier(archive: OpenedArchive, prompt_set: PromptSet) -> ZeroShotClassifier:
    """A classifier for this prompt set with the archive's model."""
    from medsiglip.zeroshot import ZeroShotClassifier

    encoder = archive.encoder
    return ZeroShotClassifier(prompt_set, encoder.encode_texts, encoder.logit_scale, encoder.logit_bias)


def _each(archive: Archive, classifier: ZeroShotClassifier, paths: Sequence[AnyPath]) -> list[dict[str, Any]]:
    from medsiglip.errors import ModelError
    from medsiglip.ingest.errors import IngestError

    results: list[dict[str, Any]] = []
    first_error: Exception | None = None
    for path in paths:
        try:
            results.append({"path": str(path), **_scored(classifier, pictures_of_file(archive, path))})
        except (ServiceError, IngestError, ModelError) as error:
            first_error = first_error or error
            results.append({"path": str(path), "error": {"code": error.code, "message": str(error)}})
    if first_error is not None and all("error" in result for result in results):
        raise first_error
    return results


def _scored(classifier: ZeroShotClassifier, pictures: Sequence[Picture]) -> dict[str, Any]:
    scores = classifier.scores(np.stack([picture.vector for picture in pictures]))
    pooled = classifier.pool(scores)
    order = np.argsort(-pooled.probability, kind="stable")
    driving = pictures[int(pooled.driving[order[0]])]
    answer: dict[str, Any] = {"image": driving.to_json(), "images": len(pictures), "pooling": pooled.how}
    answer["scores"] = [
        {
            "label": pooled.labels[i],
            "probability": float(pooled.probability[i]),
            "cosine": float(pooled.cosine[i]),
            "driving": _name(pictures[int(pooled.driving[i])]),
        }
        for i in order
    ]
    return answer


def _name(picture: Picture) -> dict[str, Any]:
    return {
        "image_id": picture.image_id,
        "sop_instance_uid": picture.sop_instance_uid,
        "frame": picture.frame,
    }
