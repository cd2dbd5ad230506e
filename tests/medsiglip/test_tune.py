from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from medsiglip.architecture import read_architecture, tensor_shapes
from medsiglip.checkpoint import Checkpoint, open_checkpoint, read_weights
from medsiglip.checkpoint_writer import save_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.errors import ModelError
from medsiglip.initial_weights import initial_tensors
from medsiglip.tokenizer import Tokenizer
from medsiglip.tune import TuneOptions, tune
from medsiglip.tuning_batches import CaptionTable, augment, deal_batches
from medsiglip.tuning_data import read_pairs, read_pictures

SIZE = 16
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 30),
    "blue": (40, 40, 220),
    "white": (240, 240, 240),
    "yellow": (220, 220, 20),
    "black": (10, 10, 10),
}


def config(vocabulary_size: int) -> dict[str, object]:
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-6,
    }
    return {
        "model_type": "siglip",
        "vision_config": {**tower, "image_size": SIZE, "patch_size": 8},
        "text_config": {
            **tower,
            "projection_size": 32,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": 16,
        },
    }


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A fresh model of 30,000 weights with a vocabulary of its own."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("untrained")
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([f"a {name} square on a page" for name in COLOURS] * 4),
            model_writer=file,
            vocab_size=60,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    vocabulary = folder / "spiece.model"
    size = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)).get_piece_size()
    values = config(size)
    save_checkpoint(folder, values, initial_tensors(read_architecture(values, "config"), 3), vocabulary)
    return open_checkpoint(str(folder))


