"""Archives of every kind that is read in place, and what `walk` finds in them."""

from __future__ import annotations

import io
import os
import random
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.files.inflate import InflatedFile
from medsiglip.ingest.files.walk import FoundFile, walk

KINDS = ("zip", "stored.zip", "tar", "tar.gz", "tgz")


def content(number: int, size: int = 5000) -> bytes:
    return random.Random(number).randbytes(size // 2) + bytes(size // 2)


def pack(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        method = zipfile.ZIP_STORED if "stored" in path.name else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", method) as packed:
            for name, data in members.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as packed:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


def codes(path: Any) -> dict[str, str]:
    """What is rejected, by the part of the path behind the folder."""
    rejected = [found for found in walk([path]) if not isinstance(found, FoundFile)]
    return {os.path.relpath(found.path, Path(path).parent): found.code for found in rejected}


def names(path: Any) -> list[str]:
    found = (found.path for found in walk([path]) if isinstance(found, FoundFile))
    return [name.partition("!/")[2] for name in found]


def packed(kind: str, members: dict[str, bytes], folder: Path) -> bytes:
    """The bytes of an archive."""
    path = pack(folder / f"inner.{kind}", members)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def count_inflated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all parts that are inflated from now on."""
    sizes: list[int] = []
    produce = InflatedFile._produce

    def counted(self: InflatedFile, size: int) -> bytes:
        part = produce(self, size)
        sizes.append(len(part))
        return part

    monkeypatch.setattr(InflatedFile, "_produce", counted)
    return sizes
