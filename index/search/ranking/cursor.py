"""Cursors: where an answer ended, as a text that a client gives back for the next page.

A cursor holds all that the next page needs, so nothing is kept between pages: the query's vector (an encoder
need not give the same bits twice), the highest image id of the first page (images that came later have higher
ones, for ids are never used again), the last hit's score and id, and, where hits are chosen by limits or by
diversity, the ids of the hits so far. A made-up cursor can ask for nothing that a search cannot.
"""

from __future__ import annotations

import math
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.errors import CatalogError
from medsiglip.index.vectors import Ids

MOST_SHOWN = 5000
"""How many hits the pages of one question hold where hits are chosen by limits or by diversity."""
LONGEST = 131_072
"""The most characters of a cursor."""
DIGEST_BYTES = 16
_VERSION = 1
# Version, flags, dimension, digest, highest image id, rank, score and id of the last hit, number of ids.
_HEAD = struct.Struct(f"<BBH{DIGEST_BYTES}sQQfQH")
_LARGEST_ID = 2**63 - 1
_OWN_IS_SHOWN = 1
# How far the length of a vector that this program made may be from 1.
_UNIT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Cursor:
    """`digest` is of the question, `vector` float32 [d] of unit length its query. `newest` is the highest
    image id that may answer, `rank` the number of hits so far, `score` and `last` are those of the last
    of them, and `shown` int64 [n], ascending, lists them where hits are chosen. `own_is_shown`: the
    question's own image or study has gone first.
    """

    digest: bytes
    vector: NDArray[np.float32]
    newest: int
    rank: int
    score: float
    last: int
    shown: Ids
    own_is_shown: bool

    def text(self) -> str:
        """The cursor as clients get it: letters, digits, `-` and `_`."""
        flags = _OWN_IS_SHOWN * self.own_is_shown
        head = _HEAD.pack(
            _VERSION,
            flags,
            len(self.vector),
            self.digest,
            self.newest,
            self.rank,
            self.score,
            self.last,
            len(self.shown),
        )
        steps = np.diff(self.shown, prepend=0).tolist()
        body = head + self.vector.astype("<f4").tobytes() + b"".join(map(_number, steps))
        return urlsafe_b64encode(body).decode("ascii").rstrip("=")


def read_cursor(text: str) -> Cursor:
    """The cursor that a text stands for; raises `CatalogError` `bad-cursor`."""
    try:
        if len(text) > LONGEST or not text.isascii():
            raise ValueError
        body = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if urlsafe_b64encode(body).decode("ascii").rstrip("=") != text:
            raise ValueError
        version, flags, dimension, digest, newest, rank, score, last, count = _HEAD.unpack_from(body)
        end = _HEAD.size + 4 * dimension
        vector = np.frombuffer(body[_HEAD.size : end], "<f4").astype(np.float32)
        shown = np.cumsum(_numbers(body[end:], count), dtype=np.int64)
    except (ValueError, struct.error, OverflowError):
        raise _unreadable() from None
    is_sound = (
        version == _VERSION
        and flags in (0, _OWN_IS_SHOWN)
        and len(vector) == dimension
        and abs(float(np.linalg.norm(vector.astype(np.float64))) - 1) < _UNIT
        and max(newest, last) <= _LARGEST_ID
        and rank <= newest  # there are no more hits than images, nor more images than ids
        and math.isfinite(score)
        and count <= MOST_SHOWN
        and (np.diff(shown, prepend=0) > 0).all()
    )
    if not is_sound:
        raise _unreadable()
    return Cursor(digest, vector, newest, rank, score, last, shown, bool(flags & _OWN_IS_SHOWN))


def foreign_cursor() -> CatalogError:
    """The error of a cursor that another question, archive or model gave."""
    return CatalogError(
        "bad-cursor",
        "The cursor belongs to another question, archive or model: repeat the question that it came with, or "
        "ask without a cursor.",
    )


def _unreadable() -> CatalogError:
    return CatalogError(
        "bad-cursor", "The cursor cannot be read: give it as it came with an answer, or ask without one."
    )


def _number(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first (LEB128)."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _numbers(body: bytes, count: int) -> NDArray[np.int64]:
    """`count` numbers, which are all of `body`; raises ValueError."""
    found: list[int] = []
    value = shift = 0
    for byte in body:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value = shift = 0
        if shift > 63 or len(found) > count:
            raise ValueError("too long a number, or too many")
    if shift or len(found) != count or sum(found) > _LARGEST_ID:
        raise ValueError("not as many numbers as announced")
    return np.array(found, np.int64)
