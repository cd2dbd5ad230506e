"""What a pull or a sync has done so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medsiglip.answers.pacs import FailedStudy, IncompleteStudy, PullReport, SyncReport

if TYPE_CHECKING:
    from medsiglip.answers.cases import IngestReport
    from medsiglip.index.pacs.study_ledger import Settled

MOST_NAMED = 1000
"""Studies that a report names; the ledger has all."""
_SUMMED = (
    "files",
    "files_embedded",
    "files_unchanged",
    "studies",
    "series",
    "instances",
    "images",
    "embedded",
    "unchanged",
)


class Tally:
    """Counts of one run."""

    def __init__(self) -> None:
        self.asked = 0
        self.here = 0
        self.instances = 0
        self._incomplete: dict[str, IncompleteStudy] = {}
        self._failed: dict[str, FailedStudy] = {}
        self._ingest: Counter[str] = Counter()
        self._seconds = 0.0

    def add(self, outcome: Settled, came: int, *, hides_uids: bool) -> None:
        """Count a study, of which so many instances came; a home that `hides_uids` names it by its own."""
        uid = outcome.names.own if hides_uids else outcome.names.asked
        former = (self._incomplete.pop(uid, None), self._failed.pop(uid, None))
        self.asked += former == (None, None)  # one that is tried again is counted once
        self.instances += came
        if outcome.status == "here":
            self.here += 1
        elif outcome.status == "incomplete" and len(self._incomplete) < MOST_NAMED:
            self._incomplete[uid] = IncompleteStudy(
                study_instance_uid=uid, expected=outcome.expected, received=outcome.received
            )
        elif outcome.failure is not None and len(self._failed) < MOST_NAMED:
            self._failed[uid] = FailedStudy(study_instance_uid=uid, **outcome.failure)

    def count_here(self, studies: int, instances: int) -> None:
        """Count studies that were brought in before."""
        self.asked += studies
        self.here += studies
        self.instances += instances

    def add_reports(self, reports: Sequence[IngestReport]) -> None:
        """Sum up what an ingest did."""
        for report in reports:
            self._ingest.update({name: getattr(report, name) for name in _SUMMED})
            self._ingest.update(skipped=len(report.skipped), quarantined=len(report.quarantined))
        # All are of one run.
        self._seconds += max((report.seconds for report in reports), default=0.0)

    def report(self) -> PullReport:
        """What a pull answers."""
        return PullReport(**self._values())

    def sync_report(self, found: int, waiting: int) -> SyncReport:
        """What a sync answers."""
        return SyncReport(**self._values(), found=found, waiting=waiting)

    def _values(self) -> dict[str, Any]:
        ingest = {**self._ingest, "seconds": round(self._seconds, 3)} if self._ingest else None
        return {
            "asked": self.asked,
            "here": self.here,
            "incomplete": tuple(self._incomplete.values()),
            "failed": tuple(self._failed.values()),
            "instances": self.instances,
            "ingest": ingest,
        }
