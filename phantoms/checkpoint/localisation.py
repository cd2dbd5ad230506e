"""Whether a model's text maps find the lesions of phantoms, whose place is known.

The place is where the picture of a phantom differs most from that of the same phantom without its finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.figures.intervals import rate_interval
from medsiglip.patches.overlay import brightest_tenth
from medsiglip.patches.picture_place import PicturePlace, picture_place
from medsiglip.patches.text_map import PatchEncoder, text_direction, text_maps
from medsiglip.phantoms.catalogue import StudyPlan, plan_studies, synthesise_study
from medsiglip.phantoms.checkpoint.tuning_set import series_inputs
from medsiglip.zero_shot.free_labels import free_labels

SEED = 730_001
"""Seed of the phantoms that models are measured on: none is trained on it, and no map was chosen by it."""

# Of a carcinoma that fills the picture there is no place to find.
ANATOMIES = ("chest-xray", "chest-ct", "brain-mr", "mammogram", "fundus", "skin", "ultrasound", "head-ct")
ENOUGH = 0.80
_BATCH = 16


class WhyEncoder(PatchEncoder, Protocol):
    """What encodes patches and texts."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length vectors [n, d]."""
        ...


@dataclass(frozen=True, slots=True)
class Lesion:
    """A model input uint8 [S, S, 3] of a phantom with one `finding`, and where that is: row and column."""

    finding: str
    patient: str
    picture: NDArray[np.uint8]
    at: tuple[int, int]
    place: PicturePlace


@dataclass(frozen=True, slots=True)
class Localisation:
    """Shares of phantoms whose lesion lies in the brightest tenth: with an interval, for the text of another
    finding, and of each finding with its number of phantoms.
    """

    phantoms: int
    share: float
    interval: tuple[float, float]
    other_text: float
    findings: tuple[tuple[str, int, float], ...]

    @property
    def localises(self) -> bool:
        """Whether the share reaches `ENOUGH`."""
        return self.share >= ENOUGH

    def to_json(self) -> dict[str, Any]:
        """As `localisation.json` holds it for each space, and answers to `why` state it."""
        return {
            "phantoms": self.phantoms,
            "share": round(self.share, 4),
            "interval": [round(end, 4) for end in self.interval],
            "other_text": round(self.other_text, 4),
            "localises": self.localises,
            "findings": [
                {"finding": name, "phantoms": count, "share": round(share, 4)}
                for name, count, share in self.findings
            ],
        }


def measure_localisation(
    encoder: WhyEncoder,
    profile: str,
    studies: int,
    *,
    seed: int = SEED,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Localisation:
    """Measure a model on `studies` phantoms, less the normal ones; about two in three have a lesion.

    Texts are the names of the findings, as a person would type them.
    """
    plans = plan_studies(studies, seed, list(ANATOMIES))
    lesions: list[Lesion] = []
    for done, plan in enumerate(plans, start=1):
        lesions += find_lesion(plan, encoder.image_size, profile)
        on_progress(done, len(plans))
    names = sorted({lesion.finding for lesion in lesions})
    others = dict(zip(names, names[1:] + names[:1], strict=True))
    own = hits(encoder, lesions, [lesion.finding for lesion in lesions])
    other = hits(encoder, lesions, [others[lesion.finding] for lesion in lesions])
    of = np.array([lesion.finding for lesion in lesions])
    _, patients = np.unique([lesion.patient for lesion in lesions], return_inverse=True)
    low, high = rate_interval(own, patients, 0.95)
    return Localisation(
        phantoms=own.size,
        share=float(own.mean()),
        interval=(float(low), float(high)),
        other_text=float(other.mean()),
        findings=tuple((name, int((of == name).sum()), float(own[of == name].mean())) for name in names),
    )


def hits(encoder: WhyEncoder, lesions: Sequence[Lesion], findings: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each lesion lies in the brightest tenth of the map for its text."""
    found = np.zeros(len(lesions), bool)
    for finding in sorted(set(findings)):
        direction = finding_direction(encoder, finding)
        mine = [i for i, one in enumerate(findings) if one == finding]
        for low in range(0, len(mine), _BATCH):
            part = mine[low : low + _BATCH]
            maps = text_maps(encoder, np.stack([lesions[i].picture for i in part]), direction)
            for i, values in zip(part, maps, strict=True):
                found[i] = is_in_brightest_tenth(values, lesions[i])
    return found


def finding_direction(encoder: WhyEncoder, finding: str) -> NDArray[np.float64]:
    """The direction of a finding's name as a free label."""
    [prompts] = free_labels([finding.replace("-", " ")]).prompts.values()
    return text_direction(encoder.encode_texts(prompts.present), encoder.encode_texts(prompts.absent))


def is_in_brightest_tenth(values: NDArray[np.float64], lesion: Lesion) -> bool:
    """Whether the lesion lies in the brightest tenth of the part of a map [S, S] that is on the picture."""
    inside = np.zeros(values.shape, bool)
    lesion.place.cut(inside)[:] = brightest_tenth(lesion.place.cut(values))
    return bool(inside[lesion.at])


def find_lesion(plan: StudyPlan, size: int, profile: str) -> Iterator[Lesion]:
    """The lesion of a planned study that has one finding, on the image where it shows most."""
    if len(plan.findings) != 1:
        return
    ill = synthesise_study(plan).series[0]
    well = synthesise_study(replace(plan, findings=())).series[0]
    shown = [i for i, seen in enumerate(ill.image_findings) if seen]
    if not shown:
        return
    change = [
        np.abs(ill.pixels[i].astype(np.float64) - well.pixels[i].astype(np.float64)).sum() for i in shown
    ]
    image = [shown[int(np.argmax(change))]]
    with_it, without = (series_inputs(one, size, image, profile)[0] for one in (ill, well))
    rows, columns = ill.pixels.shape[1:3]
    place = picture_place(rows, columns, profile)
    patient = f"{plan.anatomy} {plan.patient}"
    yield Lesion(plan.findings[0], patient, with_it, _middle(with_it, without), place)


def _middle(with_it: NDArray[np.uint8], without: NDArray[np.uint8]) -> tuple[int, int]:
    """Where two model inputs differ most, over a surrounding of a sixteenth of their side."""
    from scipy import ndimage

    change = np.abs(with_it.astype(np.float64) - without.astype(np.float64)).mean(axis=2)
    smooth = ndimage.gaussian_filter(change, len(change) / 32)
    row, column = divmod(int(smooth.argmax()), smooth.shape[1])
    return row, column
