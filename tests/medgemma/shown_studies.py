"""Evidence of a study and pictures of it, for prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.prompting.budget import Budget
from medsiglip.medgemma.prompting.prompts import Prompt, build_prompt
from medsiglip.medgemma.records import Evidence, EvidenceImage, PriorStudy


class Numbered:
    """An image source whose pictures are of noise, with their id as the first value."""

    def pictures(self, image_ids: Sequence[int]) -> list[NDArray[np.uint8]]:
        found = []
        for image_id in image_ids:
            picture = np.random.default_rng(image_id).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            picture[0, 0, 0] = image_id
            found.append(picture)
        return found


def images(count: int, series: str = "2.25.7", first: int = 1) -> tuple[EvidenceImage, ...]:
    """Images of one series, numbered from `first`."""
    return tuple(EvidenceImage(n, f"2.25.1{n}", series, 0) for n in range(first, first + count))


def study(template: str, count: int = 1, **more: object) -> Evidence:
    """A study with that many images."""
    plain = Evidence("2.25.1", "space", None, None, template, images=images(count))
    return replace(plain, **more)  # type: ignore[arg-type]


PRIOR = PriorStudy("2.25.2", "2024-01-02", "Clear lungs.", images(1, "2.25.8", 200))


def prompt_of(evidence: Evidence, budget: Budget, **more: object) -> Prompt:
    """The prompt of a study."""
    return build_prompt(evidence, Numbered(), budget, **more)  # type: ignore[arg-type]


THREE = {
    "single": study("chest-xray", indication="cough and fever"),
    "volume": study("ct-volume", 120),
    "pair": study("chest-xray-pair", prior=PRIOR, study_date="2024-06-07"),
}
"""One picture, more slices than a prompt takes, a prior and a current picture."""
PICTURES = {"single": 1, "volume": 85, "pair": 2}
