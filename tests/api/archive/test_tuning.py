from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import run

pytestmark = pytest.mark.long


def pairs(folder: Path, count: int) -> Path:
    """Bright and dark pictures with captions that say which."""
    folder.mkdir()
    lines = ["path,caption,split"]
    for number in range(count):
        name = "bright" if number % 2 else "dark"
        level = (200 if number % 2 else 40) + number
        Image.fromarray(np.full((64, 64), level, np.uint8)).save(folder / f"{number}.png")
        lines.append(f"{number}.png,a {name} square {number},{'val' if number < 4 else 'train'}")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


def test_a_tuned_checkpoint_is_a_model_for_a_new_home(tmp_path: Path) -> None:
    data, out = pairs(tmp_path / "data", 16), tmp_path / "tuned"
    tuned = run(
        "--json",
        "tune",
        "--data",
        data,
        "--out",
        out,
        "--epochs",
        1,
        "--batch-size",
        4,
        "--learning-rate",
        1e-3,
    ).json
    assert tuned["checkpoint"] == str(out)
    assert tuned["training_pictures"] + tuned["validation_pictures"] == 16
    assert (out / "curve.png").is_file()
    report = run("--home", tmp_path / "home", "--model", out, "--json", "ingest", data / "1.png").json
    assert report["embedded"] == 1
    found = run("--home", tmp_path / "home", "--json", "search", "--text", "a bright square").json
    assert found["space"] == report["space"]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    data, words = pairs(tmp_path / "data", 8), ("--epochs", 1, "--batch-size", 4, "--learning-rate", 1e-3)
    weights = []
    for number, seed in enumerate((5, 5, 6)):
        out = tmp_path / f"tuned-{number}"
        assert run("tune", "--data", data, "--out", out, "--seed", seed, *words).code == 0
        weights.append((out / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_tuning_says_what_is_wrong_with_its_input(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = run("--json", "tune", "--data", tmp_path / "empty", "--out", tmp_path / "out")
    assert refused.code == 1
    assert "metadata.csv" in refused.error["message"]
    data = pairs(tmp_path / "data", 8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "keep.txt").write_text("mine")
    refused = run("--json", "tune", "--data", data, "--out", tmp_path / "out")
    assert refused.error["code"] == "folder-not-empty"
    assert (tmp_path / "out" / "keep.txt").read_text() == "mine"


def test_a_picture_is_tuned_on_as_it_is_ingested(tmp_path: Path) -> None:
    from medsiglip.ingest.pixels.decode import decode_picture
    from medsiglip.preprocess import to_model_input
    from medsiglip.tuning.data import read_pictures

    deep = np.random.default_rng(3).integers(0, 4096, (12, 20)).astype(np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray((deep >> 4).astype(np.uint8)).save(tmp_path / "turned.png", exif=exif)
    for name in ("deep.png", "turned.png"):
        tuned_on = np.empty((1, 16, 16, 3), np.uint8)
        read_pictures([tmp_path / name], tuned_on, "medsiglip-eval")
        ingested = to_model_input(decode_picture(str(tmp_path / name)).values, 16)
        assert np.array_equal(tuned_on[0], ingested)


@pytest.mark.parametrize("rate", ["nan", "inf", "-1", "0"])
def test_a_rate_that_is_no_rate_is_refused_and_leaves_nothing_behind(tmp_path: Path, rate: str) -> None:
    data = pairs(tmp_path / "data", 8)
    refused = run("--json", "tune", "--data", data, "--out", tmp_path / "out", f"--learning-rate={rate}")
    assert (refused.code, refused.error["code"]) == (1, "option-invalid")
    assert not (tmp_path / "out").exists()


def test_the_threads_of_tuning_sleep_while_they_wait(tmp_path: Path) -> None:
    """OpenMP itself says what it read when torch loaded it (OpenMP 5.2, 21.7)."""
    words = ["tune", "--data", pairs(tmp_path / "data", 8), "--out", tmp_path / "out", "--epochs", 1]
    environment = {**os.environ, "OMP_DISPLAY_ENV": "TRUE"}
    environment.pop("OMP_WAIT_POLICY", None)
    ran = subprocess.run(
        [sys.executable, "-m", "medsiglip.api.cli", *map(str, words), "--batch-size", "4"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in ran.stderr


def test_tuning_is_told_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medsiglip.tuning import tune as tuning

    data, out = pairs(tmp_path / "data", 8), tmp_path / "out"
    words = ("tune", "--data", data, "--out", out, "--epochs", 2, "--batch-size", 4)
    whole = tuning._Run._train

    def stop(one: Any, chosen: Any) -> float:
        if one._step == 1:
            raise KeyboardInterrupt
        return whole(one, chosen)

    monkeypatch.setattr(tuning._Run, "_train", stop)
    assert "the same command goes on" in run(*words).out
    monkeypatch.undo()
    again = run("--json", *words)
    assert "goes on after its last whole epoch" in again.err
    assert again.json["interrupted"] is False
    assert run("--json", *words).error["code"] == "folder-not-empty"
