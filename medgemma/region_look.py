"""What the encoder itself sees: zero-shot over texts that name a part of the body.

The look is one more witness beside header and description. It counts only where it is strong, and where the
best text is one of the picture's own modality: another one says that the model does not know such pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.numerics import Floats
from medsiglip.regions.vocabulary import UNKNOWN, Regions, table
from medsiglip.zero_shot.classifier import Scores
from medsiglip.zero_shot.prompt_set import LabelPrompts, PromptSet

STRONG = 0.9
"""The least mean probability of a strong look. The tiny model's is above .99 for every phantom study."""


@dataclass(frozen=True, slots=True)
class LookTexts:
    """The texts that compete as a prompt set of classes, and what each stands for; a look below
    `least_cosine` is not strong.
    """

    prompt_set: PromptSet
    modalities: tuple[frozenset[str], ...]
    regions: tuple[str, ...]
    least_cosine: float


def look_texts(*, demonstration: bool) -> LookTexts:
    """The texts for a model, which for the demonstration model are captions of phantoms."""
    return _demonstration_texts() if demonstration else _texts()


def strong_look(texts: LookTexts, scores: Scores, rows: NDArray[np.intp], modality: str | None) -> Regions:
    """The region that pictures show, from the `scores` [n, L] of `texts` and the rows of the pictures of one
    series; none where the look is not strong.
    """
    if not len(rows):
        return UNKNOWN
    probability: Floats = scores.probability[rows].mean(axis=0)
    best = int(probability.argmax())
    same = [
        place
        for place, region in enumerate(texts.regions)
        if region == texts.regions[best] and (modality or "").upper() in texts.modalities[place]
    ]
    strong = best in same and float(probability[same].sum()) >= STRONG
    if not strong or float(scores.cosine[rows, best].mean()) < texts.least_cosine:
        return UNKNOWN
    return frozenset((texts.regions[best],))


def nameable(texts: LookTexts, modality: str | None) -> Regions:
    """The regions that a look at pictures of a modality can name."""
    named = zip(texts.regions, texts.modalities, strict=True)
    return frozenset(region for region, of in named if (modality or "").upper() in of)


@cache
def _texts() -> LookTexts:
    prompts: dict[str, LabelPrompts] = {}
    modalities: list[frozenset[str]] = []
    regions: list[str] = []
    for of in table()["look"]:
        for region in of["regions"]:
            words = table()["regions"][region]["look"]
            filled = tuple(dict.fromkeys(text.format(look=word) for text in of["texts"] for word in words))
            prompts[f"{of['modalities'][0]} {region}"] = LabelPrompts(filled)
            modalities.append(frozenset(of["modalities"]))
            regions.append(region)
    return LookTexts(PromptSet("body-regions", "classes", prompts), tuple(modalities), tuple(regions), -1.0)


@cache
def _demonstration_texts() -> LookTexts:
    known: Mapping[str, Any] = table()["demonstration"]
    prompts = {
        f"{of['modalities'][0]} {of['regions'][0]}": LabelPrompts(tuple(of["texts"])) for of in known["look"]
    }
    return LookTexts(
        PromptSet("body-regions-demonstration", "classes", prompts),
        tuple(frozenset(of["modalities"]) for of in known["look"]),
        tuple(of["regions"][0] for of in known["look"]),
        known["least_cosine"],
    )
