"""Zero-shot classification: image vectors against text prompts.

The protocol is the one behind the published MedSigLIP numbers (MedGemma Technical Report, arXiv 2507.05201,
zero-shot evaluation and tables A2 to A5): the text embeddings of a class's prompts are averaged and brought
back to unit length, compared with the image by cosine, multiplied by the checkpoint's logit scale, and put
through a softmax over absent and present for each finding, or over all classes. The scale does not change the
AUROC of a finding, only the probability.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medsiglip.errors import ModelError
from medsiglip.numerics import Floats, sigmoid, unit_vectors
from medsiglip.zero_shot.prompt_set import PromptSet

Pooling = Literal["max", "mean"]
Vectors = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n images for L labels: `probability` and `cosine` are [n, L].

    The cosine is that of the label's own texts (for a finding: of its present texts).
    """

    labels: tuple[str, ...]
    probability: Floats
    cosine: Floats


@dataclass(frozen=True, slots=True)
class PooledScores:
    """Scores of a study: `probability`, `cosine` and `driving` are [L].

    `driving` is the index of the image with the highest probability for the label.
    """

    labels: tuple[str, ...]
    probability: Floats
    cosine: Floats
    driving: npt.NDArray[np.intp]
    how: Pooling


@dataclass(slots=True)
class ZeroShotClassifier:
    """Scores image vectors against the prompts of one set.

    `encode_texts` maps texts to unit-length vectors [n, d]; it is called once, at the first use.
    `logit_scale` and `logit_bias` are the checkpoint's (the scale already exponentiated); the bias is needed
    only for a single free label.
    """

    prompt_set: PromptSet
    encode_texts: Callable[[Sequence[str]], Vectors]
    logit_scale: float
    logit_bias: float | None = None
    _classes: tuple[Floats, Floats | None] | None = field(default=None, init=False, repr=False)

    def scores(self, image_vectors: Vectors) -> Scores:
        """Score unit-length image vectors [n, d].

        Raises ModelError "dimension-mismatch" when images and texts do not have the same d.
        """
        present, absent = self._class_vectors()
        images = np.asarray(image_vectors, dtype=np.float64)
        if images.ndim != 2 or images.shape[1] != present.shape[1]:
            message = (
                f"Image vectors have shape {images.shape} and text vectors {present.shape[1]} components; "
                "use one model for both."
            )
            raise ModelError("dimension-mismatch", message)
        cosine = images @ present.T
        if absent is not None:
            probability = sigmoid(self.logit_scale * (cosine - images @ absent.T))
        elif len(self.prompt_set.prompts) == 1:
            if self.logit_bias is None:
                message = (
                    "A single label needs the checkpoint's logit bias; give two labels or more, or the bias."
                )
                raise ModelError("logit-bias-missing", message)
            probability = sigmoid(self.logit_scale * cosine + self.logit_bias)
        else:
            probability = _softmax(self.logit_scale * cosine)
        return Scores(self.prompt_set.labels, probability, cosine)

    def pool(self, scores: Scores, how: Pooling | None = None) -> PooledScores:
        """Pool the scores of one study's images.

        By default the maximum per finding, whose cosine is that of the driving image, and the mean for
        classes. A single free label is pooled like a finding. Raises ModelError "no-images" for no images.
        """
        if scores.probability.shape[0] == 0:
            raise ModelError("no-images", "The study has no images to score; ingest it first.")
        if how is None:
            how = "max" if self.prompt_set.kind == "findings" or len(scores.labels) == 1 else "mean"
        driving = scores.probability.argmax(axis=0)
        if how == "mean":
            return PooledScores(
                scores.labels, scores.probability.mean(axis=0), scores.cosine.mean(axis=0), driving, how
            )
        columns = np.arange(len(scores.labels))
        return PooledScores(
            scores.labels, scores.probability[driving, columns], scores.cosine[driving, columns], driving, how
        )

    def _class_vectors(self) -> tuple[Floats, Floats | None]:
        if self._classes is None:
            prompts = list(self.prompt_set.prompts.values())
            groups = [entry.present for entry in prompts]
            findings = self.prompt_set.kind == "findings"
            if findings:
                groups += [entry.absent for entry in prompts]
            vectors = _mean_vectors(groups, self.encode_texts)
            self._classes = (vectors[: len(prompts)], vectors[len(prompts) :] if findings else None)
        return self._classes


def _mean_vectors(
    groups: Sequence[tuple[str, ...]], encode_texts: Callable[[Sequence[str]], Vectors]
) -> Floats:
    """Unit-length mean vector of each group of texts, each distinct text encoded once."""
    row = {
        text: position
        for position, text in enumerate(dict.fromkeys(text for group in groups for text in group))
    }
    vectors = np.asarray(encode_texts(list(row)), dtype=np.float64)
    means = np.stack([vectors[[row[text] for text in group]].mean(axis=0) for group in groups])
    return unit_vectors(means)


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probability
