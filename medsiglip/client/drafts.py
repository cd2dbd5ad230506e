"""What `medsiglip.client.client.Client` asks of draft reports and of the routes that order them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from medsiglip.client import results as results
from medsiglip.client.connection import Connection
from medsiglip.client.results import Job

FileFormat = Literal["markdown", "sr", "pdf", "dicom-pdf", "fhir"]


class DraftCalls:
    """Part of `Client`. A `revision` given with a decision is that of the draft as it was seen: a draft that
    has changed since is left alone (`draft-changed`).
    """

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
        asked = {
            "study_instance_uid": study,
            "route": route,
            "generator": generator,
            "indication": indication,
        }
        return results.job(self._service.post("/v1/reports", asked, once=True))

    def reports(self, *, status: str | None = None, study: str | None = None) -> list[dict[str, Any]]:
        """The newest drafts and what became of them."""
        answer = self._service.get("/v1/reports", status=status, study_instance_uid=study)
        found: list[dict[str, Any]] = answer["reports"]
        return found

    def report(self, report_id: str) -> dict[str, Any]:
        """One draft with its evidence and checks."""
        return self._service.get(_report(report_id))

    def accept(self, report_id: str, *, revision: int | None = None) -> dict[str, Any]:
        """Accept a draft as it stands."""
        return self._service.post(f"{_report(report_id)}/accept", {"revision": revision})

    def edit(self, report_id: str, text: str, *, revision: int | None = None) -> dict[str, Any]:
        """Put a person's text in place of a draft's."""
        return self._service.post(f"{_report(report_id)}/edit", {"text": text, "revision": revision})

    def reject(self, report_id: str, reason: str, *, revision: int | None = None) -> dict[str, Any]:
        """Reject a draft."""
        return self._service.post(f"{_report(report_id)}/reject", {"reason": reason, "revision": revision})

    def export(self, report_id: str, kind: FileFormat = "markdown") -> bytes:
        """A draft as a file."""
        return self._service.get_bytes(f"{_report(report_id)}/export", format=kind)

    def routes(self) -> list[dict[str, Any]]:
        """The routes, the most urgent first."""
        found: list[dict[str, Any]] = self._service.get("/v1/routes")["routes"]
        return found

    def put_route(self, name: str, rule: Mapping[str, Any]) -> dict[str, Any]:
        """Make a route, or change the one of that name."""
        return self._service.put(_route(name), rule)

    def remove_route(self, name: str) -> None:
        """Remove a route; its drafts stay."""
        self._service.delete(_route(name))

    def test_route(self, name: str) -> dict[str, Any]:
        """What a route would send of the archive, and why; nothing is sent."""
        return self._service.post(f"{_route(name)}/test")

    def run_route(self, name: str) -> dict[str, Any]:
        """Evaluate a route now, on all that it looks at and has not sent."""
        return self._service.post(f"{_route(name)}/run")


def _report(report_id: str) -> str:
    return f"/v1/reports/{quote(report_id, safe='')}"


def _route(name: str) -> str:
    return f"/v1/routes/{quote(name, safe='')}"
