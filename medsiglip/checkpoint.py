"""Checkpoints: SigLIP models in Hugging Face layout, opened, checked and hashed without torch.

A checkpoint is a folder with `config.json`, `spiece.model` and either `model.safetensors` or the shards that
`model.safetensors.index.json` lists. Opening one compares the name and shape of every tensor with what
`config.json` implies: a missing, extra or misshapen tensor is an error, because it would mean wrong vectors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.architecture import Architecture, read_architecture, tensor_shapes
from medsiglip.errors import ModelError
from medsiglip.file_hash import FileHashes

if TYPE_CHECKING:
    import torch

TINY = Path(__file__).parent / "checkpoints" / "tiny"

# Older transformers wrote these index ranges into their files; they hold no weights.
_BUFFERS = frozenset({"vision_model.embeddings.position_ids", "text_model.embeddings.position_ids"})
_WEIGHT_TYPES = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened checkpoint: `name` for people, `hash` (64 hex digits) for identity.

    The hash covers the architecture and the bytes of the weight files and of the vocabulary. Names and other
    files do not change it; splitting the same weights into other shards does.
    """

    name: str
    folder: Path
    config: dict[str, Any]
    architecture: Architecture
    weight_files: tuple[Path, ...]
    hash: str

    @property
    def spiece_path(self) -> Path:
        """The SentencePiece vocabulary."""
        return self.folder / "spiece.model"

    @property
    def image_size(self) -> int:
        """Side of the square model input in pixels."""
        return self.architecture.image_size

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return self.architecture.dimension

    @property
    def context_length(self) -> int:
        """Tokens per text."""
        return self.architecture.context_length

    @property
    def is_demonstration(self) -> bool:
        """Whether this is the bundled `tiny` model, which was trained on phantoms and not on patients."""
        return self.folder == TINY


def open_checkpoint(model: str, *, hash_cache: Path | None = None) -> Checkpoint:
    """Open `tiny` (bundled), a folder, or a Hugging Face hub id such as `google/medsiglip-448`.

    A hub id is looked up in the local cache first and downloaded otherwise. `hash_cache` names a JSON file
    that keeps the hashes of large files by path, size and time, so that gigabytes are read once.

    Raises `ModelError`: `checkpoint-not-found`, `incomplete-checkpoint`, `unreadable-checkpoint`,
    `bad-config`, `not-siglip`, `bad-weights`, `weights-mismatch`; for hub ids also `model-access`,
    `model-not-found`, `no-network`, `download-failed`.
    """
    try:
        return _open(*_find(model), FileHashes(hash_cache))
    except OSError as error:
        raise ModelError(
            "unreadable-checkpoint",
            f"{model} cannot be read ({error.strerror}); check its path and permissions.",
        ) from error


def _open(name: str, folder: Path, files: FileHashes) -> Checkpoint:
    config_file = _require(folder, "config.json")
    config = _read_json(config_file, "bad-config")
    architecture = read_architecture(config, str(config_file))
    spiece = _require(folder, "spiece.model")
    weight_files = _weight_files(folder)
    _check_tensors(_tensor_headers(weight_files), architecture, folder)
    digest = hashlib.sha256(json.dumps(architecture.as_dict(), sort_keys=True).encode())
    for path in (*weight_files, spiece):
        digest.update(bytes.fromhex(files.sha256(path)))
    return Checkpoint(name, folder, config, architecture, weight_files, digest.hexdigest())


def read_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint by its Hugging Face name, in the dtype of the file, on the CPU.

    Raises `ModelError` `bad-weights` where a file has gone or changed since the checkpoint was opened.
    """
    from safetensors import SafetensorError, safe_open

    weights: dict[str, torch.Tensor] = {}
    for path in checkpoint.weight_files:
        try:
            with safe_open(path, framework="pt") as file:
                weights |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(
                "bad-weights", f"{path} cannot be read ({error}); open the checkpoint again."
            ) from error
    return {name: tensor for name, tensor in weights.items() if name not in _BUFFERS}


def _find(model: str) -> tuple[str, Path]:
    if model == "tiny":
        if not TINY.is_dir():
            raise ModelError(
                "checkpoint-not-found",
                f"The bundled demonstration model is missing from {TINY}; make it with `make checkpoint`.",
            )
        return model, TINY
    folder = Path(model).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        return ("tiny", TINY) if folder == TINY.resolve() else (folder.name, folder)
    if folder.exists():
        raise ModelError(
            "checkpoint-not-found", f"{folder} is a file; give the folder that holds the checkpoint."
        )
    from medsiglip.hub import download, is_hub_id

    if is_hub_id(model):
        return model, download(model)
    raise ModelError(
        "checkpoint-not-found",
        f"There is no folder {folder}; give an existing one, a hub id such as google/medsiglip-448, or tiny.",
    )


def _require(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ModelError(
            "incomplete-checkpoint",
            f"{folder} has no {name}; a checkpoint needs config.json, spiece.model (not tokenizer.json) "
            "and model.safetensors, or its shards with model.safetensors.index.json.",
        )
    return path


def _read_json(path: Path, code: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(code, f"{path} cannot be read as JSON ({error}); fetch it again.") from error
    if not isinstance(content, dict):
        raise ModelError(code, f"{path} does not hold a JSON object; fetch it again.")
    return content


def _weight_files(folder: Path) -> tuple[Path, ...]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file() or (folder / "model.safetensors").is_file():
        return (_require(folder, "model.safetensors"),)
    weight_map = _read_json(index, "bad-weights").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError("bad-weights", f"{index} has no weight_map; fetch it again.")
    names = sorted({str(name) for name in weight_map.values()})
    if any(Path(name).name != name for name in names):
        raise ModelError("bad-weights", f"{index} names a shard outside its own folder; fetch it again.")
    return tuple(_require(folder, name) for name in names)


def _tensor_headers(files: Sequence[Path]) -> dict[str, tuple[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    headers: dict[str, tuple[str, tuple[int, ...]]] = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118
                    if name in headers:
                        raise ModelError("bad-weights", f"{path} repeats the tensor {name} of another shard.")
                    tensor = file.get_slice(name)
                    headers[name] = (tensor.get_dtype(), tuple(tensor.get_shape()))
        except (SafetensorError, OSError) as error:
            raise ModelError(
                "bad-weights", f"{path} is not a whole safetensors file ({error}); fetch it again."
            ) from error
    return headers


def _check_tensors(
    found: Mapping[str, tuple[str, tuple[int, ...]]], architecture: Architecture, folder: Path
) -> None:
    """Compare the tensors of the files with those of the config; the first difference is an error."""
    wanted = tensor_shapes(architecture)
    cure = "config.json and the weights must come from the same SigLIP checkpoint: fetch both again"
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ModelError(
            "weights-mismatch", f"{folder} lacks the tensor {missing[0]}{_more(missing)}; {cure}."
        )
    extra = [name for name in found if name not in wanted and name not in _BUFFERS]
    if extra:
        raise ModelError(
            "weights-mismatch",
            f"{folder} holds the tensor {extra[0]}{_more(extra)}, which has no place in this model; {cure}.",
        )
    for name, shape in wanted.items():
        dtype, found_shape = found[name]
        if found_shape != shape and not (found_shape == () and shape == (1,)):
            raise ModelError(
                "weights-mismatch",
                f"{folder}: the tensor {name} has shape {list(found_shape)}, not {list(shape)}; {cure}.",
            )
        if dtype not in _WEIGHT_TYPES:
            raise ModelError(
                "weights-mismatch",
                f"{folder}: the tensor {name} is {dtype}, not float32, float16 or bfloat16; {cure}.",
            )


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
