"""The hash of pixel data, by which an instance is told from another with the same UID.

It is named with its algorithm: `blake3:` and the first 128 bits in hex. Homes of earlier versions hold the
first 128 bits of SHA-256 without a name; these are computed beside it where a home asks for them.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from blake3 import blake3

PREFIX = "blake3:"
_HEX = 32


class PixelHash(NamedTuple):
    """The hash as it is stored now, and as earlier versions stored it, None where nobody asked for that."""

    value: str
    older: str | None = None


class PixelDigest:
    """Hashes the parts of one value in turn, in the thread of the caller."""

    def __init__(self, *, older: bool = False) -> None:
        self._digest = blake3(max_threads=1)  # the processes that decode share out the cores
        self._older = hashlib.sha256() if older else None

    def update(self, part: bytes) -> None:
        """Take the next part."""
        self._digest.update(part)
        if self._older is not None:
            self._older.update(part)

    def pixel_hash(self) -> PixelHash:
        """The hash of all parts."""
        older = None if self._older is None else self._older.hexdigest()[:_HEX]
        return PixelHash(PREFIX + self._digest.hexdigest(_HEX // 2), older)


def hash_pixels(value: bytes, *, older: bool = False) -> PixelHash:
    """The hash of a whole value."""
    digest = PixelDigest(older=older)
    digest.update(value)
    return digest.pixel_hash()
