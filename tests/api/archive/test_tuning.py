from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.api.conftest import run


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
