"""What the probes of a home say of picture files and studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.questions import ImagePrediction, Prediction
from medsiglip.api.archive.files import AnyPath, require_pictures
from medsiglip.api.archive.fitting_sources import probe_warnings_of_study
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.probes.registry import loaded_probe, require_space, stored_probe
from medsiglip.api.archive.queries import Picture, pictures_of_file, pictures_of_study
from medsiglip.api.archive.scores.calibrated import calibrated_fields, calibrated_probe
from medsiglip.api.archive.scores.classification import image_scores, require_study
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.numerics import Floats, mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import ProbeRecord
    from medsiglip.probes.probe import Probe


@in_one_space
def predict_probe(
    archive: OpenedArchive,
    name: str,
    *,
    images: Sequence[AnyPath] = (),
    study: str | None = None,
    by_image: bool = False,
) -> Prediction:
    """Probabilities of a probe's labels for picture files or a study.

    What is scored is what the probe was trained on (each image, each series, or the study as a whole), and
    pooled by the maximum per label. `by_image` adds the scores of each image of a study, where the probe
    scores images on their own. `trained_on` tells of patients that the probe was trained on, or who
    share a picture with one.
    """
    images = several("images", images)
    if bool(images) == (study is not None):
        raise ServiceError("one-of", "predict for either picture files or one study.")
    require_study(by_image, study)
    require_pictures(images)
    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, archive.space.name)
    asked = [study] if study is not None else images
    results, of_whom = [], []
    said: dict[str, None] = {}
    for one in asked:
        pictures = pictures_of_study(archive, study) if study is not None else pictures_of_file(archive, one)
        found, logits = _predicted(probe, pictures, record.summary["level"])
        level = "study" if study is not None else "image" if len(pictures) == 1 else None
        judged, notes = calibrated_probe(archive, record, probe, logits, level)
        results.append({**found, **calibrated_fields(judged)})
        if by_image and (record.summary["level"] == "image" or probe.pooling == "max"):
            each = probe.probability(probe.predict_logits(np.stack([one.vector for one in pictures])))
            results[-1]["by_image"] = image_scores(pictures, probe.labels, each)
        said |= dict.fromkeys(notes)
        of_whom.append(_Sources.of(pictures))
    trained = _trained_on(archive, record, of_whom)
    shared: dict[str, Any] = {
        "name": name,
        "space": probe.space,
        "warnings": (*trained_warnings(name, sum(trained), len(trained)), *said),
    }
    if study is not None:
        shared["warnings"] = (*shared["warnings"], *probe_warnings_of_study(archive, record, study))
        shared["study_instance_uid"] = study
    if len(results) == 1:
        return Prediction(**shared, **results[0], trained_on=trained[0])
    pairs = zip(results, trained, strict=True)
    return Prediction(**shared, results=tuple(ImagePrediction(**one, trained_on=seen) for one, seen in pairs))


@dataclass(frozen=True, slots=True)
class _Sources:
    """Whose pictures were scored, as far as it is known, and their pixel hashes."""

    patients: frozenset[str]
    pixel_hashes: frozenset[str]

    @classmethod
    def of(cls, pictures: Sequence[Picture]) -> _Sources:
        """Those of the pictures of one file or study."""
        patients = frozenset(one.patient_key for one in pictures if one.patient_key is not None)
        return cls(patients, frozenset(one.pixel_hash for one in pictures))


def _trained_on(archive: OpenedArchive, record: ProbeRecord, sources: Sequence[_Sources]) -> list[bool]:
    """Whether the probe has seen the patient of each source, or one who has a picture of it."""
    instances = archive.index.instances
    holders = instances.holders_of_pictures(frozenset[str]().union(*(one.pixel_hashes for one in sources)))
    keys = [one.patients.union(*(holders[picture] for picture in one.pixel_hashes)) for one in sources]
    seen = instances.seen_patients(frozenset[str]().union(*keys), [record])[record.name]
    return [not seen.isdisjoint(theirs) for theirs in keys]


def trained_warnings(name: str, trained_on: int, of: int) -> tuple[str, ...]:
    """What to say where a probe scores what it was trained on: so many of the files, or rows."""
    if not trained_on:
        return ()
    if of == 1:
        return (
            f"The probe {name} was trained on this patient's pictures, or on identical ones, and has learned "
            "this answer: how good it is on new patients, its out-of-fold figures say.",
        )
    return (
        f"{trained_on} of {of} are of patients that the probe {name} was trained on, or who share a picture "
        "with one: these answers, marked `trained_on`, it has learned.",
    )


def _predicted(probe: Probe, pictures: Sequence[Picture], level: str) -> tuple[dict[str, Any], Floats]:
    """Fields of a prediction: scores of what stands at `level`, pooled by the maximum per label, or by the
    mean of classes that exclude each other; and their logits [L], pooled so.
    """
    groups: dict[str, list[Picture]] = {}
    for number, picture in enumerate(pictures):
        name = {"image": str(number), "series": picture.series_instance_uid, "study": ""}[level]
        groups.setdefault(name, []).append(picture)
    rows = list(groups.values())
    if probe.pooling == "max":
        found = [probe.predict_logits(np.stack([picture.vector for picture in row])) for row in rows]
        logits = np.stack([one.max(axis=0) for one in found])
        best = int(probe.probability(logits).max(axis=1).argmax())
        driving = rows[best][int(found[best].max(axis=1).argmax())]
    else:
        logits = probe.predict_logits(
            np.stack([mean_vector([picture.vector for picture in row]) for row in rows])
        )
        driving = rows[int(probe.probability(logits).max(axis=1).argmax())][0]
    probability = probe.probability(logits)
    each = probability.mean(axis=0) if probe.exclusive else probability.max(axis=0)
    together = logits.mean(axis=0) if probe.exclusive else logits.max(axis=0)
    pooled = dict(zip(probe.labels, each.tolist(), strict=True))
    return {"image": driving.named, "images": len(pictures), "probability": pooled}, together
