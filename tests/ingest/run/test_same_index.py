"""One corpus, one index: however many workers, in whatever order, and however often interrupted."""

from __future__ import annotations

import json
import os
import random
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
from medsiglip.ingest.render.renderings import version_of
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.units.plan import PlanOptions
from tests.ingest.mixed_corpus import write_everything
from tests.repository import ROOT

SECRET = bytes(range(32))
PLAN = PlanOptions(max_slices=12, max_patches=6)
TOTALS = ("files", "studies", "series", "instances", "images", "skipped", "quarantined", "space")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_dicom: Any, write_series: Any) -> Any:
    return write_everything(tmp_path_factory.mktemp("corpus") / "in", write_dicom, write_series)


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Homes that share one key, so that their pseudonyms can be compared."""

    def new_home(name: Any) -> Any:
        home = tmp_path_factory.mktemp(name)
        (home / "secret.key").write_bytes(SECRET)
        (home / "secret.key").chmod(0o600)
        return home

    return new_home


@pytest.fixture(scope="module")
def run(model: Any, encoder: Any) -> Any:
    def run(home: Any, *paths: Any, workers: Any = 2) -> Any:
        with CaseIndex.open(home) as index:
            options = IngestOptions(workers=workers, plan=PLAN)
            report = ingest(paths, index, model, lambda: encoder, options).to_json()
        counted = report["files_embedded"] + report["files_unchanged"]
        assert report["files"] == counted + len(report["skipped"]) + len(report["quarantined"])
        return {name: report[name] for name in TOTALS} | {"in": counted}

    return run


def content(home: Any) -> Any:
    """Everything that an index says, but for row ids and the moment at which a study was added."""
    with CaseIndex.open(home) as index:
        verification = index.verify()
        assert verification.ok, verification.problems
        info = index.info()
        studies = {one.study_instance_uid: index.study(one.study_instance_uid) for one in index.studies()}
        images, vectors = {}, {}
        for study in studies.values():
            for image in study.images:
                key = (image.sop_instance_uid, image.pixel_hash, image.frame, image.rendering)
                assert key not in images
                facts = {name: getattr(image, name) for name in image.__slots__ if name != "image_id"}
                images[key] = facts
                vectors[key] = index.vectors([image.image_id])[0]
        series = {
            uid: sorted(study.series, key=lambda one: one.series.series_instance_uid)
            for uid, study in studies.items()
        }
        return {
            "counts": (info.studies, info.series, info.instances, info.images, info.vectors, info.patients),
            "studies": {uid: (study.study, study.labels) for uid, study in studies.items()},
            "series": series,
            "images": images,
            "files": dict(index.files.by_path()),
        }, vectors


def assert_same(home: Any, other: Any) -> None:
    (mine, my_vectors), (theirs, their_vectors) = content(home), content(other)
    for part in mine:
        assert mine[part] == theirs[part], part
    for key, vector in my_vectors.items():
        np.testing.assert_allclose(vector, their_vectors[key], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def whole(corpus: Any, new_home: Any, run: Any) -> Any:
    """The home and the totals of a run that nothing disturbs."""
    home = new_home("whole")
    return home, run(home, corpus, workers=1)


def test_every_rendering_that_is_stored_has_a_version(whole: Any) -> None:
    stored = {image["rendering"] for image in content(whole[0])[0]["images"].values()}
    assert {"colour", "ct-rgb-3window", "picture"} <= stored
    assert all(version_of(name) == (1 if name.startswith("slide-") else 2) for name in stored)


@pytest.mark.long(every=2)
@pytest.mark.parametrize("workers", [2, 4])
def test_the_number_of_workers_does_not_show(
    corpus: Any, new_home: Any, run: Any, whole: Any, workers: Any
) -> None:
    home = new_home("other")
    assert run(home, corpus, workers=workers) == whole[1]
    assert_same(home, whole[0])


@pytest.mark.long(every=2)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_files_does_not_show(
    corpus: Any, tmp_path: Path, new_home: Any, run: Any, whole: Any, seed: Any
) -> None:
    """Named one by one in any order, in folders whose listings have another order."""
    draw = random.Random(seed)
    _write_in_another_order(corpus, tmp_path / "aside", draw)
    paths = sorted(corpus.iterdir())
    draw.shuffle(paths)
    home = new_home("other")
    assert run(home, *paths) == whole[1]
    assert_same(home, whole[0])


def _write_in_another_order(folder: Any, aside: Any, draw: Any) -> None:
    shutil.copytree(folder, aside)
    shutil.rmtree(folder)
    paths = sorted(path for path in aside.rglob("*") if path.is_file())
    draw.shuffle(paths)
    for path in paths:
        target = folder / path.relative_to(aside)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


SCRIPT = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    sys.path[:0] = json.loads(sys.argv[3])
    from sqlalchemy import Engine, event
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.engines import local
    from medsiglip.ingest.run import commits
    from medsiglip.ingest.errors import InterruptedIngestError
    from medsiglip.ingest.run.pipeline import IngestOptions, ingest
    from medsiglip.ingest.units.plan import PlanOptions
    from ingest_test_conftest import Encoder, Model

    local.ENCODED_TOGETHER, commits.COMMIT_EVERY_S = 1, 0.0
    event.listen(Engine, "before_cursor_execute", lambda *_: os.write(1, b"."))
    options = IngestOptions(workers=2, plan=PlanOptions(max_slices=12, max_patches=6))
    try:
        with CaseIndex.open(Path(sys.argv[1])) as index:
            ingest([sys.argv[2]], index, Model(), Encoder, options, lambda moment: os.write(1, b"."))
    except (InterruptedIngestError, KeyboardInterrupt):  # the second while the index opens or closes
        sys.exit(130)
    """
)


