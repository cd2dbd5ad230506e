"""How well a model does on phantoms that it was not trained on: zero-shot, retrieval and linear probe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.figures.metrics import auroc, macro
from medsiglip.figures.retrieval import evaluate_retrieval
from medsiglip.numerics import mean_vector
from medsiglip.phantoms.catalogue import anatomy
from medsiglip.phantoms.checkpoint.tuning_set import RenderedStudy
from medsiglip.probes.training import train
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_file import load_prompt_set

if TYPE_CHECKING:
    from medsiglip.encoder import Encoder

PROMPT_SET = "phantoms"


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over `studies` studies (`images` pictures), by "<anatomy>/<finding>".

    Zero-shot scores and probes are of studies: the highest image probability, and the normalised mean vector.
    `retrieval` holds precision at 1 and 5 and "map": a study of another patient is relevant if it is of the
    same anatomy and shares a finding, or if both are normal.
    """

    studies: int
    images: int
    zero_shot: dict[str, float]
    retrieval: dict[str, float]
    probe: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values, rounded to four digits."""
        return {
            "studies": self.studies,
            "images": self.images,
            "zero_shot": {"macro_auroc": _macro(self.zero_shot), "auroc": _rounded(self.zero_shot)},
            "retrieval": _rounded(self.retrieval),
            "probe": {"macro_auroc": _macro(self.probe), "auroc": _rounded(self.probe)},
        }


def _macro(values: dict[str, float]) -> float:
    return round(macro(list(values.values())), 4)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def measure(encoder: Encoder, studies: Iterable[RenderedStudy]) -> Figures:
    """Encode the studies and compute all figures."""
    classifier = ZeroShotClassifier(load_prompt_set(PROMPT_SET), encoder.encode_texts, encoder.logit_scale)
    anatomies, labels, patients = [], [], []
    vectors: list[NDArray[np.float32]] = []
    probabilities: list[dict[str, float]] = []
    images = 0
    for entry in studies:
        series = entry.study.series[0]
        encoded = encoder.encode_images(entry.pictures)
        pooled = classifier.pool(classifier.scores(encoded))
        images += len(encoded)
        anatomies.append(series.anatomy)
        labels.append(entry.study.labels)
        patients.append(entry.study.patient_id)
        vectors.append(mean_vector(encoded))
        probabilities.append(dict(zip(pooled.labels, pooled.probability.tolist(), strict=True)))
    stacked = np.stack(vectors)
    truth, scores = {}, {}
    for name in sorted(set(anatomies)):
        here = np.array([anatomy_name == name for anatomy_name in anatomies])
        for finding in anatomy(name).FINDINGS:
            known = np.full(len(here), np.nan)
            known[here] = [labels[i][finding] for i in np.flatnonzero(here)]
            truth[f"{name}/{finding}"] = known
            scores[f"{name}/{finding}"] = np.array([p[finding] for p in probabilities])
    return Figures(
        studies=len(stacked),
        images=images,
        zero_shot={name: auroc(known, scores[name]) for name, known in truth.items()},
        retrieval=_retrieval(stacked, patients, anatomies, labels),
        probe=_probe(stacked, patients, truth),
    )


def _retrieval(
    vectors: NDArray[np.float32], patients: list[str], anatomies: list[str], labels: list[Any]
) -> dict[str, float]:
    shown = [
        {f"{name}/{finding}" for finding, value in study.items() if value} or {f"{name}/normal"}
        for name, study in zip(anatomies, labels, strict=True)
    ]
    figures = evaluate_retrieval(vectors, patients, shown, ks=(1, 5)).overall
    return {f"precision_at_{k}": value for k, value in figures.precision_at.items()} | {"map": figures.map}


def _probe(
    vectors: NDArray[np.float32], patients: list[str], truth: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    report = train(vectors, truth, patients, space="phantoms").probe.report
    return {entry.label: entry.auroc for entry in report.labels}
