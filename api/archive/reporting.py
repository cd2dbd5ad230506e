"""What `Archive` does with drafts, report texts and routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medsiglip.api.archive.opened import OpenedArchive, silent

Answer = dict[str, Any]
OnProgress = Callable[[str, int, int | None], None]


class ReportingArchive(OpenedArchive):
    """The verbs of reports and routes."""

    def draft_report(
        self,
        study: str,
        *,
        route: str | None = None,
        generator: str | None = None,
        options: Mapping[str, Any] | None = None,
        indication: str | None = None,
        by: str,
        on_progress: OnProgress = silent,
    ) -> Answer:
        """Draft a report of a study now; `options` are fields of a route's rule."""
        from medsiglip.api.archive.drafts.reports import ReportRequest, draft_answer, make_draft

        request = ReportRequest(study, route, generator, options, indication, by)
        return draft_answer(make_draft(self, request, on_progress=on_progress))

    def report(self, draft_id: str) -> Answer:
        """One draft, with its evidence, checks and history."""
        from medsiglip.api.archive.drafts.reports import draft_answer
        from medsiglip.medgemma.draft_record import draft_of

        return draft_answer(draft_of(self.index.drafts.get(draft_id)))

    def reports(
        self,
        *,
        status: str | None = None,
        study: str | None = None,
        route: str | None = None,
        words: str | None = None,
        limit: int = 100,
    ) -> Answer:
        """The newest drafts, without what belongs to one alone."""
        from medsiglip.api.archive.queries import stored_study_uid

        uid = None if study is None else stored_study_uid(self, study)
        found = self.index.drafts.listed(
            status=status, study_instance_uid=uid, route=route, words=words, limit=limit
        )
        names = ("id", "study_instance_uid", "status", "route", "generator", "text", "revision")
        rows = [
            {**{name: getattr(one, name) for name in names}, "created_at": one.created_at.isoformat()}
            for one in found
        ]
        return {"reports": rows}

    def accept_report(self, draft_id: str, *, by: str, revision: int | None = None) -> Answer:
        """Accept a draft: it is the study's report from now on."""
        from medsiglip.api.archive.drafts.reports import draft_answer
        from medsiglip.medgemma.workflow import accept

        return draft_answer(accept(self.index, draft_id, by=by, revision=revision))

    def edit_report(self, draft_id: str, text: str, *, by: str, revision: int | None = None) -> Answer:
        """Put a person's words in place of a draft's."""
        from medsiglip.api.archive.drafts.reports import draft_answer
        from medsiglip.medgemma.workflow import edit

        return draft_answer(edit(self.index, draft_id, by=by, text=text, revision=revision))

    def reject_report(self, draft_id: str, reason: str, *, by: str, revision: int | None = None) -> Answer:
        """Reject a draft for a reason."""
        from medsiglip.api.archive.drafts.reports import draft_answer
        from medsiglip.medgemma.workflow import reject

        return draft_answer(reject(self.index, draft_id, by=by, reason=reason, revision=revision))

    def export_report(self, draft_id: str, format_: str, out: str | Path) -> Answer:
        """Write a draft to a file as sr, pdf, fhir, markdown or dicom-pdf."""
        from medsiglip.api.archive.drafts.reports import exported
        from medsiglip.api.archive.files import output_file
        from medsiglip.medgemma.draft_record import draft_of

        draft = draft_of(self.index.drafts.get(draft_id))
        file = output_file(Path(out))
        made = exported(self, draft, format_)
        file.write_bytes(made.content)
        uid = draft.study_instance_uid
        return {"id": draft.id, "study_instance_uid": uid, "path": str(file), "media_type": made.media_type}

    def import_reports(self, csv: str | Path) -> Answer:
        """Store the report texts of a CSV with the columns study_instance_uid and report."""
        from medsiglip.api.archive.drafts.report_import import import_reports

        return import_reports(self, Path(csv))

    def routes(self) -> Answer:
        """All routes with their rules and how much each sent and holds back."""
        from medsiglip.api.archive.drafts.routing_rules import list_routes

        return list_routes(self)

    def route(self, name: str) -> Answer:
        """One route, with what it holds back and why."""
        from medsiglip.api.archive.drafts.routing_rules import show_route

        return show_route(self, name)

    def put_route(self, name: str, rule: Mapping[str, Any]) -> Answer:
        """Make a route, or change the one of that name."""
        from medsiglip.api.archive.drafts.routing_rules import put_route

        return put_route(self, name, rule)

    def add_routes(self, file: str | Path) -> Answer:
        """Make or change the routes of a TOML file."""
        from medsiglip.api.archive.drafts.routing_rules import add_routes

        return add_routes(self, Path(file))

    def remove_route(self, name: str) -> Answer:
        """Remove a route; its drafts stay."""
        self.index.routes.remove(name)
        return {"name": name, "removed": True}

    def export_routes(self, out: str | Path) -> Answer:
        """Write all routes to a TOML file that `route add` reads."""
        from medsiglip.api.archive.drafts.routing_rules import export_routes

        return export_routes(self, Path(out))

    def test_route(
        self, name: str, *, rule: Mapping[str, Any] | None = None, on_progress: OnProgress = silent
    ) -> Answer:
        """What a route, or a rule that is not stored, would send of the whole archive, and why."""
        from medsiglip.api.archive.drafts.routing_rules import test_route

        return test_route(self, name, rule, on_progress)

    def run_routes(
        self, *, again: bool = True, names: Sequence[str] | None = None, on_progress: OnProgress = silent
    ) -> Answer:
        """Evaluate the enabled routes: on what is new to them, or `again` on all that is not sent."""
        from medsiglip.api.archive.drafts.routing_rules import run_routes

        return run_routes(self, again, names, on_progress)
