"""Encoding in full batches and committing: how many images go together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.engines import local
from medsiglip.ingest.engines.local import ENCODED_TOGETHER, ENCODED_WITHIN_S, FIRST_TOGETHER
from medsiglip.ingest.run import commits
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from tests.ingest.run.run_cases import PIXELS


class CountingEncoder:
    """An encoder that remembers how many images it was given at a time."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder
        self.counts: list[int] = []

    def encode_images(self, images: Any) -> Any:
        self.counts.append(len(images))
        return self.encoder.encode_images(images)


def test_images_are_encoded_in_batches_as_they_come(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_dicom: Any
) -> None:
    """Every vector belongs to its image, whichever batch it came in."""
    count = 2 * ENCODED_TOGETHER + 9
    for n in range(count):
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS * (n + 1), SOPInstanceUID=f"2.25.9{n}")
    counting = CountingEncoder(encoder)
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, lambda: counting, IngestOptions(workers=1))
        table = index.table()
        found = {index.get(int(i)).path: v for i, v in zip(table.image_ids, table.vectors, strict=True)}
    assert counting.counts == [FIRST_TOGETHER, ENCODED_TOGETHER, ENCODED_TOGETHER, 9 - FIRST_TOGETHER]
    for n in (0, 70, count - 1):
        path = tmp_path / "in" / f"{n}.dcm"
        alone = tmp_path / f"home-{n}"
        with CaseIndex.open(alone) as index:
            ingest([path], index, model, lambda: encoder)
            np.testing.assert_array_equal(index.table().vectors[0], found[str(path)])


def test_a_slow_encoder_gets_as_many_images_as_a_commit_may_take(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_dicom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only the encoder moves: 2 s an image, as a large model takes on a processor."""
    now = [0.0]
    counts: list[int] = []
    kept: list[int] = []
    for module in (local, commits):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Slow:
        def encode_images(self, images: Any) -> Any:
            kept.append(index.info().images)
            counts.append(len(images))
            now[0] += 2.0 * len(images)
            return encoder.encode_images(images)

    for n in range(20):
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.6{n}")
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, Slow, IngestOptions(workers=1))
    most = int(ENCODED_WITHIN_S / 2.0)
    assert counts == [FIRST_TOGETHER, most, most, most]
    assert kept == [0, *np.cumsum(counts)[:-1]]