def write_squares(folder: Path, each: int = 10, *, seed: int = 0, extra: str = "") -> Path:
    """Noisy squares of one colour with captions that name it, two captions for each picture."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption", "patient_id"] + ([extra] if extra else []))
        for number in range(each * len(COLOURS)):
            name = list(COLOURS)[number % len(COLOURS)]
            noise = rng.integers(-10, 11, (SIZE, SIZE, 3))
            picture = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{number}.png")
            for caption in (f"a {name} square", f"{name} square on a page"):
                row = [f"{number}.png", caption, f"patient {number // 2}"]
                writer.writerow(row + (["val" if number % 5 == 0 else "train"] if extra else []))
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))


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


def test_the_same_seed_gives_the_same_weights(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
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


def test_split_column_is_followed(tmp_path: Path) -> None:
    pairs = read_pairs(write_squares(tmp_path, 5, extra="split"))
    expected = [int(path.stem) % 5 == 0 for path in pairs.paths]
    assert pairs.held_out.tolist() == expected
    assert pairs.captions[0] == ("a red square", "red square on a page")


def test_without_a_split_no_patient_is_on_both_sides(tmp_path: Path) -> None:
    write_squares(tmp_path, 10)
    for seed in range(5):
        pairs = read_pairs(tmp_path, validation_fraction=0.2, seed=seed)
        patients = np.array([int(path.stem) // 2 for path in pairs.paths])
        assert not set(patients[pairs.held_out]) & set(patients[~pairs.held_out])
        assert pairs.held_out.sum() == 12


@pytest.mark.parametrize(
    ("table", "code", "named"),
    [
        (None, "metadata-missing", "metadata.csv"),
        ("file,caption\n0.png,red\n", "column-missing", "path"),
        ("path,text\n0.png,red\n", "column-missing", "caption"),
        ("path,caption\n0.png,  \n", "caption-empty", "row 2"),
        ("path,caption\n0.png\n", "caption-empty", "row 2"),
        ("path,caption\n0.png,red\n9.png,red\n", "picture-missing", "9.png"),
        ("path,caption\n,red\n", "picture-missing", "row 2"),
        ("path,caption,split\n0.png,red,test\n", "split-unknown", "'test'"),
        ("path,caption,split\n0.png,red,train\n1.png,red,\n", "split-ambiguous", "1.png"),
        ("path,caption,split\n0.png,red,train\n0.png,rot,val\n", "split-ambiguous", "0.png"),
        ("path,caption\n0.png,red\n1.png,red\n2.png,red\n", "too-few-pairs", "validation"),
        ("path,caption\n", "too-few-pairs", "training"),
        (b"path,caption\n0.png,\xff\xfe\n", "metadata-unreadable", "metadata.csv"),
    ],
)
def test_bad_metadata_is_one_clear_error(
    table: str | bytes | None, code: str, named: str, tmp_path: Path
) -> None:
    for name in ("0.png", "1.png", "2.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    if isinstance(table, bytes):
        (tmp_path / "metadata.csv").write_bytes(table)
    elif table is not None:
        (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(ModelError) as caught:
        read_pairs(tmp_path)
    assert caught.value.code == code
    assert named in str(caught.value)


def test_unreadable_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG and then nothing")
    with pytest.raises(ModelError, match=r"broken\.png") as caught:
        read_pictures([tmp_path / "broken.png"], np.empty((1, 8, 8, 3), np.uint8), "medsiglip-eval")
    assert caught.value.code == "picture-unreadable"


def test_pictures_of_16_bits_and_palettes_keep_their_brightness(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGB", (8, 8), (10, 200, 30)).quantize(4).save(tmp_path / "palette.png")
    Image.new("RGBA", (8, 8), (10, 200, 30, 0)).save(tmp_path / "transparent.png")
    out = np.empty((3, 8, 8, 3), np.uint8)
    read_pictures([tmp_path / f"{n}.png" for n in ("deep", "palette", "transparent")], out, "medsiglip-eval")
    assert out[:, 4, 4].tolist() == [[128, 128, 128], [10, 200, 30], [10, 200, 30]]


def test_a_folder_with_files_is_left_alone(untrained: Checkpoint, squares: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ModelError) as caught:
        tune(squares, tmp_path, checkpoint=untrained, options=OPTIONS)
    assert caught.value.code == "folder-not-empty"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0.0}, {"validation_fraction": 1.0}]
)
def test_senseless_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        TuneOptions(**options)  # type: ignore[arg-type]
    assert caught.value.code == "option-invalid"


def test_batches_hold_every_picture_once_in_halves_of_one_group() -> None:
    groups = ["chest"] * 64 + ["brain"] * 96
    rng = np.random.default_rng(0)
    first, second = (deal_batches(groups, 32, rng) for _ in range(2))
    for batches in (first, second):
        assert sorted(np.concatenate(batches).tolist()) == list(range(160))
        assert [len(batch) for batch in batches] == [32] * 5
        for batch in batches:
            for half in (batch[:16], batch[16:]):
                assert len({groups[i] for i in half}) == 1
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]


def test_one_group_is_dealt_whole() -> None:
    batches = deal_batches([""] * 95, 32, np.random.default_rng(0))
    assert sorted(np.concatenate(batches).tolist()) == list(range(95))
    assert {len(batch) for batch in batches} == {31, 32}


def test_captions_are_right_for_every_picture_that_lists_them(untrained: Checkpoint) -> None:
    lists = [("normal", f"case {i}") for i in range(30)] + [("mass", "case 30"), ("mass", "left mass")]
    table = CaptionTable(lists, Tokenizer(untrained.spiece_path, untrained.context_length))
    texts = sorted({text for listed in lists for text in listed}, key=lambda text: (text != "normal", text))
    assert table.shared_count == 1
    assert table.shared(np.arange(32)).tolist() == [0]
    assert [texts[i] for i in table.first(np.array([0, 30]))] == ["normal", "mass"]
    pictures = np.array([0, 7, 30, 31])
    drawn = table.draw(pictures, 3, np.random.default_rng(0))
    assert {"case 0", "case 7", "case 30", "left mass"} <= {texts[i] for i in drawn}
    expected = [[texts[caption] in lists[picture] for caption in drawn] for picture in pictures]
    assert table.right(pictures, drawn).tolist() == expected


def test_towers_are_trained_one_after_the_other(untrained: Checkpoint, tmp_path: Path) -> None:
    """Each leaves the other as it was, and together they know the colours."""
    squares = write_squares(tmp_path / "squares", 40)
    options = TuneOptions(
        epochs=6, batch_size=32, learning_rate=3e-3, train="image", optimizer="muon", device="cpu"
    )
    tune(squares, tmp_path / "image", checkpoint=untrained, options=options)
    seeing = open_checkpoint(str(tmp_path / "image"))
    report = tune(
        squares, tmp_path / "text", checkpoint=seeing, options=replace(options, train="text", epochs=12)
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


def square_at(row: int, column: int) -> NDArray[np.uint8]:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[row : row + 4, column : column + 4] = 100
    return picture


def test_augment_moves_pictures_without_flipping_and_keeps_black() -> None:
    pictures = np.stack([square_at(2, 12)] * 200)
    moved = augment(pictures, np.random.default_rng(0), shift=0.1, intensity=0.1)
    corners = [(np.flatnonzero(p.any(axis=(1, 2)))[0], np.flatnonzero(p.any(axis=(0, 2)))[0]) for p in moved]
    assert {row for row, _ in corners} == {0, 1, 2, 3, 4}
    assert {column for _, column in corners} == {10, 11, 12, 13, 14}
    levels = {int(p.max()) for p in moved}
    assert len(levels) > 5
    # 100 is 27.5 below the middle: contrast moves it by at most 2.75 and brightness by 12.75.
    assert min(levels) >= 100 - 16
    assert max(levels) <= 100 + 16


def test_augment_of_nothing_changes_nothing() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 20, 20, 3)).astype(np.uint8)
    assert np.array_equal(augment(pictures, np.random.default_rng(0), 0.0, 0.0), pictures)


def test_initial_tensors_fit_the_architecture_and_follow_the_seed() -> None:
    architecture = read_architecture(config(50), "config")
    tensors = initial_tensors(architecture, 1)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == tensor_shapes(architecture)
    again, other = initial_tensors(architecture, 1), initial_tensors(architecture, 2)
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    name = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert not torch.equal(tensors[name], other[name])
    assert tensors["logit_scale"].exp().item() == pytest.approx(10)
    assert tensors["logit_bias"].item() == -10
