"""Errors of the ingest.

IngestError            the run cannot go on: a missing path, an unusable metadata CSV, a wrong key
└── InterruptedIngestError    the person stopped the run; what was encoded is in the index
WorkerLostError        a worker process gave no result for a unit; the files to blame are rejected
DecodeError            one file cannot be used; becomes one `Rejected` line of the report and never ends a run
"""

from __future__ import annotations

from medsiglip.ingest.reasons import REASONS


class IngestError(Exception):
    """The run cannot go on. `code` is stable and kebab-case, `str()` is one sentence with the cure."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InterruptedIngestError(IngestError):
    """The person stopped the run; everything committed so far stays in the index."""


class WorkerLostError(Exception):
    """A worker gave no result; `code` of `medsiglip.ingest.reasons` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class DecodeError(Exception):
    """One file's pixels cannot be used. `code` and sentence go into the report; holds no patient data."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def decode_error(code: str) -> DecodeError:
    """The error of a code of `medsiglip.ingest.reasons`."""
    return DecodeError(code, f"The file {REASONS[code][1]}.")
