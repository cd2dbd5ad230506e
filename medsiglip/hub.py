"""Checkpoints from the Hugging Face hub, through its own client and cache."""

from __future__ import annotations

import re
from pathlib import Path

from medsiglip.errors import ModelError

_FILES = [
    "config.json",
    "spiece.model",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
]


def is_hub_id(model: str) -> bool:
    """Whether `model` has the form `owner/name`."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", model) is not None


def download(hub_id: str) -> Path:
    """Folder of the checkpoint in the local cache, filled from the hub where needed."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=_FILES, local_files_only=True))
        if (
            (folder / "config.json").is_file()
            and (folder / "spiece.model").is_file()
            and any(folder.glob("*.safetensors"))
        ):
            return folder
    except LocalEntryNotFoundError:
        pass
    page = f"https://huggingface.co/{hub_id}"
    cure = f"accept the terms at {page} and set HF_TOKEN, or give a folder that holds the checkpoint"
    try:
        return Path(snapshot_download(hub_id, allow_patterns=_FILES))
    except GatedRepoError as error:
        raise ModelError(
            "model-access", f"The hub does not hand out {hub_id} to this account: {cure}."
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            "model-not-found",
            f"The hub knows no model {hub_id}, or hides it without a token, and there is no such folder: "
            f"check the name, {cure}.",
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ModelError("model-access", f"The hub refuses {hub_id} ({status}): {cure}.") from error
        raise ModelError(
            "download-failed", f"The hub answers {status} for {hub_id}: try later, or {cure}."
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            "no-network",
            f"{hub_id} is not on this machine and the hub cannot be reached: connect to the network, {cure}.",
        ) from error
    except Exception as error:  # the client lets through whatever its HTTP library and the disk raise
        raise ModelError(
            "download-failed", f"Fetching {hub_id} failed ({type(error).__name__}): try again, or {cure}."
        ) from error
