"""Damage that is done to any file, the same for the same random numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[bytes, random.Random], bytes]
WORDS = (0, 1, 2, 3, 7, 8, 9, 12, 13, 16, 17, 31, 32, 33, 64, 255, 256, 4095, 32767, 32768, 65534, 65535)
LONGS = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x10000, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
NUMBERS = (
    *("0", "1", "2", "-1", "3", "65535", "99999999", "2147483647", "2147483648", "-2147483648", "9" * 40),
    *(
        "1.5",
        "-0",
        "1e38",
        "-1e308",
        "1e400",
        "1e-320",
        "NaN",
        "-inf",
        "abc",
        "",
        " ",
        "\\",
        "1\\2\\3",
        "0\\0",
    ),
)


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Set up to 16 bytes at random, mostly of the beginning."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 16)):
        if changed:
            changed[_somewhere(len(changed), rng)] = rng.randrange(256)
    return bytes(changed)


def bits_flipped(data: bytes, rng: random.Random) -> bytes:
    """Flip up to 8 bits."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if changed:
            changed[_somewhere(len(changed), rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def number_changed(data: bytes, rng: random.Random) -> bytes:
    """Write an integer of 2, 4 or 8 bytes that is seldom meant."""
    at, size = _somewhere(len(data), rng), rng.choice((2, 2, 4, 4, 8))
    value = rng.choice((*WORDS, *LONGS, 1 << 62, (1 << 64) - 1)) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]


def digits_changed(data: bytes, rng: random.Random) -> bytes:
    """Change a number that is written as text, as the headers of NRRD, MetaImage and tar do."""
    digits = [i for i, byte in enumerate(data[:2000]) if 0x30 <= byte <= 0x39]
    if not digits:
        return data
    at = end = rng.choice(digits)
    while end < len(data) and 0x30 <= data[end] <= 0x39:
        end += 1
    return data[:at] + rng.choice(NUMBERS).encode("latin-1") + data[end:]


def truncated(data: bytes, rng: random.Random) -> bytes:
    """End early."""
    return data[: rng.randrange(len(data) + 1)]


def block_doubled(data: bytes, rng: random.Random) -> bytes:
    """Write a block twice."""
    start, end = _block(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 3)) + data[end:]


def block_lost(data: bytes, rng: random.Random) -> bytes:
    """Leave a block out."""
    start, end = _block(data, rng)
    return data[:start] + data[end:]


def block_blank(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a block with one value, as a bad sector does."""
    start, end = _block(data, rng)
    return data[:start] + rng.choice((b"\0", b"\xff", b"A")) * (end - start) + data[end:]


def spliced(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _somewhere(size: int, rng: random.Random) -> int:
    return rng.randrange(min(size, rng.choice((64, 700, 4000, size))) or 1)


def _block(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = _somewhere(len(data), rng)
    return start, min(start + rng.choice((1, 2, 8, 64, 512, 4096)), len(data))


DAMAGE: tuple[Damage, ...] = (
    bytes_changed,
    bits_flipped,
    number_changed,
    digits_changed,
    truncated,
    block_doubled,
    block_lost,
    block_blank,
)
