"""A probe on disk: one .npz archive that is read without unpickling anything.

It holds float64 arrays and `metadata`, the UTF-8 bytes of a JSON object with a `format` number.
"""

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsiglip.errors import ModelError
from medsiglip.figures.metrics import Floats

_FORMAT = 1


def write_archive(path: Path, arrays: Mapping[str, Floats], metadata: Mapping[str, Any]) -> None:
    """Write the file; a reader sees the old one or the whole new one, also after a crash.

    Raises ModelError "probe-not-written" when the folder cannot be written to.
    """
    text = json.dumps({"format": _FORMAT, **metadata})
    text_bytes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, allow_pickle=False, metadata=text_bytes, **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        message = f"{path}: the probe cannot be written ({reason}); free some space or choose another folder."
        raise ModelError("probe-not-written", message) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def read_archive(path: Path, names: Sequence[str]) -> tuple[list[Floats], dict[str, Any]]:
    """The named arrays and the metadata.

    Raises ModelError "probe-unknown" for a missing file, "probe-unreadable" for one of another kind.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            metadata = json.loads(archive["metadata"].tobytes().decode("utf-8"))
            arrays = [archive[name].astype(np.float64) for name in names]
    except FileNotFoundError as error:
        raise ModelError("probe-unknown", f"{path}: there is no such probe; train it first.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise unreadable(path) from error
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise unreadable(path)
    return arrays, metadata


def unreadable(path: Path) -> ModelError:
    """The error for a file that is not a whole probe of this version."""
    message = f"{path}: the file is damaged or not a probe of this version; train the probe again."
    return ModelError("probe-unreadable", message)
