"""PACS over HTTP: connections, questions, and studies that are brought in."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, Unpack
from urllib.parse import quote

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.jobs import Job
from medsiglip.answers.pacs import (
    DeliveryFormat,
    DeliveryPage,
    DeliveryStatus,
    FoundStudies,
    LedgerPage,
    LedgerStatus,
    PacsConnection,
    PacsEcho,
    PacsFields,
    PacsList,
    Retried,
)
from medsiglip.arguments import several
from medsiglip.client.connection import Connection, given, read
from medsiglip.client.paths import checked, path_of


class PacsMethods:
    """Methods of `Client`. `name` is that of a connection; UIDs are the PACS's."""

    _service: Connection

    def pacs(self) -> PacsList:
        """The connections to PACS with their state, and the receiver."""
        return read(PacsList, self._service.get("/v1/pacs"))

    def add_pacs(self, name: str, **options: Any) -> PacsConnection:
        """Add a PACS, or change how the one of this name is reached: `url` for DICOMweb, or `host`, `port`
        and `ae_title`, and the other fields of the request.
        """
        return read(PacsConnection, self._service.put(_of(name), given(options)))

    def remove_pacs(self, name: str) -> None:
        """Forget how a PACS is reached; what came from it stays."""
        read(RemovedName, self._service.delete(_of(name)))

    def pacs_echo(self, name: str) -> PacsEcho:
        """Ask a PACS for a sign of life."""
        return read(PacsEcho, self._service.post(_of(name, "echo")))

    def pacs_find(self, name: str, *, limit: int = 100, **question: Unpack[PacsFields]) -> FoundStudies:
        """The studies of a PACS that match: `patient_id`, `patient_name`, `accession_number`,
        `study_instance_uid`, `modality`, `study_description`, `from_date` and `to_date` (YYYY-MM-DD).
        """
        body = {**given(question), "limit": index(limit)}
        return read(FoundStudies, self._service.post(_of(name, "find"), body))

    def pacs_pull(
        self, name: str, studies: Sequence[str] | None = None, **question: Unpack[PacsFields]
    ) -> Job:
        """Start bringing in studies by their UIDs, or those that a question of `pacs_find` finds."""
        uids = None if studies is None else several("studies", studies)
        body = given({**question, "study_instance_uids": uids})
        return read(Job, self._service.post(_of(name, "pull"), body, once=True))

    def pacs_pull_study(self, name: str, study: str) -> Job:
        """Start bringing in a study that its PACS announces; while a job for it waits, this is that job."""
        checked("study", "uid", study)
        return read(Job, self._service.post(_of(name, "studies", quote(study, safe=""))))

    def pacs_sync(
        self,
        name: str,
        *,
        since: str | None = None,
        modality: str | None = None,
        study_description: str | None = None,
    ) -> Job:
        """Start comparing what a PACS holds with what is here, from a day on (YYYY-MM-DD), and bringing in
        what is new or has grown.
        """
        where = given({"modality": modality, "study_description": study_description})
        body = given({"since": since, "where": where or None})
        return read(Job, self._service.post(_of(name, "sync"), body, once=True))

    def pacs_studies(
        self, name: str, *, status: LedgerStatus | None = None, limit: int = 100, cursor: str | None = None
    ) -> LedgerPage:
        """The studies of a PACS that were asked for, the last changed first; `cursor` is that of the page
        before.
        """
        query = {"status": status, "limit": index(limit), "cursor": cursor}
        return read(LedgerPage, self._service.get(_of(name, "studies"), **query))

    def fetch_files(self, study: str, *, connection: str | None = None) -> Job:
        """Start bringing the files of a study of the archive back from a PACS, by default the one that it
        last came from; the result is a `FetchReport`.
        """
        path = path_of("studies", ("study", "uid", study), "fetch")
        return read(Job, self._service.post(path, given({"connection": connection}), once=True))

    def pacs_release(self, name: str, studies: Sequence[str] | None = None) -> Job:
        """Start deleting files of the archive that a PACS can give again: those of `studies`, or of all that
        came from it; the result is a `ReleaseReport`.
        """
        uids = None if studies is None else several("studies", studies)
        body = given({"study_instance_uids": uids})
        return read(Job, self._service.post(_of(name, "release"), body, once=True))

    def pacs_retry(self, name: str) -> int:
        """Let the studies that failed or came in part wait again; how many."""
        return read(Retried, self._service.post(_of(name, "retry"))).waiting

    def send(self, report_id: str, to: str, *, formats: Sequence[DeliveryFormat] = ("sr",)) -> Job:
        """Start sending an accepted draft to a PACS as `sr`, `pdf` or both; what that holds already is not
        sent again.
        """
        body = {"to": checked("to", "name", to), "formats": several("formats", formats)}
        return read(Job, self._service.post(_report(report_id, "send"), body, once=True))

    def report_deliveries(
        self, report_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> DeliveryPage:
        """The documents of a draft that were sent to a PACS, wait for it, or failed, the newest first."""
        query = {"limit": index(limit), "cursor": cursor}
        return read(DeliveryPage, self._service.get(_report(report_id, "deliveries"), **query))

    def pacs_deliveries(
        self, name: str, *, status: DeliveryStatus | None = None, limit: int = 100, cursor: str | None = None
    ) -> DeliveryPage:
        """The documents that were sent to a PACS, wait for it, or failed, the newest first."""
        query = {"status": status, "limit": index(limit), "cursor": cursor}
        return read(DeliveryPage, self._service.get(_of(name, "deliveries"), **query))


def _report(report_id: str, *further: str) -> str:
    return path_of("reports", ("report_id", "identifier", report_id), *further)


def _of(name: str, *parts: str) -> str:
    return path_of("pacs", ("name", "name", name), *parts)
