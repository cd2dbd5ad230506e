"""A deflate stream that can be sought in."""

from __future__ import annotations

import gzip
import io
import random
from typing import Any

from medsiglip.ingest.files.inflate import GZIP, InflatedFile


def test_seeking_in_a_gzip_takes_up_at_landmarks() -> None:
    """Whatever the order of the reads, no more is unpacked than one pass and a landmark's distance each."""
    data = random.Random(5).randbytes(6 << 20)
    packed = io.BytesIO(gzip.compress(data, 1))
    unpacked = 0

    class Counting(InflatedFile):
        def _produce(self, size: Any) -> Any:
            nonlocal unpacked
            part = super()._produce(size)
            unpacked += len(part)
            return part

    reader = Counting(packed, 0, GZIP)
    places = random.Random(6).sample(range(len(data) - 100), 40)
    for place in places:
        reader.seek(place)
        assert reader.read(10) == data[place : place + 10]
    assert unpacked < len(data) + 40 * (2 << 20)
