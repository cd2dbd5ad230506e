from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medsiglip.checkpoint import Checkpoint, open_checkpoint, read_weights
from medsiglip.encoder import Encoder
from medsiglip.errors import ModelError
from medsiglip.tuning.data import read_pairs, read_pictures
from medsiglip.tuning.tune import TuneOptions, tune
from tests.medsiglip.conftest import COLOURS, SIZE, write_squares

pytestmark = pytest.mark.long

OPTIONS = TuneOptions(epochs=12, batch_size=6, learning_rate=3e-3, validation_fraction=0.2, device="cpu")


@pytest.fixture(scope="module")
def tuned(untrained: Checkpoint, squares: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "tuned"
    tune(squares, out, checkpoint=untrained, options=OPTIONS)
    return out


def test_tuned_model_names_the_colours_of_squares_it_has_not_seen(tuned: Path, tmp_path: Path) -> None:
    write_squares(tmp_path, 3, seed=99)
    pairs = read_pairs(tmp_path)
    pictures = np.empty((len(pairs.paths), SIZE, SIZE, 3), np.uint8)
    read_pictures(pairs.paths, pictures, "medsiglip-eval")
    encoder = Encoder(open_checkpoint(str(tuned)), device="cpu")
    cosine = (
        encoder.encode_images(pictures) @ encoder.encode_texts([f"a {name} square" for name in COLOURS]).T
    )
    assert cosine.argmax(axis=1).tolist() == [i % len(COLOURS) for i in range(len(pictures))]


def test_checkpoint_loads_in_transformers_with_equal_weights(tuned: Path) -> None:
    from transformers import SiglipModel

    model = SiglipModel.from_pretrained(tuned)
    theirs = model.state_dict()
    ours = read_weights(open_checkpoint(str(tuned)))
    assert ours.keys() == {name for name in theirs if not name.endswith("position_ids")}
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert json.loads((tuned / "preprocessor_config.json").read_text())["size"] == {
        "height": SIZE,
        "width": SIZE,
    }
    assert json.loads((tuned / "tokenizer_config.json").read_text())["model_max_length"] == 16


def test_report_and_curve_agree(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    options = TuneOptions(epochs=2, batch_size=8, learning_rate=1e-3, device="cpu")
    report = tune(
        squares,
        tmp_path / "out",
        checkpoint=untrained,
        options=options,
        on_progress=lambda stage, done, total: seen.append((stage, done, total)),
    )
    with (tmp_path / "out" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    losses = [float(row["validation_loss"]) for row in rows]
    assert losses == pytest.approx([point.validation_loss for point in report.curve], rel=1e-5)
    assert report.best.validation_loss == min(point.validation_loss for point in report.curve)
    assert report.training_pictures + report.validation_pictures == 60
    assert report.captions == 120
    batches = math.ceil(report.training_pictures / 8)
    assert [entry for entry in seen if entry[0] == "train"] == [
        ("train", done, 2 * batches) for done in range(1, 2 * batches + 1)
    ]
    with Image.open(tmp_path / "out" / "curve.png") as curve:
        assert curve.size[0] > 400
    assert json.loads(json.dumps(report.to_json()))["start"]["training_loss"] is None


def test_validation_loss_is_the_sigmoid_loss_of_the_vectors(
    untrained: Checkpoint, squares: Path, tmp_path: Path
) -> None:
    """Epoch 0 against the formula of arXiv 2303.15343, section 3.2, on vectors of the Encoder.

    A caption is right for every picture that lists it.
    """
    options = TuneOptions(epochs=1, batch_size=64, learning_rate=1e-9, device="cpu")
    report = tune(squares, tmp_path / "out", checkpoint=untrained, options=options)
    pairs = read_pairs(squares)
    held_out = np.flatnonzero(pairs.held_out)
    pictures = np.empty((len(held_out), SIZE, SIZE, 3), np.uint8)
    read_pictures([pairs.paths[i] for i in held_out], pictures, "medsiglip-eval")
    encoder = Encoder(untrained, device="cpu")
    captions = sorted({pairs.captions[i][0] for i in held_out})
    texts = encoder.encode_texts(captions)
    logits = encoder.encode_images(pictures) @ texts.T * encoder.logit_scale + encoder.logit_bias
    signs = np.array([[1 if caption in pairs.captions[i] else -1 for caption in captions] for i in held_out])
    expected = np.log1p(np.exp(-signs * logits)).sum() / len(held_out)
    assert report.curve[0].validation_loss == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_weights(untrained: Checkpoint, tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "squares", 3)
    options = TuneOptions(epochs=1, batch_size=8, learning_rate=1e-3, device="cpu", seed=5)
    hashes = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        changed = TuneOptions(epochs=1, batch_size=8, learning_rate=1e-3, device="cpu", seed=seed)
        assert (changed == options) == (seed == 5)
        tune(squares, tmp_path / name, checkpoint=untrained, options=changed)
        hashes.append(open_checkpoint(str(tmp_path / name)).hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_ctrl_c_keeps_the_best_weights(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "train" and done == total - 1:
            raise KeyboardInterrupt

    options = TuneOptions(epochs=3, batch_size=8, learning_rate=1e-3, device="cpu")
    report = tune(squares, tmp_path / "out", checkpoint=untrained, options=options, on_progress=interrupt)
    assert report.interrupted
    assert [point.epoch for point in report.curve] == [0, 1, 2]
    assert open_checkpoint(str(tmp_path / "out")).hash != untrained.hash


def test_weights_of_the_best_epoch_are_kept_when_training_makes_them_worse(
    tuned: Path, squares: Path, tmp_path: Path
) -> None:
    given = open_checkpoint(str(tuned))
    options = TuneOptions(epochs=1, batch_size=8, learning_rate=5.0, warmup=0.0, device="cpu")
    report = tune(squares, tmp_path / "out", checkpoint=given, options=options)
    assert report.curve[1].validation_loss > report.curve[0].validation_loss
    assert report.best.epoch == 0
    assert open_checkpoint(str(tmp_path / "out")).hash == given.hash


def test_a_folder_with_files_is_left_alone(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ModelError) as caught:
        tune(squares, tmp_path, checkpoint=untrained, options=OPTIONS)
    assert caught.value.code == "folder-not-empty"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0.0}, {"validation_fraction": 1.0}]
)
def test_invalid_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        TuneOptions(**options)  # type: ignore[arg-type]
    assert caught.value.code == "option-invalid"


def test_towers_are_trained_one_after_the_other(untrained: Checkpoint, tmp_path: Path) -> None:
    """Each leaves the other as it was, and together they know the colours."""
    squares = write_squares(tmp_path / "squares", 26)
    options = TuneOptions(
        epochs=6, batch_size=32, learning_rate=3e-3, train="image", optimizer="muon", device="cpu"
    )
    tune(squares, tmp_path / "image", checkpoint=untrained, options=options)
    seeing = open_checkpoint(str(tmp_path / "image"))
    report = tune(
        squares, tmp_path / "text", checkpoint=seeing, options=replace(options, train="text", epochs=8)
    )
    before, between, after = (
        read_weights(one) for one in (untrained, seeing, open_checkpoint(str(tmp_path / "text")))
    )
    for name in before:
        if name.startswith("vision_model."):
            assert torch.equal(between[name], after[name]), name
        elif name.startswith("text_model."):
            assert torch.equal(before[name], between[name]), name
    assert report.best.recall_at_1 > 0.8
    with Image.open(tmp_path / "image" / "curve.png") as curve:
        assert curve.size[0] > 400


def test_captions_of_one_picture_each_cannot_train_the_image_tower_alone(
    untrained: Checkpoint, squares: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        tune(squares, tmp_path / "out", checkpoint=untrained, options=replace(OPTIONS, train="image"))
    assert caught.value.code == "captions-not-shared"
