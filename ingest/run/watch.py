"""Following folders that a PACS writes to: when a file is complete, and when all of a series has arrived.

Folders are polled, which also works on network shares, where change notifications do not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.ingest.dicom.transfer_syntaxes import UNCOMPRESSED
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.walk import FoundFile, walk_files
from medsiglip.ingest.reasons import Rejected

if TYPE_CHECKING:
    from medsiglip.index.records import FileRecord
    from medsiglip.ingest.header.header import Header

# Names of files that are still being written.
TEMPORARY_SUFFIXES = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".swp", "~")
# A file that does not change but looks incomplete waits so many times longer: its writer may be slow.
PATIENCE = 6.0
# A file or a share that disappeared since it was listed.
_PASSING = frozenset({"no-such-path", "path-unreadable"})
_DELIMITER = b"\xfe\xff\xdd\xe0"
_TAIL = 1 << 16
_Seen = tuple[int, int]


@dataclass(slots=True)
class _Arrival:
    """A file that is arriving: its size and time when last seen, and when these last changed, by our clock.

    `series` is None until the header was read; `looks_whole` says whether the file seems complete.
    """

    seen: _Seen
    changed: float
    series: str | None = None
    looks_whole: bool = False


class Arrivals:
    """Decides which files are ready. Moments are seconds of one clock that never goes back.

    A file is ready when its size and time have not changed for `settle` seconds. A file of a series that is
    rendered as a whole waits until none of the series has changed for twice as long, so that a series is not
    embedded again for each slice; twice, because the series of a slice is known only once it is settled.
    """

    def __init__(
        self, settle: float, known: Mapping[str, FileRecord], series_of: Callable[[str], str | None]
    ) -> None:
        self._settle = settle
        self._series_of = series_of
        self._waiting: dict[str, _Arrival] = {}
        self._done: dict[str, _Seen] = {
            path: (record.size, record.mtime_ns) for path, record in known.items()
        }

    @property
    def waiting(self) -> int:
        """How many files are arriving."""
        return len(self._waiting)

    def ready(self, found: Iterable[FoundFile], now: float) -> list[str]:
        """Update with the present content of the folders; returns the paths that are ready, until `done`."""
        present = set()
        for file in found:
            present.add(file.path)
            self._update(file, now)
        for path in [path for path in self._waiting if path not in present]:
            del self._waiting[path]
        latest: dict[str, float] = {}
        for arrival in self._waiting.values():
            if arrival.series:
                latest[arrival.series] = max(latest.get(arrival.series, 0.0), arrival.changed)
        return sorted(path for path, arrival in self._waiting.items() if self._is_ready(arrival, latest, now))

    def done(self, paths: Iterable[str]) -> None:
        """Mark files as ingested in the state in which they became ready."""
        for path in paths:
            arrival = self._waiting.pop(path, None)
            if arrival is not None:
                self._done[path] = arrival.seen

    def _update(self, file: FoundFile, now: float) -> None:
        seen = file.size, file.mtime_ns
        if self._done.get(file.path) == seen:
            return
        arrival = self._waiting.get(file.path)
        if arrival is None or arrival.seen != seen:
            self._waiting[file.path] = _Arrival(seen, now)
        elif arrival.series is None and now - arrival.changed >= self._settle:
            series = self._series_of(file.path)
            arrival.looks_whole, arrival.series = series is not None, series

    def _is_ready(self, arrival: _Arrival, latest: Mapping[str, float], now: float) -> bool:
        quiet = now - arrival.changed
        if not arrival.looks_whole:
            return quiet >= PATIENCE * self._settle
        if arrival.series:
            return now - latest[arrival.series] >= 2 * self._settle
        return quiet >= self._settle


def series_of_file(path: str) -> str | None:
    """The series that a file is rendered with; empty if it is rendered alone or not at all, None if it seems
    incomplete.
    """
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.scan.scan import scan_file

    try:
        status = os.stat(path)
        # Pseudonyms do not leave this function, so any key does.
        scanned = scan_file(FoundFile(path, status.st_size, status.st_mtime_ns), SecretKey(bytes(32)))
        if isinstance(scanned, Rejected):
            return "" if scanned.outcome == "skipped" and status.st_size else None
        if not _has_its_pixels(scanned):
            return None
    except OSError:
        return None
    together = scanned.is_volume or scanned.is_slide
    return f"{scanned.study_instance_uid}/{scanned.series_instance_uid}" if together else ""


def _has_its_pixels(header: Header) -> bool:
    """Whether the file reaches the end of its pixel data: by its size, or by the delimiter that ends
    encapsulated data (PS3.5 A.4), which only padding may follow.
    """
    if header.kind != "dicom":
        return True
    if header.transfer_syntax_uid.startswith("1.2.840.10008.1.2.4"):
        with open(header.path, "rb") as file:
            file.seek(max(header.size - _TAIL, 0))
            return _DELIMITER in file.read()
    if header.transfer_syntax_uid not in UNCOMPRESSED:
        return True
    bits = float(header.quality.get("bits_stored") or 8)
    pixels = header.rows * header.columns * header.number_of_frames
    return header.size >= (pixels // 8 if bits == 1 else pixels * (2 if bits > 8 else 1))


def watch(
    paths: Sequence[str | Path],
    arrivals: Arrivals,
    ingest_batch: Callable[[Sequence[str]], None],
    *,
    pause: float,
) -> None:
    """Call `ingest_batch` with every batch of ready files, until KeyboardInterrupt. A file that disappears
    before its turn is forgotten; a share that is gone for a while is waited for.

    Raises `IngestError` `no-such-path` if a path does not exist at the start, and what `ingest_batch` raises.
    """
    for path in paths:
        if not os.path.exists(path):
            raise IngestError("no-such-path", f"There is no file or folder {path}; check the path.")
    while True:
        begun = time.monotonic()
        try:
            every = [one for one in walk_files(paths) if isinstance(one, FoundFile)]
            ready = arrivals.ready((one for one in every if not is_temporary(one.path)), time.monotonic())
            taken = time.monotonic() - begun
            if ready:
                ingest_batch(ready)
                arrivals.done(ready)
        except IngestError as error:
            if error.code not in _PASSING:
                raise
            taken = 0.0
        time.sleep(max(pause, 4 * taken))  # a large folder on a slow share is not read all the time


def is_temporary(path: str) -> bool:
    """Whether the name is that of an unfinished or a hidden file."""
    name = os.path.basename(path)
    return name.startswith(".") or name.lower().endswith(TEMPORARY_SUFFIXES)
