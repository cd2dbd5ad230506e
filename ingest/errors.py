"""Errors of the ingest.

CodedError
├── IngestError            the run cannot continue: a missing path, an unusable metadata CSV, a wrong key
│   ├── InterruptedIngestError    the person stopped the run; what was encoded is in the index
│   └── PacsError          a PACS cannot be asked, or does not do what it is asked
├── WorkerLostError        a worker process gave no result for a unit; the files that cause it are rejected
├── HeaderRefusedError     a header is too large or too deeply nested to read; the file is rejected
└── DecodeError            one file cannot be used; one `Rejected` line of the report, never ends a run
"""

from __future__ import annotations

from medsiglip.ingest.reasons import REASONS


class CodedError(Exception):
    """An error with a stable kebab-case `code`; `str()` is one sentence with the cure, or the code."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code


class IngestError(CodedError):
    """The run cannot continue."""


class InterruptedIngestError(IngestError):
    """The person stopped the run; everything committed so far stays in the index."""


class PacsError(IngestError):
    """A PACS cannot be asked, or refuses. `may_pass` says that the same may succeed later, as when it is away
    or busy; `retry_after` is after how many seconds, where it says so. The sentence names the connection, the
    cause and the cure, and no patient.
    """

    def __init__(
        self, code: str, message: str, *, may_pass: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.may_pass = may_pass
        self.retry_after = retry_after


class WorkerLostError(CodedError):
    """A worker gave no result; `code` is one of `medsiglip.ingest.reasons`."""


class HeaderRefusedError(CodedError):
    """A header would take too much time or memory to read; `code` is one of `medsiglip.ingest.reasons`."""


class DecodeError(CodedError):
    """One file's pixels cannot be used. `code` and sentence go into the report; holds no patient data."""


def decode_error(code: str) -> DecodeError:
    """The error of a code of `medsiglip.ingest.reasons`."""
    return DecodeError(code, f"The file {REASONS[code][1]}.")
