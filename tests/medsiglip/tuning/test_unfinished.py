"""A tuning run that is killed, stopped or refused, and what it leaves behind."""

from __future__ import annotations

import csv
import math
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsiglip.checkpoint import Checkpoint, open_checkpoint
from medsiglip.errors import ModelError
from medsiglip.tuning.curve import CurvePoint, curve_figure
from medsiglip.tuning.tune import TuneOptions, tune
from medsiglip.tuning.unfinished import STATE
from tests.medsiglip.conftest import write_squares

pytestmark = pytest.mark.long

OPTIONS = TuneOptions(epochs=4, batch_size=8, learning_rate=1e-3, captions_per_step=1, device="cpu")


def killed(data: Path, out: Path, checkpoint: Checkpoint, options: TuneOptions, at: int) -> None:
    """Run it in a fork, which kills itself in the midst of step `at`."""
    process = os.fork()
    if not process:

        def kill(stage: str, done: int, total: int) -> None:
            if stage == "train" and done == at:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            tune(data, out, checkpoint=checkpoint, options=options, on_progress=kill)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


def epochs(folder: Path) -> list[int]:
    with (folder / "curve.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


def test_a_killed_run_goes_on_to_the_same_weights(untrained: Checkpoint, tmp_path: Path) -> None:
    squares, resumed = write_squares(tmp_path / "squares", 3), tmp_path / "resumed"
    options = replace(OPTIONS, epochs=3)
    killed(squares, resumed, untrained, options, at=4)  # in the second epoch of 2 steps each
    assert epochs(resumed) == [0, 1]
    assert (resumed / "curve.png").is_file()
    ends_as_a_whole_run_does(squares, resumed, untrained, options)


def test_a_run_with_a_locked_tower_goes_on_to_the_same_weights(untrained: Checkpoint, tmp_path: Path) -> None:
    """The optimizer Muon and the captions' own vectors have states too."""
    squares, resumed = write_squares(tmp_path / "squares", 26), tmp_path / "resumed"
    options = replace(OPTIONS, epochs=2, optimizer="muon", train="image", batch_size=32)

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == total - 1:
            raise KeyboardInterrupt

    assert tune(squares, resumed, checkpoint=untrained, options=options, on_progress=interrupt).interrupted
    ends_as_a_whole_run_does(squares, resumed, untrained, options)


def ends_as_a_whole_run_does(
    squares: Path, resumed: Path, checkpoint: Checkpoint, options: TuneOptions
) -> None:
    whole, steps = resumed.with_name("whole"), []
    tuned = tune(squares, whole, checkpoint=checkpoint, options=options)
    report = tune(
        squares,
        resumed,
        checkpoint=checkpoint,
        options=options,
        on_progress=lambda stage, done, _: steps.append(done) if stage == "train" else None,
    )
    assert steps[0] > 1
    for name in ("model.safetensors", "config.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes(), name
    measures = [
        [(p.epoch, p.validation_loss, p.recall_at_1, p.recall_at_5) for p in one.curve]
        for one in (tuned, report)
    ]
    assert repr(measures[0]) == repr(measures[1])
    assert sorted(path.name for path in whole.iterdir()) == sorted(path.name for path in resumed.iterdir())


def test_an_unfinished_run_goes_on_only_as_it_was_begun(
    untrained: Checkpoint, squares: Path, tmp_path: Path
) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == total - 1:
            raise KeyboardInterrupt

    def interrupt_reading(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        tune(squares, out, checkpoint=untrained, options=OPTIONS, on_progress=interrupt_reading)
    assert tune(squares, out, checkpoint=untrained, options=OPTIONS, on_progress=interrupt).interrupted
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ModelError, match="another learning rate, seed") as caught:
        tune(squares, out, checkpoint=untrained, options=replace(OPTIONS, learning_rate=2e-3, seed=1))
    assert caught.value.code == "other-run"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    report = tune(squares, out, checkpoint=untrained, options=OPTIONS)
    assert [point.epoch for point in report.curve] == [0, 1, 2, 3, 4]
    assert open_checkpoint(str(out)).hash != untrained.hash


def test_an_error_leaves_what_the_same_command_goes_on_from(untrained: Checkpoint, tmp_path: Path) -> None:
    squares, out = write_squares(tmp_path / "squares", 3), tmp_path / "out"
    options = replace(OPTIONS, epochs=2)
    failing = ("train", 3)  # in the second epoch

    def fail(stage: str, done: int, total: int) -> None:
        if stage == failing[0] and done > failing[1]:
            raise ModelError("folder-unwritable", "no space")

    def fails(code: str) -> None:
        with pytest.raises(ModelError) as caught:
            tune(squares, out, checkpoint=untrained, options=options, on_progress=fail)
        assert caught.value.code == code

    fails("folder-unwritable")
    kept = (out / STATE).read_bytes()
    failing = ("read", 0)  # before the state is looked at again
    fails("folder-unwritable")
    picture = sorted(squares.glob("*.png"))[0]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # as long as before
    fails("other-run")
    assert (out / STATE).read_bytes() == kept
    picture.write_bytes(whole)
    report = tune(squares, out, checkpoint=untrained, options=options)
    assert [point.epoch for point in report.curve] == [0, 1, 2]
    assert not (out / STATE).exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-3, 0.0])
def test_a_rate_that_is_no_rate_is_refused(value: float) -> None:
    with pytest.raises(ModelError) as caught:
        TuneOptions(learning_rate=value)
    assert caught.value.code == "option-invalid"


@pytest.mark.parametrize("name", ["weight_decay", "warmup", "shift", "intensity", "validation_fraction"])
@pytest.mark.parametrize("value", [math.nan, -0.1, 1.5])
def test_options_that_are_no_shares_are_refused(name: str, value: float) -> None:
    with pytest.raises(ModelError) as caught:
        TuneOptions(**{name: value})  # type: ignore[arg-type]
    assert caught.value.code == "option-invalid"


def test_a_refused_run_leaves_nothing_behind(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
    for refused in ({"train": "image"}, {"device": "abacus"}):
        with pytest.raises(ModelError):
            tune(squares, tmp_path / "out", checkpoint=untrained, options=replace(OPTIONS, **refused))  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()


def test_a_run_that_diverges_leaves_a_checkpoint_and_no_state(
    untrained: Checkpoint, squares: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        tune(squares, tmp_path, checkpoint=untrained, options=replace(OPTIONS, learning_rate=1e30))
    assert caught.value.code == "loss-not-finite"
    assert open_checkpoint(str(tmp_path)).hash == untrained.hash
    assert not [path.name for path in tmp_path.iterdir() if "state" in path.name or "run" in path.name]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11, 101])
def test_the_curve_has_whole_epochs_and_retrieval_at_1_and_5(count: int) -> None:
    curve = [CurvePoint(n, 2.0 / (n + 1), 3.0 / (n + 1), 0.2, 0.5, float(n)) for n in range(count)]
    figure = curve_figure(curve)
    losses, recall = figure.axes
    figure.canvas.draw()
    ticks = [tick for tick in losses.get_xticks() if losses.get_xlim()[0] <= tick <= losses.get_xlim()[1]]
    assert ticks
    assert all(float(tick).is_integer() for tick in ticks)
    drawn = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in recall.get_lines()}
    assert drawn == {
        "recall at 1, image to text": [0.2] * count,
        "recall at 5, image to text": [0.5] * count,
    }
    legend = losses.get_legend()
    assert legend is not None
    assert "recall at 1, image to text" in [text.get_text() for text in legend.get_texts()]
