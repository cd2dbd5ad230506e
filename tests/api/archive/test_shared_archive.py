"""An archive as a server holds it: its model and its drawing in processes of their own, asked by threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medsiglip.api.archive.archive import Archive
from tests.api.conftest import Home


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures that the archive does not hold."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(3)
    paths = [folder / f"{n}.png" for n in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (90, 70, 3), dtype=np.uint8)).save(path)
    return paths


def questions(archive: Archive, picture: Path) -> list[Any]:
    return [
        archive.classify(images=[picture], labels=["melanoma", "naevus"]).to_json(),
        archive.search(image=picture, k=3).to_json(),
        archive.search(text="a dark lesion", k=3).to_json(),
    ]


def rounded(answer: Any) -> Any:
    """An answer whose numbers are rounded, for vectors differ in the last digit with their batch; a cursor
    holds the whole vector.
    """
    if isinstance(answer, dict):
        return {key: ANY if key == "cursor" else rounded(value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [rounded(value) for value in answer]
    return pytest.approx(answer, abs=1e-4) if isinstance(answer, float) else answer


@pytest.mark.long
def test_threads_get_the_answers_that_one_caller_gets(
    home: Home, pictures: list[Path], tmp_path: Path
) -> None:
    with Archive(home.path) as archive:
        expected = [questions(archive, picture) for picture in pictures]
        archive.embed([pictures[0].parent], tmp_path / "alone.parquet")
    with Archive(home.path) as archive:
        archive.share()
        assert archive.shared_encoder is None
        with ThreadPoolExecutor(7) as threads:
            embedding = threads.submit(archive.embed, [pictures[0].parent], tmp_path / "shared.parquet")
            answers = list(threads.map(lambda picture: questions(archive, picture), pictures))
            embedding.result()
        encoder = archive.shared_encoder
        assert encoder is not None
        assert sum(encoder.statistics().batches["image"].values()) > 0
        assert encoder.statistics().texts_kept == 3
        process = encoder.process_id
    assert answers == rounded(expected)
    alone, shared = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("alone", "shared"))
    assert alone.drop(["embedding"]) == shared.drop(["embedding"])
    vectors = [np.stack(one["embedding"].to_numpy(zero_copy_only=False)) for one in (alone, shared)]
    np.testing.assert_allclose(*vectors, rtol=0, atol=1e-6)
    assert process is not None
    assert encoder.process_id is None


def test_what_threads_need_first_together_is_opened_once(home: Home) -> None:
    with Archive(home.path) as archive:
        together = threading.Barrier(8)

        def open_it(_: int) -> tuple[Any, Any]:
            together.wait()
            return archive.index, archive.checkpoint

        with ThreadPoolExecutor(8) as threads:
            opened = list(threads.map(open_it, range(8)))
        assert len({id(index) for index, _ in opened}) == 1
        assert len({id(checkpoint) for _, checkpoint in opened}) == 1
