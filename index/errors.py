"""Errors of the index. One class: what differs is the stable `code`, and the sentence says the cure.

Codes: `space-mismatch no-space bad-vectors bad-query bad-filter bad-label unknown-study unknown-patient
key-mismatch disk-full read-only-home catalog-busy catalog-corrupt not-a-catalog newer-home
database-unreachable missing-shard corrupt-shard changed-meanwhile bad-home`.
"""

from __future__ import annotations


class CatalogError(Exception):
    """Something the person or the machine must put right; `str()` is one full sentence for that person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[CatalogError], tuple[str, str]]:
        return type(self), (self.code, str(self))
