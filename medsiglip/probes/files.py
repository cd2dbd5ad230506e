"""The files of an exchanged probe, in a folder or a zip: `probe.json` and `probe.safetensors`.

What they hold is the matter of `medsiglip.probes.exchange`.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from medsiglip.errors import ModelError

DESCRIPTION = "probe.json"
WEIGHTS = "probe.safetensors"
LONGEST = {DESCRIPTION: 16 << 20, WEIGHTS: 256 << 20}
"""The most bytes of each file."""
# What reading a zip from memory raises: for its structure, for what it does not read, and by the decoders.
_DAMAGED = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, struct.error),
    *(EOFError, OSError, zlib.error, lzma.LZMAError),
)


def read_files(paths: Iterable[Path]) -> dict[str, bytes]:
    """The content of the two files, by name, of a folder, of a zip, or given one by one.

    Raises ModelError `probe-file-missing`, `probe-file-too-large`, `probe-file-unreadable`, and
    `probe-file-foreign` for a file that is neither.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        try:
            path.stat()
            if path.is_dir():
                held = [path / name for name in LONGEST if (path / name).is_file()]
                found |= {one.name: _bounded(one.name, one.open("rb")) for one in held}
            elif path.name in LONGEST:
                found[path.name] = _bounded(path.name, path.open("rb"))
            elif zipfile.is_zipfile(path):
                found |= unzipped(path.read_bytes())
            else:
                raise ModelError(
                    "probe-file-foreign",
                    f"{path.name} is not a probe: give the folder that `probe export` made, or its zip.",
                )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ModelError(
                "probe-file-unreadable", f"{path}: the probe cannot be read ({reason}); check the path."
            ) from error
    for name in LONGEST:
        if name not in found:
            raise ModelError(
                "probe-file-missing",
                f"there is no {name}: a probe is {DESCRIPTION} and {WEIGHTS}, as `probe export` writes them.",
            )
    return found


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made; each is there whole or not at all.

    Raises ModelError `probe-not-written`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}.", delete=False) as file:
                temporary = Path(file.name)
                try:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.chmod(0o644)
                    temporary.replace(folder / name)
                finally:
                    with contextlib.suppress(OSError):
                        temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(
            "probe-not-written", f"{folder}: the probe cannot be written ({reason}); choose another folder."
        ) from error


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of files, the same for the same files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    """The two files of a zip, as far as it holds them. Raises ModelError as `read_files` does."""
    found = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in LONGEST:
                if name in archive.namelist():
                    found[name] = _bounded(name, archive.open(name))
    except _DAMAGED as error:
        raise ModelError(
            "probe-file-foreign", "the zip cannot be read: give the one that the export made."
        ) from error
    return found


def _bounded(name: str, stream: IO[bytes]) -> bytes:
    """What a stream holds; a file that is larger than a probe's can be is not read to its end."""
    with stream:
        content = stream.read(LONGEST[name] + 1)
    if len(content) > LONGEST[name]:
        raise ModelError(
            "probe-file-too-large", f"{name} has more than {LONGEST[name] >> 20} MiB: no probe has."
        )
    return content