@pytest.fixture
def interrupted(tmp_path: Path, corpus: Any) -> Any:
    """An ingest in a process of its own that gets a signal at some moment; how far it came and how it ended.

    Every unit is a commit there, and it tells of every statement to the catalogue and every step.
    """
    shutil.copy(ROOT / "tests" / "ingest" / "conftest.py", tmp_path / "ingest_test_conftest.py")
    paths = json.dumps([str(tmp_path), *filter(None, sys.path)])

    def interrupted(home: Any, number: Any, moment: Any) -> Any:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home), str(corpus), paths], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        steps = 0
        while steps < moment and os.read(process.stdout.fileno(), 1):
            steps += 1
        process.send_signal(number)
        process.communicate(timeout=60)
        return steps, process.returncode

    return interrupted


def interrupt(
    times: int,
    corpus: Any,
    whole: Any,
    new_home: Any,
    run: Any,
    interrupted: Any,
    seed: int,
    *,
    each_time_anew: bool,
) -> None:
    """Signals at random moments of runs that go on where the last one ended, or of runs that begin anew."""
    draw = random.Random(seed)
    steps, code = interrupted(new_home("counted"), signal.SIGTERM, 1 << 30)
    assert code == 0
    ends = []
    home = new_home("disturbed-0")
    for number in range(times):
        kind = (signal.SIGINT, signal.SIGKILL)[number % 2]
        _, code = interrupted(home, kind, draw.randrange(1, steps if each_time_anew else steps // 3))
        ends.append(code)
        if each_time_anew or number == times - 1:
            assert run(home, corpus) == whole[1], seed
            assert_same(home, whole[0])
            home = new_home(f"disturbed-{number + 1}")
    assert set(ends) <= {0, 130, -signal.SIGKILL}
    assert {130, -signal.SIGKILL} <= set(ends)


@pytest.mark.long
def test_interruptions_of_one_ingest_do_not_show(
    corpus: Any, whole: Any, new_home: Any, run: Any, interrupted: Any
) -> None:
    interrupt(4, corpus, whole, new_home, run, interrupted, 5, each_time_anew=False)


@pytest.mark.campaign
@pytest.mark.parametrize("each_time_anew", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_no_interruption_shows(
    corpus: Any, whole: Any, new_home: Any, run: Any, interrupted: Any, seed: Any, each_time_anew: Any
) -> None:
    interrupt(10, corpus, whole, new_home, run, interrupted, seed, each_time_anew=each_time_anew)
