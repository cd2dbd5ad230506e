"""What a sender asked to be committed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """A request to commit to instances, pairs of SOP class and SOP instance UID (PS3.4, J.3.2)."""

    calling_ae: str
    transaction_uid: str
    instances: Sequence[tuple[str, str]]
