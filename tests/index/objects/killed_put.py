"""`python killed_put.py HOME URL CREDENTIALS NAME`: a process that ends in the middle of putting 8 MiB."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from medsiglip.index.objects.opening import ObjectPlace, open_store


class _Dying:
    """A file whose reader ends after the first quarter."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if self._file.tell() > 2 << 20:
            os._exit(9)
        content: bytes = self._file.read(1 << 16 if size < 0 else min(size, 1 << 16))
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def main(home: str, url: str, credentials: str, name: str) -> None:
    """Put an object, and end while it is on its way."""
    store: Any = open_store(Path(home), ObjectPlace(url, Path(credentials)))
    put = store._client.put_object
    store._client.put_object = lambda **given: put(**{**given, "Body": _Dying(given["Body"])})
    store.put_new(name, [memoryview(bytes(8 << 20))])


if __name__ == "__main__":
    main(*sys.argv[1:])
