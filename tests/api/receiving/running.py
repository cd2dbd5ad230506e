"""`medsiglip receive` as a process of a test, and what sends to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs.worker import Worker
from tests.api.service_processes import Started
from tests.waiting import eventually


class RunningReceiver:
    """A receiver on a free port of this machine."""

    def __init__(self, home: Path, *words: str, **environment: str) -> None:
        settings = {"MEDSIGLIP_MIN_FREE_BYTES": "0", **environment}
        self.home = home
        self.started = Started(home, ("receive", "--port", "0", *words), environment=settings)
        self.port = int(self.started.answer()["port"])

    def send(self, *paths: Path, sender: str = "PACS") -> None:
        """Send files with dcmtk's dcmsend, as they are, each folder with what is below it."""
        done = dcmsend(self.port, paths, sender)
        assert done.returncode == 0, done.stderr

    def waiting(self) -> list[str]:
        """What of studies is in the spool, or on its way from there to a job."""
        folders = [path for path in (self.home / "incoming").iterdir() if not path.name.startswith(".")]
        return [path.name for path in (*folders, *(self.home / "received").glob("*.handed"))]

    def handed_over(self) -> None:
        """Wait until every study has its job."""
        eventually(lambda: not self.waiting())

    def ingested(self, archive: Archive) -> None:
        """Wait until all that was sent is ingested."""
        self.handed_over()
        Worker(archive).run(once=True)


def dcmsend(port: int, paths: Sequence[Path], sender: str = "PACS") -> subprocess.CompletedProcess[str]:
    """Run dcmsend until it ends. It proposes the class and the syntax of every file."""
    words = ["dcmsend", "-dn", "-nh", "-nuc", "+sd", "+r", "-aet", sender, "-aec", "MEDSIGLIP"]
    return subprocess.run(
        [*words, "127.0.0.1", str(port), *map(str, paths)], capture_output=True, text=True, timeout=120
    )


@contextmanager
def receiving(home: Path, *words: str, **environment: str) -> Iterator[RunningReceiver]:
    """A receiver that ends with the context, as SIGTERM ends it."""
    receiver = RunningReceiver(home, *words, **environment)
    try:
        yield receiver
        receiver.started.process.terminate()
        assert receiver.started.process.wait(30) == 0, receiver.started.log.read_text()
    finally:
        receiver.started.end()
