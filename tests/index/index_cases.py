"""Made-up cases: what a test says is fixed, the rest follows from the numbers it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import (
    FileRecord,
    ImageRecord,
    InstanceRecord,
    SeriesBundle,
    SeriesRecord,
    Space,
    StoredImage,
    StudyRecord,
)

sqlite_only = pytest.mark.parametrize("server", ["sqlite"], indirect=True)
"""The test is about SQLite's own files."""

DIMENSION = 16
SPACE = Space("c0ffee" * 10 + "beef", "medsiglip-eval", DIMENSION, "tiny")


def unit_vectors(count: int, seed: int = 0, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Random directions, float32 [count, dimension]."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def make_bundle(
    study: int,
    images: int = 2,
    *,
    series: int = 0,
    patient: str | None = None,
    pixels: str | Sequence[str] = "a",
    study_fields: dict[str, Any] | None = None,
    series_fields: dict[str, Any] | None = None,
    image_fields: dict[str, Any] | None = None,
    instance_fields: dict[str, Any] | None = None,
    replace_series: bool = False,
) -> SeriesBundle:
    """A series of single-frame instances, each with its file `/data/<study>/<series>/<i>.dcm`.

    `pixels` are the pixel hashes, or what they begin with.
    """
    uid = f"2.25.{study}"
    series_uid = f"{uid}.{series}"
    instances = tuple(
        InstanceRecord(
            f"{series_uid}.{i}",
            f"{pixels}-{study}-{series}-{i}" if isinstance(pixels, str) else pixels[i],
            instance_number=i,
            **(instance_fields or {}),
        )
        for i in range(images)
    )
    pictures = tuple(
        replace(
            ImageRecord(one.sop_instance_uid, one.pixel_hash, 1, slice_index=i, rendering="voi"),
            **(image_fields or {}),
        )
        for i, one in enumerate(instances)
    )
    files = tuple(
        FileRecord(
            f"/data/{study}/{series}/{i}.dcm",
            1000 + i,
            10**18 + i,
            content_hash=f"{pixels}{i}" if isinstance(pixels, str) else pixels[i],
            sop_instance_uid=one.sop_instance_uid,
            pixel_hash=one.pixel_hash,
        )
        for i, one in enumerate(instances)
    )
    return SeriesBundle(
        StudyRecord(uid, patient or f"patient-{study}", **(study_fields or {})),
        SeriesRecord(series_uid, **({"modality": "CT"} | (series_fields or {}))),
        instances,
        pictures,
        files,
        replace_series,
    )


def count_images(bundles: Sequence[SeriesBundle]) -> int:
    """How many vectors bundles need."""
    return sum(len(bundle.images) for bundle in bundles)


def images_of_file(index: CaseIndex, path: str) -> list[StoredImage]:
    """The images that an ingested file led to, by frame."""
    record = index.files.at([path]).get(path)
    if record is None or record.sop_instance_uid is None:
        return []
    return index.find_image(record.sop_instance_uid, record.pixel_hash)
