"""Errors of the index. One class: what differs is the stable `code`, and the sentence says the cure.

Codes: `bad-filter bad-home bad-key bad-label bad-query bad-scope bad-vectors catalog-busy catalog-corrupt
changed-meanwhile corrupt-shard database-unreachable disk-error disk-full key-mismatch missing-shard
newer-home no-archive no-space not-a-catalog older-catalogue other-catalogue phi-mismatch read-only-home
space-mismatch unknown-image unknown-job unknown-key unknown-patient unknown-study`.
"""

from __future__ import annotations


class CatalogError(Exception):
    """Something the person or the machine must put right; `str()` is one full sentence for that person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[CatalogError], tuple[str, str]]:
        return type(self), (self.code, str(self))


def excerpt(text: str, most: int = 80) -> str:
    """A text from outside as a message quotes it: of a long one the beginning, and how long it is."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}... ({len(text)} characters)"
