"""Embedding anew that is killed: the archive works on as it was, nothing is done twice, nothing is lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Space
from medsiglip.ingest.run.pipeline import ingest
from medsiglip.ingest.run.reembedding import ModelInput, Renewed, reembed
from tests.ingest.run.run_cases import PIXELS
from tests.repository import ROOT

OTHER = Space("cd" * 32, "medsiglip-eval", 48, "other")
SCRIPT = textwrap.dedent(
    """
    import json, os, signal, sys
    from pathlib import Path
    sys.path[:0] = json.loads(sys.argv[2])
    from sqlalchemy import Engine, event
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.run import reembedding
    from tests.ingest.conftest import Encoder
    from tests.ingest.run.test_killed_reembedding import OTHER, renewed
    left = int(sys.argv[3])
    reembedding.MAX_COMMIT_IMAGES = reembedding.ENCODED_TOGETHER = 5

    def count(*_):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    with CaseIndex.open(Path(sys.argv[1])) as index:
        renewed(index, Encoder())
    """
)


def renewed(index: CaseIndex, encoder: Any, space: Space | None = OTHER) -> Renewed:
    return reembed(index, index.reembedding(space), ModelInput(32, "medsiglip-eval", 1), lambda: encoder)


LATER = ("2.25.101000", "2.25.101001")


class Other:
    """Another model: the vectors of the first, turned round."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        found: np.ndarray = self._encoder.encode_images(images)[:, ::-1]
        return np.ascontiguousarray(found)


@pytest.mark.long
def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, home: Any, run: Any, encoder: Any, write_series: Any, write_dicom: Any
) -> None:
    for n in range(5):
        write_series(tmp_path / "in" / str(n), 4, "MR" if n % 2 else "CT", uid=100 + n)
    write_dicom(tmp_path / "in" / "single.dcm", PIXELS, SOPInstanceUID="2.25.77")
    run(tmp_path / "in")
    shutil.copytree(home, tmp_path / "expected")
    with CaseIndex.open(tmp_path / "expected") as index:
        assert renewed(index, encoder).finished
        expected = named_vectors(index)
    draw = np.random.default_rng(5)
    codes, done = [], [0]
    paths = json.dumps([str(ROOT), *filter(None, sys.path)])
    for _ in range(6):
        moment = str(draw.integers(20, 160))
        ended = subprocess.run([sys.executable, "-c", SCRIPT, str(home), paths, moment], capture_output=True)
        codes.append(ended.returncode)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        with CaseIndex.open(home) as index:
            assert index.verify().problems == ()
            spaces = {one.name: one for one in index.spaces.listed()}
            done.append(spaces[OTHER.name].images if OTHER.name in spaces else 0)
            assert sorted(done) == done, "what is done stays done"
            assert len(index.search(np.eye(1, 48, dtype=np.float32), k=5)[0]) == 5
    assert -signal.SIGKILL in codes
    with CaseIndex.open(home) as index:
        left = renewed(index, encoder)
        assert left.finished
        assert left.images == 21 - done[-1]
        assert index.space == OTHER
        assert index.verify().problems == ()
        found = named_vectors(index)
        assert found.keys() == expected.keys()
        for key, vector in expected.items():
            np.testing.assert_array_equal(found[key], vector)
        assert [one.images for one in index.spaces.listed()] == [21, 21]


def named_vectors(index: CaseIndex) -> dict[tuple[str, int], np.ndarray]:
    table = index.table()
    images = [index.get(int(one)) for one in table.image_ids]
    return {(i.sop_instance_uid, i.frame): v for i, v in zip(images, table.vectors, strict=True)}


def test_images_that_come_meanwhile_are_embedded_too(
    tmp_path: Path, home: Any, run: Any, encoder: Any, write_series: Any, monkeypatch: Any
) -> None:
    write_series(tmp_path / "in" / "a", 3, uid=100)
    write_series(tmp_path / "later" / "b", 2, uid=101)
    run(tmp_path / "in")
    came: list[Any] = []

    class Slow(Other):
        def encode_images(self, images: np.ndarray) -> np.ndarray:
            if not came:
                came.append(run(tmp_path / "later"))
            return super().encode_images(images)

    with CaseIndex.open(home) as index:
        done = renewed(index, Slow(encoder))
        assert came[0]["embedded"] == 2
        assert (done.finished, done.images, done.missing) == (True, 5, set())
        found = named_vectors(index)
        assert sorted(uid for uid, _ in found) == [*(f"2.25.100{n:03d}" for n in range(3)), *LATER]


def test_an_ingest_that_began_before_the_switch_is_refused(
    tmp_path: Path, home: Any, run: Any, encoder: Any, model: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in" / "a", 3, uid=100)
    write_series(tmp_path / "later" / "b", 2, uid=101)
    run(tmp_path / "in")

    class Switching(Other):
        def encode_images(self, images: np.ndarray) -> np.ndarray:
            with CaseIndex.open(home) as index:
                assert renewed(index, encoder).finished
            return super().encode_images(images)

    with CaseIndex.open(home) as index:
        with pytest.raises(CatalogError) as refused:
            ingest([tmp_path / "later"], index, model, lambda: Switching(encoder))
        assert refused.value.code == "space-switched"
        assert index.info().images == 3
        assert index.verify().problems == ()
