"""An archive of random cases, and the same cases as plain Python values to compare answers with."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelKey, LabelRecord
from medsiglip.index.records import SeriesBundle
from tests.index.index_cases import count_images, make_bundle, unit_vectors

MARKS = ("blank", "near_blank", "window_warning", "lossy", "localizer", "projection", "reformatted")
NAMES = ("effusion", "nodule", "mass")


@dataclass
class Picture:
    """An image with all that it has of its series and study."""

    study: str
    values: dict[str, Any]
    quality: dict[str, Any]
    labels: dict[str, float] = field(default_factory=dict)


@dataclass
class RandomArchive:
    """Images, and which studies are in which collection."""

    pictures: list[Picture] = field(default_factory=list)
    collections: dict[str, set[str]] = field(default_factory=dict)

    def fitting(self, *tests: Callable[[Picture], bool]) -> set[str]:
        """The studies of which an image passes all tests."""
        return {one.study for one in self.pictures if all(test(one) for test in tests)}

    def of(self, study: str) -> list[Picture]:
        """The images of a study."""
        return [one for one in self.pictures if one.study == study]


def fill(index: CaseIndex, archive: RandomArchive, numbers: Iterable[int], seed: int) -> None:
    """Add studies of these numbers, with labels at every level, and some of them to collections."""
    rng = random.Random(seed)
    bundles, labels = [], []
    for number in numbers:
        of_study = _study(rng)
        for series in range(rng.randint(1, 3)):
            bundle = _series(rng, number, series, of_study)
            bundles.append(bundle)
            archive.pictures += _pictures(bundle)
        labels += _labels(
            rng, number, [one for one in bundles if one.study.study_instance_uid == f"2.25.{number}"]
        )
    index.add(bundles, unit_vectors(count_images(bundles), seed))
    index.labels.put(labels)
    _give(archive, labels)
    uids = sorted({bundle.study.study_instance_uid for bundle in bundles})
    for name in ("teaching", "to read"):
        chosen = rng.sample(uids, len(uids) // 3)
        index.collections.change(name, "tester", add=chosen)
        archive.collections.setdefault(name, set()).update(chosen)


def _study(rng: random.Random) -> dict[str, Any]:
    return {
        "patient_sex": rng.choice(["F", "f", "M", None, ""]),
        "patient_age": rng.choice([None, 0.5, 17.9, 18.0, 29.5, 44.0, 60.0, 61.0, 79.9, 80.0, 91.0]),
        "study_date": rng.choice(
            [None, "2021-03-04", "2022-01-01", "2022-12-31", "2023-06-07", "2024-02-29"]
        ),
        "study_description": rng.choice([None, "CHEST PA", "=1+1", "a|b"]),
    }


def _series(rng: random.Random, number: int, series: int, of_study: dict[str, Any]) -> SeriesBundle:
    fields = {
        "modality": rng.choice(["CT", "MR", "ct", "DX", None]),
        "body_part_examined": rng.choice(["CHEST", "CHEST|ABD", "HEAD", None, ""]),
    }
    bundle = make_bundle(
        number,
        rng.randint(1, 4),
        series=series,
        patient=f"patient{number % 7}",
        study_fields=of_study,
        series_fields=fields,
    )
    drawn = tuple(replace(one, quality=_quality(rng)) for one in bundle.images)
    return replace(bundle, images=drawn)


def _quality(rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {name: int(rng.random() < 0.1) for name in MARKS}
    found["sharpness"] = rng.random()
    if rng.random() < 0.9:
        found["burned_in"] = rng.choice(["yes", "likely", "no", "no", "no"])
    return found


def _pictures(bundle: SeriesBundle) -> list[Picture]:
    study, series = bundle.study, bundle.series
    found = []
    for place, image in enumerate(bundle.images):
        values = {
            "modality": series.modality,
            "body_part_examined": series.body_part_examined,
            "series": series.series_instance_uid,
            "instance": image.sop_instance_uid,
            "path": bundle.files[place].path,
            "sex": study.patient_sex,
            "age": study.patient_age,
            "date": study.study_date,
            "description": study.study_description,
            "patient": study.patient_key,
        }
        found.append(Picture(study.study_instance_uid, values, dict(image.quality)))
    return found


def _labels(rng: random.Random, number: int, bundles: Sequence[SeriesBundle]) -> list[LabelRecord]:
    """`mass` is given to whole studies only, the others at any level."""
    found = []
    if rng.random() < 0.5:
        found.append(LabelRecord("mass", float(rng.random() < 0.6), "study_instance_uid", f"2.25.{number}"))
    for name in NAMES[:2]:
        for _ in range(rng.randint(0, 3)):
            bundle = rng.choice(bundles)
            place = rng.randrange(len(bundle.images))
            kind, key = rng.choice(
                [
                    ("study_instance_uid", bundle.study.study_instance_uid),
                    ("series_instance_uid", bundle.series.series_instance_uid),
                    ("sop_instance_uid", bundle.images[place].sop_instance_uid),
                    ("path", bundle.files[place].path),
                ]
            )
            found.append(LabelRecord(name, rng.choice([0.0, 1.0, 1.0, 0.5]), kind, key))  # type: ignore[arg-type]
    return found


def _give(archive: RandomArchive, labels: Sequence[LabelRecord]) -> None:
    """The labels of each image: of a name the most specific, and of the same key the last."""
    last = {(one.key_kind, one.key, one.name): one.value for one in labels}
    levels: tuple[tuple[LabelKey, Callable[[Picture], str]], ...] = (
        ("study_instance_uid", lambda one: one.study),
        ("series_instance_uid", lambda one: one.values["series"]),
        ("sop_instance_uid", lambda one: one.values["instance"]),
        ("path", lambda one: one.values["path"]),
    )
    for picture in archive.pictures:
        for kind, key_of in levels:
            for name in NAMES:
                value = last.get((kind, key_of(picture), name))
                if value is not None:
                    picture.labels[name] = value


def code(text: str | None) -> str:
    """A code as filters compare it."""
    return (text or "").upper()


def filters(archive: RandomArchive) -> dict[str, Callable[[Picture], bool]]:
    """Expressions with what they ask of an image."""
    held = archive.collections
    return {
        "modality=CT": lambda p: code(p.values["modality"]) == "CT",
        "modality=CT|MR": lambda p: code(p.values["modality"]) in ("CT", "MR"),
        "not modality=CT": lambda p: code(p.values["modality"]) != "CT",
        "body_part_examined=": lambda p: not p.values["body_part_examined"],
        "body_part_examined=CHEST\\|ABD": lambda p: p.values["body_part_examined"] == "CHEST|ABD",
        "patient_sex=F": lambda p: code(p.values["sex"]) == "F",
        "patient_age=18..<30|80..": lambda p: _in(p.values["age"], 18, 30) or _in(p.values["age"], 80, 999),
        "patient_age=44..60": lambda p: _in(p.values["age"], 44, 60.0001),
        "patient_age=..<18": lambda p: _in(p.values["age"], -1, 18),
        "study_date=2022|2024-02": lambda p: (
            (p.values["date"] or "")[:4] == "2022" or (p.values["date"] or "")[:7] == "2024-02"
        ),
        "study_date=": lambda p: p.values["date"] is None,
        "quality.lossy=1": lambda p: p.quality["lossy"] == 1,
        "quality.burned_in=yes|likely": lambda p: p.quality.get("burned_in") in ("yes", "likely"),
        "quality.sharpness<0.5": lambda p: p.quality["sharpness"] < 0.5,
        "label:effusion=1": lambda p: p.labels.get("effusion") == 1,
        "label:mass=1": lambda p: p.labels.get("mass") == 1,
        "label:nodule=1 or label:mass=1": lambda p: 1 in (p.labels.get("nodule"), p.labels.get("mass")),
        "modality=DX or patient_age>=80": lambda p: (
            code(p.values["modality"]) == "DX" or _in(p.values["age"], 80, 999)
        ),
        "collection=teaching": lambda p: p.study in held["teaching"],
        "collection=teaching|to read": lambda p: p.study in held["teaching"] | held["to read"],
        "collection=": lambda p: p.study not in held["teaching"] | held["to read"],
        "collection!=teaching": lambda p: p.study not in held["teaching"],
        "patient_key=patient3": lambda p: p.values["patient"] == "patient3",
        "series_instance_uid=2.25.3.0": lambda p: p.values["series"] == "2.25.3.0",
        "frame=1": lambda p: True,
    }


def _in(value: float | None, low: float, high: float) -> bool:
    return value is not None and low <= value < high
