"""`PacsClient`: one conversation with a PACS, whichever way it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from medsiglip.ingest.pacs.records import EchoAnswer, PacsInstance, PacsQuery, PacsStudy, StoreOutcome

Spend = Callable[[int], None]
"""Called before or after so many operations on the PACS; waits as the rate asks, and raises KeyboardInterrupt
where the work must stop."""


def no_limit(operations: int) -> None:
    """The `Spend` of a connection without a rate."""


class PacsClient(Protocol):
    """One kept association or HTTP connection; made anew when it is lost. Not for several threads.

    Every method raises `PacsError`: `pacs-unreachable`, `pacs-refused` (association or key),
    `pacs-certificate`, `pacs-timeout`, `pacs-failed` (a status or answer that says so), `pacs-bad-answer`
    (one that cannot be read).
    """

    def echo(self) -> EchoAnswer:
        """Ask for a sign of life that needs the same rights as a question does."""

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        """The studies that match, each once, as they come; pages are asked for as they are needed."""

    def instances(self, study_instance_uid: str) -> list[PacsInstance]:
        """What the PACS holds of a study at IMAGE level; empty where it does not have the study."""

    def retrieve(
        self, study_instance_uid: str, folder: Path, wanted: Sequence[PacsInstance] | None = None
    ) -> Iterator[Path]:
        """Fetch a study, or of it the instances `wanted`, as stored, without transcoding: each file is
        written whole to `folder` under a name that says nothing, synced, and given as it comes. What is
        missing in the end raises nothing: the caller counts.
        """

    def store(self, files: Sequence[Path]) -> list[StoreOutcome]:
        """Send instances; one outcome for each, in their order. A bad file does not stop the others."""

    def close(self) -> None:
        """Release the association or close the HTTP connection."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
