"""Errors of the index: one class with a stable `code`, and a message with the cure.

Codes: `backup-exists bad-backup bad-backup-folder bad-cursor bad-engine bad-filter bad-home bad-key bad-label
bad-object-url bad-query bad-scope bad-vectors catalog-busy catalog-corrupt changed-meanwhile corrupt-shard
database-not-empty database-read-only database-refused database-unreachable disk-error disk-full
draft-changed engine-refused engine-unreachable key-mismatch missing-extra missing-shard newer-backup
newer-home newer-shard no-archive no-backup no-object-client no-pgvector no-recovery no-space not-a-catalog
object-exists object-store-refused object-store-unreachable older-catalogue older-home other-catalogue
other-object-store phi-mismatch read-only-home route-changed space-mismatch too-many-connections unknown-draft
unknown-image unknown-job unknown-key unknown-patient unknown-route unknown-study versions-remain
wrong-engine`.
"""

from __future__ import annotations

OUTAGES = frozenset(
    {
        "database-unreachable",
        "database-read-only",
        "too-many-connections",
        "object-store-unreachable",
        "engine-unreachable",
        "ray-unreachable",
    }
)
"""Codes of a database server, an object store, a vector engine or a Ray cluster that is away for a while: the
same call succeeds once it is back.
"""


class CatalogError(Exception):
    """An error that a person can correct; `str()` is a full sentence for that person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[CatalogError], tuple[str, str]]:
        return type(self), (self.code, str(self))


def excerpt(text: str, most: int = 80) -> str:
    """A text from outside as messages quote it; of a long one, the beginning and the length."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}... ({len(text)} characters)"
