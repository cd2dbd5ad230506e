"""Damaged files end in images, skipped or quarantined: none crashes the run or a worker, hangs, or takes
memory because a header lies.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from medsiglip.ingest.reasons import REASONS
from tests.ingest.damage import DAMAGE
from tests.ingest.dicom_damage import DICOM_DAMAGE
from tests.ingest.mutation_run import Watch, run_mutations, slowest
from tests.ingest.mutations import mutated
from tests.ingest.seed_files import seed_files

SEED = 20_240_102
# In CI, and behind `make fuzz`.
FEW, MANY = 1_000, 20_000
SECONDS = 10.0
# A worker that has loaded all decoders holds 80 to 190 MiB; real files of 300 kB add up to 100.
MOST_WORKER_MIB, MOST_GROWTH_MIB = 512.0, 48.0
# Beside the codes of files: what became of the rest.
USED = {"embedded", "unchanged"}
# Whoever reads a message must not learn this of a patient.
NAMES = ("Doe^Jane", "PHANTOM HOSPITAL")


@pytest.fixture(scope="module")
def seeds(make_dicom: Any) -> Any:
    return seed_files(make_dicom, _real_files())


def _real_files() -> Path | None:
    folder = os.environ.get("MEDSIGLIP_TEST_DATA")
    return Path(folder) / "dicom" if folder else None


@pytest.fixture
def mutations(
    seeds: Any,
    tmp_path: Path,
    model: Any,
    encoder: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Any:
    """What a run over so many files saw, and all that it said."""

    def run(count: int) -> tuple[Watch, str]:
        caplog.set_level(logging.DEBUG)
        others = set(psutil.Process().children())  # multiprocessing's own, from earlier tests
        watch = run_mutations(seeds, SEED, count, tmp_path, model, encoder, monkeypatch.setattr)
        said = "\n".join([*watch.texts, *caplog.messages, *capfd.readouterr()])
        assert set(psutil.Process().children()) <= others
        return watch, said

    return run


def assert_sound(watch: Watch, said: str, count: int) -> None:
    assert watch.files >= count  # an archive counts as its members
    assert sum(watch.outcomes.values()) == watch.files
    assert set(watch.outcomes) <= REASONS.keys() | USED
    assert watch.outcomes["embedded"] > count / 10, watch.outcomes
    assert not watch.lost
    assert max(watch.scanned.values()) < SECONDS, list(slowest(watch.scanned))
    assert max(watch.memory.values()) < MOST_WORKER_MIB, list(slowest(watch.memory))
    assert not any(name in said for name in NAMES)
    assert "unreadable-file" not in watch.outcomes  # nothing is wrong with the disk


def test_the_same_seed_damages_the_same_files_in_the_same_way(seeds: Any, make_dicom: Any) -> None:
    again, own = seed_files(make_dicom), [seed for seed in seeds if not seed.name.startswith("real-")]
    assert [mutated(own, 1, n) for n in range(200)] == [mutated(again, 1, n) for n in range(200)]


def test_whole_seed_files_are_images_or_hold_none(seeds: Any, tmp_path: Path, run_whole: Any) -> None:
    """Damage to files that were never whole would show nothing."""
    quarantined = run_whole([seed for seed in seeds if not seed.name.startswith("real-")])
    assert quarantined == {}


def test_every_kind_of_damage_changes_files(seeds: Any) -> None:
    import random

    rng = random.Random(0)
    dicom = [seed.data for seed in seeds if seed.is_dicom and seed.pack is None][:80]
    for damage in {*DAMAGE, *DICOM_DAMAGE}:
        changed = sum(damage(data, rng) != data for data in dicom)
        assert changed > len(dicom) / 4, damage.__name__


@pytest.fixture
def run_whole(tmp_path: Path, model: Any, encoder: Any) -> Any:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.run.pipeline import ingest

    def run(chosen: Any) -> Any:
        for i, seed in enumerate(chosen):
            (tmp_path / "in" / str(i)).mkdir(parents=True)
            (tmp_path / "in" / str(i) / seed.name).write_bytes(seed.file)
        with CaseIndex.open(tmp_path / "home") as index:
            report = ingest([tmp_path / "in"], index, model, lambda: encoder)
        return {os.path.basename(str(r.path)): r.code for r in report.quarantined}

    return run


@pytest.mark.long
def test_damaged_files_end_in_images_skipped_or_quarantined(mutations: Any) -> None:
    watch, said = mutations(FEW)
    assert_sound(watch, said, FEW)


@pytest.mark.campaign
def test_many_damaged_files_end_in_images_skipped_or_quarantined(mutations: Any) -> None:
    watch, said = mutations(MANY)
    early, late = watch.resident[len(watch.resident) // 5], watch.resident[-1]
    print(f"{watch.files} files: {dict(watch.outcomes.most_common())}")
    print(f"slowest to scan: {next(slowest(watch.scanned))}, to render: {next(slowest(watch.rendered))}")
    print(f"memory after a fifth {early:.0f} MiB, at the end {late:.0f}; {next(slowest(watch.memory))}")
    assert_sound(watch, said, MANY)
    assert late - early < MOST_GROWTH_MIB, watch.resident
