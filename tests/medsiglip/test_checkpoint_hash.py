"""What the hash of a checkpoint depends on, and when a large file is read again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from medsiglip import file_hash
from medsiglip.checkpoint import open_checkpoint
from tests.medsiglip.conftest import edit_config, edit_tensors

PROBE = "vision_model.head.probe"


def test_hash_depends_on_content_and_not_on_place_or_unused_keys(
    folder: Path, small_siglip: tuple[Path, Any]
) -> None:
    original = open_checkpoint(str(small_siglip[0]))
    edit_config(folder, transformers_version="4.0", text_config__attention_dropout=0.1)
    (folder / "README.md").write_text("a model card")
    assert open_checkpoint(str(folder)).hash == original.hash


def test_the_same_weights_in_one_file_have_another_hash(sharded: Path) -> None:
    from safetensors.numpy import load_file, save_file

    before = open_checkpoint(str(sharded))
    tensors = {name: value for path in before.weight_files for name, value in load_file(path).items()}
    save_file(tensors, sharded / "model.safetensors")
    after = open_checkpoint(str(sharded))
    assert (len(before.weight_files) > 1, len(after.weight_files)) == (True, 1)
    assert after.architecture == before.architecture
    assert after.hash != before.hash


@pytest.mark.parametrize("change", ["weights", "vocabulary", "activation", "epsilon"])
def test_hash_changes_with_everything_that_changes_vectors(folder: Path, change: str) -> None:
    before = open_checkpoint(str(folder)).hash
    if change == "weights":
        edit_tensors(folder, lambda tensors: tensors[PROBE].__setitem__((0, 0, 0), 9.0))
    elif change == "vocabulary":
        with (folder / "spiece.model").open("ab") as file:
            file.write(b"\0")
    elif change == "activation":
        edit_config(folder, vision_config__hidden_act="gelu")
    else:
        edit_config(folder, text_config__layer_norm_eps=1e-5)
    assert open_checkpoint(str(folder)).hash != before


def test_large_files_are_hashed_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hash, "LARGE", 1000)
    cache = tmp_path / "home" / "hashes.json"
    first = open_checkpoint(str(folder), hash_cache=cache).hash
    assert first == open_checkpoint(str(folder)).hash
    weights = folder / "model.safetensors"
    edit_tensors(folder, lambda tensors: None)
    first = open_checkpoint(str(folder), hash_cache=cache).hash
    status = weights.stat()

    # Other bytes of the same size and time are not noticed: proof that the kept hash was used.
    edit_tensors(folder, lambda tensors: tensors[PROBE].__setitem__((0, 0, 0), 9.0))
    assert weights.stat().st_size == status.st_size
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_checkpoint(str(folder), hash_cache=cache).hash == first
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert open_checkpoint(str(folder), hash_cache=cache).hash != first


@pytest.mark.parametrize("content", ["", "[]", "null", '{"x": 1}'])
def test_damaged_hash_cache_is_rebuilt(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(file_hash, "LARGE", 1000)
    cache = tmp_path / "hashes.json"
    cache.write_text(content)
    checkpoint = open_checkpoint(str(folder), hash_cache=cache)
    assert checkpoint.hash == open_checkpoint(str(folder)).hash
    assert str(folder / "model.safetensors") in json.loads(cache.read_text())
    assert [path.name for path in tmp_path.glob("hashes*")] == ["hashes.json"]


def test_hash_cache_that_cannot_be_written_is_no_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hash, "LARGE", 1000)
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "hashes.json"
    assert open_checkpoint(str(folder), hash_cache=blocked).hash == open_checkpoint(str(folder)).hash
