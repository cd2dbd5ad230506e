"""A home of many labelled studies, whose vectors are drawn around those of texts, so that none is encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medsiglip.api.archive.archive import Archive
from medsiglip.index.label_records import LabelRecord
from tests.index.index_cases import make_bundle

STUDIES = 160
PRESENT, ABSENT = ("melanoma", "malignant melanoma"), ("benign naevus", "no melanoma")


def study_uid(number: int) -> str:
    """The UID of a study of the home."""
    return f"2.25.{number}"


def make_labelled_home(path: Path) -> None:
    """160 photographs of the skin of 120 patients; every third has the label `melanoma`, and each has one of
    the classes `alpha` and `beta`.
    """
    rng = np.random.default_rng(5)
    with Archive(path, model="tiny") as archive:
        archive.make()
        archive.index.activate(archive.space)
        sides = [archive.encoder.encode_texts(list(texts)).mean(axis=0) for texts in (ABSENT, PRESENT)]
        rows = np.stack([sides[int(number % 3 == 0)] for number in range(STUDIES)])
        # Only the part along the difference of the sides moves the margin.
        rows += np.outer(rng.normal(0, 0.45, STUDIES), sides[1] - sides[0])
        rows += rng.normal(0, 0.02, rows.shape)
        bundles = [
            make_bundle(
                number,
                1,
                patient=f"patient-{number % 120}",
                pixels=f"p{number}",
                study_fields={"patient_sex": "F" if number % 2 else "M", "patient_age": 40.0},
                series_fields={"modality": "XC", "body_part_examined": "SKIN"},
            )
            for number in range(STUDIES)
        ]
        vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        archive.index.add(bundles, vectors.astype(np.float32))
        archive.index.labels.put(
            [
                LabelRecord(name, float(value), "study_instance_uid", study_uid(number))
                for number in range(STUDIES)
                for name, value in (
                    ("melanoma", number % 3 == 0),
                    ("alpha", number % 3 == 0),
                    ("beta", number % 3 != 0),
                    ("always", True),
                )
            ]
        )
