"""What a tuning run leaves in its folder until it is done, so that the same command goes on after a kill.

`tuning-run.json` says what the run was begun with, and `training-state.pt` has all that training depends on,
as it was after the last whole epoch: weights, optimizers, random numbers, step and curve.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.errors import ModelError

if TYPE_CHECKING:
    from medsiglip.checkpoint import Checkpoint
    from medsiglip.tuning.data import Pairs
    from medsiglip.tuning.options import TuneOptions

RUN = "tuning-run.json"
STATE = "training-state.pt"


def described(checkpoint: Checkpoint, pairs: Pairs, options: TuneOptions) -> dict[str, Any]:
    """What must be the same for a run to go on: the options, the checkpoint, and the data by their bytes."""
    data = hashlib.sha256()
    for path, captions, held_out, group in zip(
        pairs.paths, pairs.captions, pairs.held_out.tolist(), pairs.groups, strict=True
    ):
        line = [os.fsencode(path).hex(), _digest(path), captions, held_out, group]
        data.update(json.dumps(line).encode())
    return {**asdict(options), "checkpoint": checkpoint.hash, "data": data.hexdigest()}


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file in hex, None if it cannot be read, which who reads the pictures will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def is_unfinished(folder: Path) -> bool:
    """Whether a run was begun in this folder and neither finished nor failed."""
    return (folder / RUN).is_file()


def begin(folder: Path, description: Mapping[str, Any]) -> None:
    """Mark the folder as that of this run. Raises ModelError `other-run` where another was begun."""
    if not is_unfinished(folder):
        _replace(folder / RUN, json.dumps(description, indent=2).encode())
        return
    try:
        former = json.loads((folder / RUN).read_bytes())
    except (OSError, ValueError):
        former = {}
    names = [name for name in description if former.get(name) != description[name]]
    if names:
        raise ModelError(
            "other-run",
            f"{folder} holds an unfinished run with another {', '.join(names).replace('_', ' ')}: give the "
            "same options and data to go on with it, or choose a new folder.",
        )


def has_state(folder: Path) -> bool:
    """Whether a whole epoch of the run was kept."""
    return (folder / STATE).is_file()


def load(folder: Path) -> dict[str, Any] | None:
    """The state after the last whole epoch, None before the first. Raises ModelError `state-unreadable`."""
    import torch

    path = folder / STATE
    if not has_state(folder):
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types of errors over damaged files
        raise ModelError(
            "state-unreadable", f"{path} cannot be read ({type(error).__name__}): choose a new folder."
        ) from error
    return state


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Replace the state in one step. Raises ModelError `folder-unwritable`."""
    import torch

    partial = folder / f".{STATE}.partial"
    try:
        with partial.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / STATE)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        raise ModelError("folder-unwritable", f"{folder} cannot be written: free space there.") from error


def end(folder: Path) -> None:
    """Remove what only an unfinished run needs."""
    for name in (RUN, STATE, f".{STATE}.partial", f".{RUN}.partial"):
        (folder / name).unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove what a run left that never came to its first result, and the folder if nothing else is there."""
    end(folder)
    with suppress(OSError):
        folder.rmdir()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
