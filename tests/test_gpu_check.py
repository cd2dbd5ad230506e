"""`make gpu-check`: its parts run on the processor without a GPU, and only figures of a GPU are stored."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import results_file
from benchmarks.gpu import __main__ as program
from benchmarks.gpu.device_vectors import device_vectors
from benchmarks.gpu.encoder_rate import operations
from benchmarks.gpu.index_search import IndexRates
from benchmarks.gpu.limits import Machine, copies, products
from benchmarks.measure import Outcome
from medsiglip.architecture import Tower
from medsiglip.index.search.kinds.gpu.device import find_device
from tests.repository import ROOT

FACTS = {"processor": "NVIDIA H100, AMD EPYC", "cores": 16}
SMALL = Machine(torch.device("cpu"), False)
GOOD = Outcome("ours ÷ peer", 1.0, "the same", 3, [1.0, 2.0, 3.0], [2.0, 4.0, 6.0])


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results_file, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--no-tests"])
    return tmp_path


@pytest.mark.skipif(find_device()[0] is not None, reason="there is a GPU: run make gpu-check")
def test_without_a_gpu_all_parts_run_and_nothing_is_stored(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_ROUNDS", 1)
    assert program.main() == 0
    printed = capsys.readouterr().out
    assert "NO GPU: this runs on the processor, at a small size" in printed
    for key in ("B1", "B2", "B4", "B5", "B6"):
        assert f"{key}  ran on the processor, its guard holds." in printed
    assert "the GPU path itself was not run" in printed
    assert list(results.iterdir()) == []


def parts(
    found: dict[str, Outcome | Exception],
) -> Callable[[Machine], Iterator[tuple[str, Callable[[], Outcome]]]]:
    def run(one: Outcome | Exception) -> Outcome:
        if isinstance(one, Exception):
            raise one
        return one

    return lambda machine: iter([(key, lambda one=one: run(one)) for key, one in found.items()])


def test_figures_of_a_gpu_are_stored_one_by_one(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "_machine", lambda: (Machine(torch.device("cpu"), True), FACTS))
    broken = Outcome("title", 1.0, "the same", 3, failure="another answer")
    found: dict[str, Outcome | Exception] = {"B5": GOOD, "B6": RuntimeError("gone"), "B1": broken}
    monkeypatch.setattr(program, "_parts", parts(found))
    assert program.main() == 1
    stored = json.loads((results / "nvidia-h100-amd-epyc-16-cores.json").read_text())
    assert stored["machine"]["processor"] == "NVIDIA H100, AMD EPYC"
    assert stored["ratios"]["B5"]["ratio"] == 2.0
    assert stored["ratios"]["B1"]["guard_failure"] == "another answer"
    assert "B6" not in stored["ratios"]
    printed = capsys.readouterr()
    assert "B6  not measured: RuntimeError: gone" in printed.out
    assert "NO GPU" not in printed.out


def test_what_does_not_fit_into_the_time_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path
) -> None:
    monkeypatch.setattr(program, "_LAST_BEGINNING", -1.0)
    monkeypatch.setattr(program, "_parts", parts({"B5": GOOD}))
    assert program.main() == 1
    assert "B5  left out: no time remains" in capsys.readouterr().out
    assert list(results.iterdir()) == []


@pytest.mark.parametrize("large", [True, False])
def test_tests_that_fail_or_take_too_long_are_a_failure(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU those of the GPU alone are run."""
    answers: list[int | Exception] = [0, 1, subprocess.TimeoutExpired("pytest", 1)]
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        answer = answers[len(commands) - 1]
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(command, answer)

    monkeypatch.setattr(sys, "argv", ["gpu-check"])
    monkeypatch.setattr(program, "_parts", parts({"B5": GOOD}))
    monkeypatch.setattr(program, "_machine", lambda: (Machine(torch.device("cpu"), large), FACTS))
    monkeypatch.setattr(subprocess, "run", run)
    assert [program.main() for _ in answers] == [0, 1, 1]
    assert {"-k" in command and "cuda" in command[-1] for command in commands} == {large}
    assert (ROOT / program.TESTS / "test_gpu_index.py").is_file()


def test_an_index_that_answers_otherwise_gives_no_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = IndexRates(SMALL, 1)
    assert rates.wrong is None
    host = rates.index._host
    assert rates.alone().ratio is not None
    monkeypatch.setattr(rates, "wrong", rates._checked(host.copy()))
    assert rates.wrong is None
    host.remove(rates.index.search(rates.vectors.queries[:1], 1).ids[0])
    other = host.copy()
    rates.index._host.add(np.array([9999]), rates.vectors.queries[:1])
    assert rates._checked(other) == "another answer than that of the host"


def test_known_operations_of_one_image() -> None:
    """979 GFLOP for an image of MedSigLIP."""
    assert operations(Tower(1152, 4304, 27, 16, "gelu", 1e-6), 448, 14) == pytest.approx(979e9, rel=1e-3)


def test_limits_scale_to_what_was_asked_for() -> None:
    for limit in (products(SMALL, 3e9, torch.float32), copies(SMALL, 2e7)):
        assert limit.seconds() > 0
        assert 0.3 < limit.scale < 3
    assert products(SMALL, 2.0 * 512**3 * 5, torch.float32).scale == 1.0


def test_vectors_of_a_device_are_like_embeddings() -> None:
    """Of unit length, off the origin, images of a study near each other, and texts far from all."""
    made = device_vectors(torch.device("cpu"), 2000, 64, 40)
    assert made.rows.shape == (2000, 64)
    assert made.queries.shape == (40, 64)
    assert np.allclose(np.linalg.norm(np.concatenate([made.rows, made.queries]), axis=1), 1, atol=1e-5)
    images, texts = (made.queries[start::2] @ made.rows.T for start in (0, 1))
    study = np.einsum("ij,ij->i", made.rows[::10], made.rows[1::10]).mean()
    assert study > images.mean() + 0.05 > texts.mean() + 0.2
    again = device_vectors(torch.device("cpu"), 2000, 64, 40)
    assert np.array_equal(made.rows, again.rows)
