"""Opening checkpoints: what is refused and in which words."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.checkpoint import open_checkpoint, read_weights
from medsiglip.errors import ModelError
from tests.medsiglip.conftest import edit_config, edit_tensors

PROBE = "vision_model.head.probe"


def refused(model: Path | str, code: str) -> str:
    with pytest.raises(ModelError) as caught:
        open_checkpoint(str(model))
    message = str(caught.value)
    assert caught.value.code == code, message
    assert message.endswith(".")
    assert "\n" not in message
    return message


def test_sizes_come_from_the_config(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    assert checkpoint.name == "checkpoint"
    assert checkpoint.folder == folder
    assert (checkpoint.image_size, checkpoint.dimension, checkpoint.context_length) == (56, 48, 16)
    assert not checkpoint.is_demonstration
    assert len(bytes.fromhex(checkpoint.hash)) == 32


def test_missing_tensor_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.pop(PROBE))
    assert PROBE in refused(folder, "weights-mismatch")


def test_extra_tensor_is_named(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({"vision_model.head.gate": np.zeros(3, np.float32)}))
    assert "vision_model.head.gate" in refused(folder, "weights-mismatch")


def test_misshapen_tensor_is_named_with_both_shapes(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({PROBE: np.zeros((1, 48), np.float32)}))
    message = refused(folder, "weights-mismatch")
    assert PROBE in message
    assert "[1, 48]" in message
    assert "[1, 1, 48]" in message


def test_transposed_tensor_is_refused(folder: Path) -> None:
    name = "text_model.head.weight"
    edit_tensors(folder, lambda tensors: tensors.update({name: np.ascontiguousarray(tensors[name].T)}))
    assert name in refused(folder, "weights-mismatch")


def test_integer_weights_are_refused(folder: Path) -> None:
    edit_tensors(folder, lambda tensors: tensors.update({PROBE: tensors[PROBE].astype(np.int8)}))
    assert "I8" in refused(folder, "weights-mismatch")


def test_position_ids_of_older_files_and_a_scalar_scale_are_tolerated(folder: Path) -> None:
    buffers = {
        "vision_model.embeddings.position_ids": np.arange(16)[None],
        "text_model.embeddings.position_ids": np.arange(16)[None],
    }
    edit_tensors(
        folder, lambda tensors: tensors.update(buffers | {"logit_scale": np.asarray(2.5, np.float32)})
    )
    weights = read_weights(open_checkpoint(str(folder)))
    assert not buffers.keys() & weights.keys()
    assert weights["logit_scale"].item() == 2.5


def test_config_of_other_depth_does_not_fit_the_weights(folder: Path) -> None:
    edit_config(folder, vision_config__num_hidden_layers=2)
    assert "vision_model.encoder.layers.2" in refused(folder, "weights-mismatch")


@pytest.mark.parametrize("kind", ["siglip2", "clip", "bert", ""])
def test_other_models_are_refused(folder: Path, kind: str) -> None:
    edit_config(folder, model_type=kind)
    assert repr(kind) in refused(folder, "not-siglip")


def test_config_without_model_type_is_refused(folder: Path) -> None:
    edit_config(folder, model_type=None)
    refused(folder, "not-siglip")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vision_config__hidden_act", "relu"),
        ("text_config__hidden_act", "quick_gelu"),
        ("vision_config__vision_use_head", False),
        ("vision_config__num_channels", 1),
        ("vision_config__hidden_size", 47),
        ("vision_config__hidden_size", "48"),
        ("vision_config__image_size", [56, 64]),
        ("vision_config__patch_size", 100),
        ("vision_config__layer_norm_eps", 0),
        ("text_config__projection_size", 40),
        ("text_config__num_hidden_layers", 0),
        ("text_config__max_position_embeddings", 16.0),
        ("text_config__vocab_size", True),
        ("text_config", [1]),
    ],
)
def test_impossible_config_names_the_field(folder: Path, key: str, value: Any) -> None:
    edit_config(folder, **{key: value})
    assert key.replace("__", ".") in refused(folder, "bad-config")


def test_defaults_left_out_of_the_config_are_filled_in(
    tmp_path: Path, write_siglip: Callable[..., Any]
) -> None:
    from transformers import SiglipConfig

    small = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    write_siglip(tmp_path, small, small)
    full = open_checkpoint(str(tmp_path))
    defaults = SiglipConfig()
    left_out: dict[str, Any] = {}
    for section in ("vision_config", "text_config"):
        written = json.loads((tmp_path / "config.json").read_text())[section]
        for key, value in getattr(defaults, section).to_dict().items():
            if key in written and written[key] == value:
                left_out[f"{section}__{key}"] = None
    assert {"vision_config__image_size", "text_config__max_position_embeddings"} <= left_out.keys()
    edit_config(tmp_path, text_config__projection_size=None, **left_out)
    sparse = open_checkpoint(str(tmp_path))
    assert sparse.architecture == full.architecture
    assert sparse.hash == full.hash


def test_config_wins_over_the_preprocessor_config(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 448, "width": 448}}))
    assert open_checkpoint(str(folder)).image_size == 56


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "spiece.model"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"has no {name}" in refused(folder, "incomplete-checkpoint")


def test_empty_folder(tmp_path: Path) -> None:
    assert "has no config.json" in refused(tmp_path, "incomplete-checkpoint")


def test_missing_folder_and_file_in_its_place(tmp_path: Path) -> None:
    assert "no folder" in refused(tmp_path / "nowhere", "checkpoint-not-found")
    (tmp_path / "model.safetensors").touch()
    assert "is a file" in refused(tmp_path / "model.safetensors", "checkpoint-not-found")


def test_path_the_system_refuses() -> None:
    assert "File name too long" in refused("x" * 5000, "unreadable-checkpoint")


def test_weights_that_vanished_after_opening(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    checkpoint.weight_files[0].unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors") as caught:
        read_weights(checkpoint)
    assert caught.value.code == "bad-weights"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_unreadable_config(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    assert "config.json" in refused(folder, "bad-config")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:7],
        lambda data: data[:500],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: struct.pack("<Q", 2**60) + data[8:],
        lambda data: data[:8] + b"?" + data[9:],
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3511950624\n",
    ],
    ids=[
        "empty",
        "7 bytes",
        "half a header",
        "a byte short",
        "half",
        "huge header",
        "no JSON",
        "LFS pointer",
    ],
)
def test_damaged_weights_file_is_named(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    assert "model.safetensors is not a whole safetensors file" in refused(folder, "bad-weights")


def test_missing_shard_is_named(sharded: Path) -> None:
    open_checkpoint(str(sharded))
    shard = sorted(sharded.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert f"has no {shard.name}" in refused(sharded, "incomplete-checkpoint")


def test_shard_repeated_under_another_name_is_refused(sharded: Path) -> None:
    first, second, *_ = sorted(sharded.glob("model-*.safetensors"))
    shutil.copy(first, second)
    assert "repeats the tensor" in refused(sharded, "bad-weights")


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"weight_map": {}}', '{"weight_map": {"a": "../b.safetensors"}}']
)
def test_bad_shard_index(sharded: Path, content: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    assert "model.safetensors.index.json" in refused(sharded, "bad-weights")


def test_opening_imports_neither_torch_nor_the_hub(small_siglip: tuple[Path, Any]) -> None:
    program = (
        f"import sys; from medsiglip import open_checkpoint; open_checkpoint({str(small_siglip[0])!r}); "
        "print(sorted({'torch', 'open_clip', 'timm', 'huggingface_hub', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
