"""Files that are damaged, always the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.ingest.damage import DAMAGE, spliced
from tests.ingest.dicom_damage import DICOM_DAMAGE
from tests.ingest.dicom_places import places_of

SAME_UIDS = 0.2
_UIDS = frozenset({0x00020003, 0x00080018, 0x0020000D, 0x0020000E})


@dataclass(frozen=True, slots=True)
class SeedFile:
    """A whole file that is damaged; one that is packed is damaged before or after `pack` packs it."""

    name: str
    data: bytes
    pack: Callable[[bytes], bytes] | None = None
    is_dicom: bool = True

    @property
    def file(self) -> bytes:
        """The file as it is when nothing is damaged."""
        return self.pack(self.data) if self.pack else self.data


def mutated(seed_files: Sequence[SeedFile], seed: int, number: int) -> tuple[str, bytes]:
    """Name and content of one damaged file, always the same for the same arguments."""
    rng = random.Random(f"{seed} {number}")
    source = rng.choice(seed_files)
    name = f"{number:06d}-{source.name}"
    data = _own_uids(source.data, number, rng) if source.is_dicom else source.data
    inside = source.pack is None or rng.random() < 0.5
    if inside:
        data = _damaged(data, source, seed_files, rng)
    if source.pack is not None:
        data = source.pack(data)
    return name, data if inside else _damaged(data, source, seed_files, rng)


def _damaged(data: bytes, source: SeedFile, others: Sequence[SeedFile], rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        if source.is_dicom and rng.random() < 0.75:
            data = rng.choice(DICOM_DAMAGE)(data, rng)
        elif rng.random() < 0.08:
            data = spliced(data, rng.choice(others).file, rng)
        else:
            data = rng.choice(DAMAGE)(data, rng)
    return data


def _own_uids(data: bytes, number: int, rng: random.Random) -> bytes:
    """Give a file an instance, series and study of its own, mostly."""
    if rng.random() < SAME_UIDS:
        return data
    changed = bytearray(data)
    for place in places_of(data):
        value = data[place.start : place.end].rstrip(b"\0 ")
        if place.tag in _UIDS and place.depth == 0 and len(value) >= 12:
            end = place.start + len(value)
            changed[end - 7 : end] = b"%07d" % number
    return bytes(changed)
