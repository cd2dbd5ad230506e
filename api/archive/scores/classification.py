"""Zero-shot classification of picture files and of studies against free labels or a prompt set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.answer import ErrorDetail
from medsiglip.answers.questions import Classification, ClassifyAnswer, DrivingImage, ImageScores, Score
from medsiglip.api.archive.files import AnyPath, require_pictures
from medsiglip.api.archive.fitting_sources import Fitting, fitting_of_study
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import Picture, pictures_of_file, pictures_of_study
from medsiglip.api.archive.scores.calibrated import calibrated_scores, with_calibration
from medsiglip.api.archive.scores.classifiers import prompt_classifier
from medsiglip.api.archive.scores.picture_fitting import fitting_of_pictures
from medsiglip.api.archive.scores.scoped_answers import label_p_values, scoped
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.text_length import prompt_warnings

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.calibration.applied import Calibrated
    from medsiglip.numerics import Floats
    from medsiglip.zero_shot.classifier import Scoring, ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import PromptSet


@in_one_space
def classify(
    archive: OpenedArchive,
    *,
    images: Sequence[AnyPath] = (),
    study: str | None = None,
    labels: Sequence[str] | None = None,
    prompts: str | None = None,
    exclusive: bool = False,
    scoring: str = "protocol",
    by_image: bool = False,
) -> ClassifyAnswer:
    """Zero-shot scores of picture files or a study against free `labels` or a prompt set.

    Each label is scored on its own, present against absent, unless free labels are `exclusive`: then they
    compete. `scoring` is "protocol", the published one, or "sigmoid", the model's own. A prompt set that does
    not fit what is asked about is scored because it was asked for; `fits` of its scores and `warnings` say
    so. `by_image` adds the scores of each image of a study. Of several files, one that cannot be used gets an
    `error` in its place; with no usable file at all its error is raised. Pictures can be classified without
    an archive by a model that the settings name; else CatalogError `no-archive`. Raises ServiceError
    `one-of`, `bad-scoring`, and ModelError of the labels.
    """
    images = several("images", images)
    labels = None if labels is None else several("labels", labels)
    if bool(images) == (study is not None):
        raise ServiceError("one-of", "classify either picture files or one study.")
    require_study(by_image, study)
    how = scoring_named(scoring)
    prompt_set = asked_labels(labels, prompts, exclusive=exclusive)
    if images and not any(Path(path).expanduser().is_file() for path in images):
        require_pictures(images)
    space = archive.space if archive.settings.model and not study else archive.searchable_space
    pictures: Sequence[Picture] = ()  # what cannot be had is told before the model is loaded
    if study is not None:
        pictures = pictures_of_study(archive, study)
    elif len(images) == 1:
        pictures = pictures_of_file(archive, images[0])
    classifier = prompt_classifier(archive, prompt_set, how)
    question = _Question(archive, prompt_set, classifier, label_p_values(archive, prompt_set))
    if study is not None:
        shared: dict[str, Any] = {"study_instance_uid": study, **question.of_study(study, pictures, by_image)}
    elif len(images) == 1:
        shared = question.of_file(images[0], pictures)
    else:
        shared = {"results": question.of_each(images)}
    warnings = (*prompt_warnings(archive.encoder.tokenizer, prompt_set), *shared.pop("warnings", ()))
    return ClassifyAnswer(space=space.name, **shared, warnings=warnings)


def asked_labels(labels: Sequence[str] | None, prompts: str | None, *, exclusive: bool = False) -> PromptSet:
    """The labels of a question, which are free ones or those of a prompt set. Raises ServiceError `one-of`
    and ModelError of `free_labels` and `load_prompt_set`.
    """
    from medsiglip.zero_shot.free_labels import free_labels
    from medsiglip.zero_shot.prompt_file import load_prompt_set

    if (labels is None) == (prompts is None):
        raise ServiceError("one-of", "give either labels or a prompt set.")
    if labels is not None:
        return free_labels(labels, exclusive=exclusive)
    if exclusive:
        raise ServiceError(
            "one-of", "exclusive goes with labels: a prompt set says itself whether its labels exclude."
        )
    return load_prompt_set(str(prompts))


def scoring_named(scoring: str) -> Scoring:
    """Check a way of scoring given as text. Raises ServiceError `bad-scoring`."""
    from medsiglip.zero_shot.classifier import SCORINGS

    for known in SCORINGS:
        if known == scoring:
            return known
    raise ServiceError("bad-scoring", f"there is no scoring {scoring!r}: choose {' or '.join(SCORINGS)}.")


def require_study(by_image: bool, study: str | None) -> None:
    """Raise ServiceError `one-of` where scores of each image are asked for of something else than a study."""
    if by_image and study is None:
        raise ServiceError(
            "one-of", "by_image goes with a study: the scores of files are of their own already."
        )


def image_scores(pictures: Sequence[Picture], labels: Sequence[str], probability: Floats) -> ImageScores:
    """The scores [n, L] of the stored pictures of a study, where NaN says that a label is about others."""
    columns = (
        tuple(None if np.isnan(one) else float(one) for one in probability[:, column])
        for column in range(len(labels))
    )
    ids = tuple(one.image_id for one in pictures if one.image_id is not None)
    return ImageScores(image_ids=ids, probability=dict(zip(labels, columns, strict=True)))


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of each study or file."""

    archive: OpenedArchive
    prompt_set: PromptSet
    classifier: ZeroShotClassifier
    usual_labels: Mapping[str, float]

    def of_study(self, study: str, pictures: Sequence[Picture], by_image: bool) -> dict[str, Any]:
        make = partial(prompt_classifier, self.archive)
        fitting = fitting_of_study(self.archive, make, self.prompt_set, study)
        return self._scored(pictures, fitting, "study", by_image)

    def of_file(self, path: AnyPath, pictures: Sequence[Picture]) -> dict[str, Any]:
        file = str(Path(path).expanduser().absolute())
        level = "image" if len(pictures) == 1 else None
        return self._scored(
            pictures, fitting_of_pictures(self.archive, self.prompt_set, pictures, file), level
        )

    def of_each(self, paths: Sequence[AnyPath]) -> tuple[Classification, ...]:
        from medsiglip.errors import ModelError
        from medsiglip.ingest.errors import IngestError

        results: list[Classification] = []
        first_error: Exception | None = None
        for path in paths:
            try:
                pictures = pictures_of_file(self.archive, path)
                results.append(Classification(path=str(path), **self.of_file(path, pictures)))
            except (ServiceError, IngestError, ModelError) as error:
                first_error = first_error or error
                detail = ErrorDetail(code=error.code, message=str(error))
                results.append(Classification(path=str(path), error=detail))
        if first_error is not None and all(result.error is not None for result in results):
            raise first_error
        return tuple(results)

    def _scored(
        self, pictures: Sequence[Picture], fitting: Fitting, level: str | None, by_image: bool = False
    ) -> dict[str, Any]:
        """The fields of a `Classification` that say what the pictures score, best first; calibrated where
        there is a calibration of the level, None for several pictures of one file.
        """
        scores_of_each = self.classifier.scores(np.stack([picture.vector for picture in pictures]))
        among = self._among(pictures, fitting)
        pooled = self.classifier.pool(scores_of_each, among=among)
        order = np.lexsort((-pooled.margin, -pooled.probability))
        driving = [pictures[int(row)] for row in pooled.driving]
        scores = [
            Score(
                label=pooled.labels[i],
                probability=float(pooled.probability[i]),
                calibrated=False,
                cosine=float(pooled.cosine[i]),
                margin=float(pooled.margin[i]),
                fits=fitting.fits.get(pooled.labels[i]),
                driving=DrivingImage.model_validate(driving[i]),
            )
            for i in order
        ]
        found, warnings = self._calibrated(pooled.margin, fitting, level)
        ranked = with_calibration(scores, found)
        scored: dict[str, Any] = {
            "image": driving[pooled.labels.index(ranked[0].label)].named,
            "images": len(pictures),
            "pooling": pooled.how,
            "scoring": self.classifier.scoring,
            "scores": ranked,
        }
        if found.possible is not None:
            scored["set"] = found.possible
        if by_image:
            shown = np.where(among | ~among.any(axis=0), scores_of_each.probability, np.nan)
            scored["by_image"] = image_scores(pictures, pooled.labels, shown)
        warnings = (*fitting.warnings, *warnings)
        scored |= {"warnings": warnings} if warnings else {}
        return scoped(self.archive, self.prompt_set, self.usual_labels, pictures, scored)

    def _among(self, pictures: Sequence[Picture], fitting: Fitting) -> NDArray[np.bool_]:
        """Which pictures each label is about, [n, L]: of a study with a radiograph and a CT perhaps one."""
        about = [fitting.images.get(label) for label in self.prompt_set.labels]
        rows = [[ids is None or picture.image_id in ids for ids in about] for picture in pictures]
        return np.array(rows, bool)

    def _calibrated(
        self, margins: Floats, fitting: Fitting, level: str | None
    ) -> tuple[Calibrated, tuple[str, ...]]:
        """What stored calibrations say of these margins [L]: they are of the protocol's scores."""
        from medsiglip.calibration.applied import Calibrated

        if self.classifier.scoring != "protocol":
            return Calibrated(), ()
        return calibrated_scores(self.archive, self.prompt_set, margins, level, fitting.fits)
