"""The part of `Client` that is about drafts and routing rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medsiglip.answers.jobs import Job
from medsiglip.answers.reports import (
    Report,
    ReportFormat,
    ReportLine,
    ReportList,
    ReviewedText,
    Route,
    RouteDetail,
    RouteList,
    RouteRun,
    RouteTest,
)
from medsiglip.arguments import several
from medsiglip.client.connection import Connection, read
from medsiglip.client.paths import checked, path_of


class DraftMethods:
    """Methods of `Client`."""

    _service: Connection

    def draft(
        self,
        study: str,
        *,
        route: str | None = None,
        generator: str | None = None,
        indication: str | None = None,
    ) -> Job:
        """Start a draft report of a study; the id of the draft is that of the job."""
        body = {
            "study_instance_uid": checked("study", "uid", study),
            "route": checked("route", "name", route),
            "generator": generator,
            "indication": indication,
        }
        return read(Job, self._service.post("/v1/reports", body, once=True))

    def reports(self, *, status: str | None = None, study: str | None = None) -> list[ReportLine]:
        """The newest drafts and what became of them."""
        return list(self.report_page(status=status, study=study).reports)

    def report_page(
        self,
        *,
        status: str | None = None,
        study: str | None = None,
        route: str | None = None,
        words: str | None = None,
        verdict: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> ReportList:
        """A page of the drafts, the newest first; `words` are looked for in their texts and in the reports of
        their studies, `verdict` is one that a check of a sentence has, and `cursor` that of the page before.
        """
        asked = {"status": status, "study_instance_uid": study, "route": route, "words": words}
        asked |= {"verdict": verdict, "cursor": cursor}
        return read(ReportList, self._service.get("/v1/reports", limit=limit, **asked))

    def report(self, report_id: str) -> Report:
        """One draft with its evidence and checks."""
        return read(Report, self._service.get(_report(report_id)))

    def accept(
        self,
        report_id: str,
        *,
        revision: int | None = None,
        acknowledge: Sequence[str] = (),
        sentences: Sequence[Mapping[str, Any]] = (),
    ) -> Report:
        """Accept a draft as it is. `revision` is that of the draft as it was seen: a draft that has changed
        since is refused (`draft-changed`). `acknowledge` are the ids of its `concerns`: one that is missing
        is refused (`draft-concerns`). `sentences` of the `revision` are kept with their concerns, edited or
        cut: `{"sentence": 2, "choice": "edit", "text": "No pneumothorax."}`.
        """
        ids = several("acknowledge", acknowledge) or None
        decided = list(sentences) or None
        return self._decide(report_id, "accept", revision=revision, acknowledge=ids, sentences=decided)

    def review(
        self, report_id: str, sentences: Sequence[Mapping[str, Any]], *, revision: int
    ) -> ReviewedText:
        """What `accept` would make of a draft with these decisions, and what it would still ask."""
        body = {"revision": revision, "sentences": list(sentences)}
        return read(ReviewedText, self._service.post(_report(report_id, "review"), body))

    def edit(self, report_id: str, text: str, *, revision: int | None = None) -> Report:
        """Replace the text of a draft by a person's; `revision` as in `accept`."""
        return self._decide(report_id, "edit", text=text, revision=revision)

    def reject(self, report_id: str, reason: str, *, revision: int | None = None) -> Report:
        """Reject a draft; `revision` as in `accept`."""
        return self._decide(report_id, "reject", reason=reason, revision=revision)

    def _decide(self, report_id: str, decision: str, **body: Any) -> Report:
        return read(Report, self._service.post(_report(report_id, decision), body))

    def export(self, report_id: str, kind: ReportFormat = "markdown") -> bytes:
        """A draft as a file."""
        return self._service.get_bytes(_report(report_id, "export"), format=kind)

    def routes(self) -> list[Route]:
        """The routing rules, the most urgent first."""
        return list(read(RouteList, self._service.get("/v1/routes")).routes)

    def put_route(self, name: str, rule: Mapping[str, Any]) -> RouteDetail:
        """Make a routing rule, or change the one of that name."""
        return read(RouteDetail, self._service.put(_route(name), rule))

    def remove_route(self, name: str) -> None:
        """Remove a routing rule; its drafts stay."""
        self._service.delete(_route(name))

    def test_route(self, name: str) -> RouteTest:
        """What a routing rule would send of the archive, and why; nothing is sent."""
        return read(RouteTest, self._service.post(_route(name, "test")))

    def run_route(self, name: str) -> RouteRun:
        """Evaluate a routing rule now, on all that it looks at and has not sent."""
        return read(RouteRun, self._service.post(_route(name, "run")))


def _report(report_id: str, *further: str) -> str:
    return path_of("reports", ("report_id", "identifier", report_id), *further)


def _route(name: str, *further: str) -> str:
    return path_of("routes", ("name", "name", name), *further)
