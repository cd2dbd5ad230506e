"""Checksums of files: BLAKE3, with the algorithm's name before the digest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

ALGORITHM = "blake3"
_PIECE_BYTES = 1 << 20


def checksum_of(parts: Iterable[memoryview]) -> str:
    """The checksum of bytes that come in pieces: `blake3:` and 64 hexadecimal digits."""
    found = blake3()
    for part in parts:
        found.update(part)
    return f"{ALGORITHM}:{found.hexdigest()}"


def checksum_of_file(path: Path) -> str:
    """The checksum of a file's content; raises OSError."""
    with path.open("rb") as stream:
        return checksum_of(memoryview(piece) for piece in iter(lambda: stream.read(_PIECE_BYTES), b""))


def is_known(checksum: str) -> bool:
    """Whether this version can compute a checksum of this algorithm."""
    return checksum.partition(":")[0] == ALGORITHM


@contextmanager
def computed_beside(parts: list[memoryview]) -> Iterator[Callable[[], str]]:
    """Compute the checksum of pieces while the block does something with them, such as writing them; gives a
    function that waits for it.
    """
    if sum(part.nbytes for part in parts) < _PIECE_BYTES:
        yield lambda: checksum_of(parts)
        return
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(checksum_of, parts)
        yield future.result
