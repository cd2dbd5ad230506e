"""What a caller is told when a request cannot be done.

Each package has one error tree, whose root carries a stable kebab-case `code` and whose text is a whole
sentence that names the file or field and the cure: `medsiglip.errors.ModelError`,
`medsiglip.index.errors.CatalogError`, `medsiglip.ingest.errors.IngestError`,
`medsiglip.medgemma.errors.DraftError`, and here `ServiceError`. `explain` is the one table that turns any of
them, and the operating system's refusals, into (code, sentence); everything else is a defect of ours and
stays unexplained.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass


class ServiceError(Exception):
    """A request that cannot be done as asked. `str()` is the whole sentence.

    `retry_after` are the seconds after which the same request may succeed; None where it will not.
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


_SYSTEM_REFUSALS = {
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
    from medsiglip.errors import ModelError
    from medsiglip.index.errors import CatalogError
    from medsiglip.ingest.errors import IngestError
    from medsiglip.medgemma.errors import DraftError

    if isinstance(error, ServiceError | ModelError | CatalogError | IngestError | DraftError):
        return Explanation(error.code, " ".join(str(error).split()))
    if isinstance(error, OSError) and error.errno in _SYSTEM_REFUSALS:
        code, sentence = _SYSTEM_REFUSALS[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        return Explanation(code, where + sentence)
    if "database or disk is full" in str(error):
        return Explanation(*_SYSTEM_REFUSALS[errno.ENOSPC])
    if isinstance(error, MemoryError):
        return Explanation(
            "out-of-memory", "the machine ran out of memory: use fewer --workers or a smaller batch size"
        )
    return None
