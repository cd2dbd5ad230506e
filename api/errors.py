"""Errors of requests that cannot be done, and what callers see of them.

Each package has one error tree, whose root carries a stable kebab-case `code` and whose text is a whole
sentence that names the file or field and the cure: `medsiglip.errors.ModelError`,
`medsiglip.index.errors.CatalogError`, `medsiglip.ingest.errors.IngestError`,
`medsiglip.medgemma.errors.DraftError`, and here `ServiceError`. `explain` is the one table that turns any of
them, and errors of the operating system, into a code and a sentence; everything else is a defect.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace

from medsiglip.answers.paths import shown


class ServiceError(Exception):
    """A request that cannot be done. `str()` is the whole sentence.

    `retry_after` is the number of seconds after which the same request may succeed; None where it will not.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Explanation:
    """A stable code and one sentence, without a traceback and without patient data."""

    code: str
    message: str


_SYSTEM_ERRORS = {
    errno.ENOSPC: ("disk-full", "the disk is full: free some space and run again, nothing committed is lost"),
    errno.EDQUOT: (
        "disk-full",
        "the disk quota is used up: free some space and run again, nothing committed is lost",
    ),
    errno.EACCES: ("no-permission", "permission was refused: check who owns it and its mode"),
    errno.EPERM: ("no-permission", "the operation is not permitted: check who owns it and its mode"),
    errno.EROFS: ("no-permission", "the file system is read-only: choose a folder that can be written"),
    errno.ENOENT: ("not-found", "there is no such file or folder"),
    errno.EISDIR: ("not-a-file", "this is a folder where a file was expected"),
    errno.ENOTDIR: ("not-a-folder", "a part of this path is a file where a folder was expected"),
    errno.EEXIST: ("not-a-folder", "this is a file where a folder was expected"),
}


def explain(error: BaseException) -> Explanation | None:
    """The code and sentence of an error that a caller can act on; None for an unexpected one."""
    found = _explained(error)
    return None if found is None else replace(found, message=shown(found.message))


def _explained(error: BaseException) -> Explanation | None:
    from medsiglip.errors import ModelError
    from medsiglip.index.errors import CatalogError
    from medsiglip.ingest.errors import IngestError
    from medsiglip.medgemma.errors import DraftError

    if isinstance(error, ServiceError | ModelError | CatalogError | IngestError | DraftError):
        return Explanation(error.code, " ".join(str(error).split()))
    if isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS:
        code, sentence = _SYSTEM_ERRORS[error.errno]
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return Explanation(code, where + sentence)
    if "database or disk is full" in str(error):
        return Explanation(*_SYSTEM_ERRORS[errno.ENOSPC])
    if isinstance(error, MemoryError):
        return Explanation(
            "out-of-memory", "the machine ran out of memory: use fewer --workers or a smaller batch size"
        )
    return None


# Seconds before the second attempt, by code; each further one waits twice as long. Any other error comes
# again however often one tries.
FIRST_WAIT_S = {
    "catalog-busy": 5.0,
    "database-read-only": 5.0,
    "database-unreachable": 5.0,
    "disk-error": 30.0,
    "disk-full": 30.0,
    "encoder-failed": 5.0,
    "encoder-restarting": 5.0,
    "engine-unreachable": 5.0,
    "node-encoder-failed": 15.0,
    "object-store-unreachable": 5.0,
    "out-of-memory": 15.0,
    "ray-failed": 30.0,
    "ray-stalled": 30.0,
    "ray-unreachable": 5.0,
    "too-many-connections": 5.0,
    "worker-start-failed": 10.0,
}
LONGEST_WAIT_S = 300.0
_OTHERS_FIRST_WAIT_S = 10.0


# A generator that is away or too busy: jobs of routing rules wait for it, each longer than before.
AWAY = frozenset({"generator-busy", "generator-down", "generator-failed", "generator-timeout"})
PATIENCE_S = 7 * 24 * 3600.0
"""How long a draft of a routing rule waits for its generator before it fails."""
FIRST_WAIT_FOR_GENERATOR_S = 10.0


def waits_for_generator(error: Exception, code: str, route: str | None) -> bool:
    """Whether the draft that a routing rule ordered waits for its generator, however often that was tried."""
    return route is not None and code in AWAY and bool(getattr(error, "may_pass", False))


# What others must take, by kind of job, and for how many seconds it waits for them.
WAITING_FOR_OTHERS = {
    "pacs-pull": PATIENCE_S,
    "pacs-send": PATIENCE_S,
    "pacs-sync": 48 * 3600.0,
    "webhook": 24 * 3600.0,
}


def waits_for_others(kind: str, error: Exception) -> bool:
    """Whether a job waits for a PACS, or for a listener of webhooks, that is away."""
    may_pass = getattr(error, "may_pass", False) or getattr(error, "retry_after", None) is not None
    return kind in WAITING_FOR_OTHERS and bool(may_pass)


def retry_after(error: Exception, code: str, attempts: int) -> float | None:
    """Seconds until a job that failed so in its `attempts`-th attempt is tried again; None for never.

    An error may also say of itself that it `may_pass` (`medsiglip.medgemma.errors.DraftError`).
    """
    first = FIRST_WAIT_S.get(code)
    if first is None and getattr(error, "may_pass", False):
        first = _OTHERS_FIRST_WAIT_S
    return None if first is None else min(first * 2.0 ** (attempts - 1), LONGEST_WAIT_S)
