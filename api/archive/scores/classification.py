"""Zero-shot classification of picture files and of studies against free labels or a prompt set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.questions import Classification, ClassifyAnswer, DrivingImage, Score
from medsiglip.api.archive.files import AnyPath, require_pictures
from medsiglip.api.archive.fitting_sources import prompt_warnings_of_study
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import Picture, pictures_of_file, pictures_of_study
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.text_length import prompt_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.zero_shot.classifier import ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import PromptSet


@in_one_space
def classify(
    archive: OpenedArchive,
    *,
    images: Sequence[AnyPath] = (),
    study: str | None = None,
    labels: Sequence[str] | None = None,
    prompts: str | None = None,
) -> ClassifyAnswer:
    """Zero-shot scores of picture files or a study against free `labels` or a prompt set.

    A prompt set that does not fit the study is scored because it was asked for, and `warnings` say so.
    Of several files, one that cannot be used gets an `error` in its place; with no usable file at all its
    error is raised. Pictures can be classified without an archive by a model that the settings name; else
    CatalogError `no-archive`.
    """
    from medsiglip.zero_shot.free_labels import free_labels
    from medsiglip.zero_shot.prompt_file import load_prompt_set

    images = several("images", images)
    labels = None if labels is None else several("labels", labels)
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
        shared = {"study_instance_uid": study, **_scored(prompt_classifier(archive, prompt_set), pictures)}
    elif len(images) == 1:
        pictures = pictures_of_file(archive, images[0])
        shared = _scored(prompt_classifier(archive, prompt_set), pictures)
    else:
        shared = {"results": _each(archive, prompt_classifier(archive, prompt_set), images)}
    warnings = prompt_warnings(archive.encoder.tokenizer, prompt_set)
    if study is not None and labels is None:
        warnings += prompt_warnings_of_study(archive, partial(prompt_classifier, archive), prompt_set, study)
    return ClassifyAnswer(space=space.name, **shared, warnings=warnings)


def prompt_classifier(archive: OpenedArchive, prompt_set: PromptSet) -> ZeroShotClassifier:
    """A classifier for this prompt set with the archive's model."""
    from medsiglip.zero_shot.classifier import ZeroShotClassifier

    _ = archive.space  # the model follows a home that was switched to another
    encoder = archive.encoder
    return ZeroShotClassifier(prompt_set, encoder.encode_texts, encoder.logit_scale, encoder.logit_bias)


def _each(
    archive: OpenedArchive, classifier: ZeroShotClassifier, paths: Sequence[AnyPath]
) -> tuple[Classification, ...]:
    from medsiglip.errors import ModelError
    from medsiglip.ingest.errors import IngestError

    results: list[Classification] = []
    first_error: Exception | None = None
    for path in paths:
        try:
            scored = _scored(classifier, pictures_of_file(archive, path))
            results.append(Classification(path=str(path), **scored))
        except (ServiceError, IngestError, ModelError) as error:
            first_error = first_error or error
            detail = ErrorDetail(code=error.code, message=str(error))
            results.append(Classification(path=str(path), error=detail))
    if first_error is not None and all(result.error is not None for result in results):
        raise first_error
    return tuple(results)


def _scored(classifier: ZeroShotClassifier, pictures: Sequence[Picture]) -> dict[str, Any]:
    """The fields of a `Classification` that say what the pictures score."""
    scores = classifier.scores(np.stack([picture.vector for picture in pictures]))
    pooled = classifier.pool(scores)
    order = np.argsort(-pooled.probability, kind="stable")
    driving = [pictures[int(row)] for row in pooled.driving]
    return {
        "image": driving[order[0]].named,
        "images": len(pictures),
        "pooling": pooled.how,
        "scores": tuple(
            Score(
                label=pooled.labels[i],
                probability=float(pooled.probability[i]),
                cosine=float(pooled.cosine[i]),
                driving=DrivingImage.model_validate(driving[i]),
            )
            for i in order
        ),
    }
