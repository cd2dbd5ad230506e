"""Secrets that came after the first one of a home: each turns what the one before it made into its own.

What a pseudonym was made of is not kept, so that it cannot be made anew. So the new secret makes the new
pseudonym of the old one, by HMAC: whoever knows all secrets but the newest still has no way from a person to
a pseudonym or back, and the same person gets the same one whenever files come.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

PATIENT_KEY_HEX = 32


def later_patient_key(key: str, newer: Sequence[bytes]) -> str:
    """A patient key of 32 hex characters, as it is after the secrets `newer`, oldest first."""
    for secret in newer:
        key = _digest(secret, "later-patient", key)[:PATIENT_KEY_HEX]
    return key


def later_mark(mark: str, newer: Sequence[bytes]) -> str:
    """What stays of a forgotten study or patient (a UID), as it is after the secrets `newer`."""
    for secret in newer:
        mark = f"2.25.{int(_digest(secret, 'later-forgotten', mark)[:32], 16)}"
    return mark


def later_fingerprint(first: str, newer: Sequence[bytes]) -> str:
    """16 hex characters that identify all secrets together; `first` is that of the first one."""
    for secret in newer:
        first = _digest(secret, "later-fingerprint", first)[:16]
    return first


def _digest(secret: bytes, purpose: str, message: str) -> str:
    return hmac.new(secret, f"{purpose}\0{message}".encode(), hashlib.sha256).hexdigest()
