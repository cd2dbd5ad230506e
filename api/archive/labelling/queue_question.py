"""What is asked of a queue of cases to label."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from medsiglip.answers.labelling import Order


@dataclass(frozen=True, slots=True)
class QueueQuestion:
    """What is asked: a label, an order, how many cases, and of those that pass which filters. `seed` decides
    what is at random; the same seed gives the same order while labels come.
    """

    label: str
    order: Order = "uncertainty"
    seed: int = 0
    limit: int = 20
    where: tuple[str, ...] = ()


def lot(seed: int, study_instance_uid: str) -> bytes:
    """Where a study stands in an order at random: the same for the same seed, whatever else there is."""
    return hashlib.blake2b(f"{seed} {study_instance_uid}".encode(), digest_size=8).digest()
