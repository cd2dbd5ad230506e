"""Opening checkpoints: what is refused and in which words, and what a hash depends on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip import _file_hash
from medsiglip.checkpoint import open_checkpoint, read_weights
from medsiglip.errors import ModelError

PROBE = "vision_model.head.probe"
HUB_ID = "google/medsiglip-448"
COMMIT = "0123456789" * 4


@pytest.fixture
def folder(tmp_path: Path, small_siglip: tuple[Path, Any]) -> Path:
    """A copy of a good checkpoint, to be damaged."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(small_siglip[0], copy)
    return copy


def refused(model: Path | str, code: str) -> str:
    with pytest.raises(ModelError) as caught:
        open_checkpoint(str(model))
    message = str(caught.value)
    assert caught.value.code == code, message
    assert message.endswith(".")
    assert "\n" not in message
    return message


def edit_tensors(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **values: Any) -> None:
    """Set values by dotted path, given as `vision_config__hidden_size=...`; None removes the key."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for dotted, value in values.items():
        *sections, key = dotted.split("__")
        target = config
        for section in sections:
            target = target[section]
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    path.write_text(json.dumps(config))


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


@pytest.fixture
def sharded(tmp_path: Path, write_siglip: Callable[..., Any]) -> Path:
    small = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    write_siglip(tmp_path, small, small, max_shard_size="20KB")
    return tmp_path


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


def test_hash_is_of_content_not_of_place_or_unused_keys(folder: Path, small_siglip: tuple[Path, Any]) -> None:
    original = open_checkpoint(str(small_siglip[0]))
    edit_config(folder, transformers_version="4.0", text_config__attention_dropout=0.1)
    (folder / "README.md").write_text("a model card")
    assert open_checkpoint(str(folder)).hash == original.hash


@pytest.mark.parametrize("change", ["weights", "vocabulary", "activation", "epsilon"])
def test_hash_follows_whatever_changes_vectors(folder: Path, change: str) -> None:
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
    monkeypatch.setattr(_file_hash, "LARGE", 1000)
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
def test_damaged_hash_cache_is_made_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    monkeypatch.setattr(_file_hash, "LARGE", 1000)
    cache = tmp_path / "hashes.json"
    cache.write_text(content)
    checkpoint = open_checkpoint(str(folder), hash_cache=cache)
    assert checkpoint.hash == open_checkpoint(str(folder)).hash
    assert str(folder / "model.safetensors") in json.loads(cache.read_text())
    assert [path.name for path in tmp_path.glob("hashes*")] == ["hashes.json"]


def test_hash_cache_that_cannot_be_written_is_no_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_file_hash, "LARGE", 1000)
    (tmp_path / "file").touch()
    blocked = tmp_path / "file" / "hashes.json"
    assert open_checkpoint(str(folder), hash_cache=blocked).hash == open_checkpoint(str(folder)).hash


def test_opening_imports_neither_torch_nor_the_hub(small_siglip: tuple[Path, Any]) -> None:
    program = (
        f"import sys; from medsiglip import open_checkpoint; open_checkpoint({str(small_siglip[0])!r}); "
        "print(sorted({'torch', 'open_clip', 'timm', 'huggingface_hub', 'PIL'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Hub(BaseHTTPRequestHandler):
    """A hub on the loopback interface that lists and hands out the files of `server.folder`, or refuses."""

    def do_GET(self) -> None:
        folder, status = self.server.folder, self.server.status  # type: ignore[attr-defined]
        headers, body = {"X-Error-Code": self.server.error_code}, b"{}"  # type: ignore[attr-defined]
        if folder is not None and self.path.startswith("/api/models/"):
            status, body = 200, json.dumps(self._listing(folder)).encode()
        elif folder is not None and "/resolve/" in self.path and status == 200:
            body = (folder / Path(self.path).name).read_bytes()
            headers = {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _listing(self, folder: Path) -> Any:
        files = [(path.name, path.stat().st_size) for path in sorted(folder.iterdir())]
        if "/tree/" in self.path:
            return [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in files]
        siblings = [{"rfilename": name} for name, _ in files]
        return {"id": HUB_ID, "modelId": HUB_ID, "sha": COMMIT, "gated": "manual", "siblings": siblings}

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.status, server.error_code = None, 200, ""  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def open_from_hub(endpoint: str, cache: Path, **environment: str) -> str:
    """What a fresh process says that opens the gated model from the hub at `endpoint`: code and message."""
    program = (
        "from medsiglip import open_checkpoint, ModelError\n"
        f"try:\n    print('opened', open_checkpoint({HUB_ID!r}).hash)\n"
        "except ModelError as error:\n    print(error.code, error)"
    )
    settings = {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(cache),
        "NO_PROXY": "*",
        "no_proxy": "*",
        **environment,
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=kept | settings,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("status", "error_code", "lists_files", "code"),
    [
        (401, "GatedRepo", True, "model-access"),
        (403, "GatedRepo", False, "model-access"),
        (401, "", False, "model-access"),
        (404, "RepoNotFound", False, "model-not-found"),
        (500, "", False, "no-network"),
    ],
)
def test_hub_that_refuses(
    hub: ThreadingHTTPServer,
    tmp_path: Path,
    small_siglip: tuple[Path, Any],
    status: int,
    error_code: str,
    lists_files: bool,
    code: str,
) -> None:
    hub.status, hub.error_code = status, error_code  # type: ignore[attr-defined]
    hub.folder = small_siglip[0] if lists_files else None  # type: ignore[attr-defined]
    said = open_from_hub(f"http://127.0.0.1:{hub.server_port}", tmp_path)
    assert said.split()[0] == code, said
    assert "\n" not in said
    for cure in ("accept the terms", "HF_TOKEN", "folder"):
        assert cure in said


def test_hub_that_hands_out_the_files_is_asked_once(
    hub: ThreadingHTTPServer, tmp_path: Path, small_siglip: tuple[Path, Any]
) -> None:
    hub.folder = small_siglip[0]  # type: ignore[attr-defined]
    opened = f"opened {open_checkpoint(str(small_siglip[0])).hash}"
    assert open_from_hub(f"http://127.0.0.1:{hub.server_port}", tmp_path) == opened
    assert open_from_hub("http://127.0.0.1:9", tmp_path) == opened


@pytest.mark.parametrize("environment", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["no answer", "offline mode"])
def test_hub_out_of_reach(tmp_path: Path, environment: dict[str, str]) -> None:
    said = open_from_hub("http://127.0.0.1:9", tmp_path, **environment)
    assert said.split()[0] == "no-network", said
    assert "\n" not in said
    for cure in ("accept the terms", "HF_TOKEN", "folder"):
        assert cure in said
