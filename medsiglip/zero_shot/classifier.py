"""Zero-shot classification: image vectors against text prompts.

The protocol is the one behind the published MedSigLIP numbers (MedGemma Technical Report, arXiv 2507.05201,
zero-shot evaluation and tables A2 to A5): the text embeddings of a class's prompts are averaged and brought
back to unit length, compared with the image by cosine, multiplied by the checkpoint's logit scale, and put
through a softmax over absent and present for each finding, or over all classes. The scale does not change the
AUROC of a finding, only the size of its score.

The model's own sigmoid (SigLIP, arXiv 2303.15343) looks at each label's texts alone: scale times cosine plus
the checkpoint's bias. It says how likely image and text were a pair of the batches that the model was trained
on, so that it is small for almost every text. Neither is a probability of disease before it is calibrated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.numerics import Floats
from medsiglip.zero_shot.class_matrix import KEPT_MATRICES, ClassMatrix, EncodeTexts, class_matrix
from medsiglip.zero_shot.prompt_set import PromptSet

Pooling = Literal["max", "mean"]
Scoring = Literal["protocol", "sigmoid"]
SCORINGS: tuple[Scoring, ...] = ("protocol", "sigmoid")
Vectors = npt.NDArray[np.floating[Any]]
# Images that are scored together: a block of their vectors stays in the cache of a processor core.
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n images for L labels: `probability`, `cosine` and `margin` are float64 [n, L].

    The cosine is that of the label's own texts (for a finding: of its present texts). `margin` is the logit
    of `probability`: for findings and free labels the logit scale times the cosine with present less that
    with absent texts; for labels that exclude each other what goes into the softmax; for the model's own
    sigmoid its argument.
    """

    labels: tuple[str, ...]
    probability: Floats
    cosine: Floats
    margin: Floats

    def rows(self, chosen: npt.NDArray[np.intp] | slice) -> "Scores":
        """The scores of some of the images."""
        return Scores(self.labels, self.probability[chosen], self.cosine[chosen], self.margin[chosen])


@dataclass(frozen=True, slots=True)
class PooledScores:
    """Scores of a study: `probability`, `cosine`, `margin` and `driving` are [L].

    `driving` is the index of the image with the highest score for the label; for a label that says what is
    not there, of the one that speaks most against it.
    """

    labels: tuple[str, ...]
    probability: Floats
    cosine: Floats
    margin: Floats
    driving: npt.NDArray[np.intp]
    how: Pooling


@dataclass(slots=True)
class ZeroShotClassifier:
    """Scores image vectors against the prompts of one set.

    `encode_texts` maps texts to unit-length vectors [n, d]; it is called once, at the first use, and not at
    all where the process has the set's vectors by the encoder of the name `encoder`. `logit_scale` and
    `logit_bias` are the checkpoint's (the scale already exponentiated); the bias is needed only for the
    model's own sigmoid.
    """

    prompt_set: PromptSet
    encode_texts: EncodeTexts
    logit_scale: float
    logit_bias: float | None = None
    scoring: Scoring = "protocol"
    encoder: str | None = None
    _classes: ClassMatrix | None = field(default=None, init=False, repr=False)

    def scores(self, image_vectors: Vectors) -> Scores:
        """Score unit-length image vectors [n, d], in blocks: memory grows with n times the labels alone.

        Raises ModelError "dimension-mismatch" when images and texts do not have the same d, and
        "logit-bias-missing" for the model's own sigmoid without its bias.
        """
        classes = self._class_matrix()
        images = np.asarray(image_vectors)
        if images.ndim != 2 or images.shape[1] != classes.vectors.shape[1]:
            message = (
                f"Image vectors have shape {images.shape} and text vectors {classes.vectors.shape[1]} "
                "components; use one model for both."
            )
            raise ModelError("dimension-mismatch", message)
        if self.scoring == "sigmoid" and self.logit_bias is None:
            message = (
                "The model's own sigmoid needs the checkpoint's logit bias; give it or use the protocol."
            )
            raise ModelError("logit-bias-missing", message)
        shape = (len(images), len(self.prompt_set.labels))
        cosine, margin, probability = np.empty(shape), np.empty(shape), np.empty(shape)
        for part in _blocks(len(images)):
            present, absent = _cosines(images[part], classes)
            cosine[part] = present
            margin[part] = self._margin(present, absent)
            probability[part] = self._probability(margin[part])
        return Scores(self.prompt_set.labels, probability, cosine, margin)

    def pool(
        self, scores: Scores, how: Pooling | None = None, among: npt.NDArray[np.bool_] | None = None
    ) -> PooledScores:
        """Pool the scores of one study's images, those that each label is about: `among` [n, L], all of them
        by default and for a label that is about none.

        By default the maximum per finding and free label, whose cosine is that of the driving image, and the
        mean for labels that exclude each other. A label that says what is not there is pooled by its minimum:
        one image that shows the finding is enough. Raises ModelError "no-images" for no images.
        """
        if scores.probability.shape[0] == 0:
            raise ModelError("no-images", "The study has no images to score; ingest it first.")
        if how is None:
            how = "mean" if self.prompt_set.exclusive else "max"
        # Margins tell apart what would be rounded to the same score.
        ranked = scores.probability if self.prompt_set.exclusive else scores.margin
        taken_in = np.ones(ranked.shape, bool) if among is None else among | ~among.any(axis=0)
        driving = np.where(taken_in, ranked, -np.inf).argmax(axis=0)
        if how == "mean":
            return PooledScores(
                scores.labels,
                scores.probability.mean(axis=0, where=taken_in),
                scores.cosine.mean(axis=0, where=taken_in),
                scores.margin.mean(axis=0, where=taken_in),
                driving,
                how,
            )
        lowest = np.where(taken_in, ranked, np.inf).argmin(axis=0)
        driving = np.where(self._negated, lowest, driving)
        taken = driving, np.arange(len(scores.labels))
        return PooledScores(
            scores.labels, scores.probability[taken], scores.cosine[taken], scores.margin[taken], driving, how
        )

    @property
    def _negated(self) -> npt.NDArray[np.bool_]:
        return np.array([entry.negated for entry in self.prompt_set.prompts.values()], bool)

    def _margin(self, present: Floats, absent: Floats | None) -> Floats:
        if self.scoring == "sigmoid":
            negated = self._negated
            found = present if absent is None else np.where(negated, absent, present)
            margin: Floats = self.logit_scale * found + (self.logit_bias or 0.0)
            return np.where(negated, -margin, margin)
        return self.logit_scale * (present if absent is None else present - absent)

    def _probability(self, margin: Floats) -> Floats:
        from scipy.special import expit

        if self.scoring == "protocol" and self.prompt_set.exclusive:
            return _softmax(margin)
        probability: Floats = expit(margin)
        return probability

    def _class_matrix(self) -> ClassMatrix:
        if self._classes is None:
            if self.encoder is None:
                self._classes = class_matrix(self.prompt_set, self.encode_texts)
            else:
                self._classes = KEPT_MATRICES.of(self.encoder, self.prompt_set, self.encode_texts)
        return self._classes


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))


def _cosines(images: Vectors, classes: ClassMatrix) -> tuple[Floats, Floats | None]:
    """Cosines [n, L] with present and absent texts, in float32 for images that have no more."""
    if images.dtype == np.float32:
        cosines = (images @ classes.columns).astype(np.float64)
    else:
        cosines = np.asarray(images, np.float64) @ classes.vectors.T
    return cosines[:, classes.present], None if classes.absent is None else cosines[:, classes.absent]


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probability
