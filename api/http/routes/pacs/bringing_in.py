"""`/v1/pacs/{name}/find`, `pull`, `sync`, `studies`: what a PACS holds, and how it is brought in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel

from medsiglip.answers.jobs import Job
from medsiglip.answers.pacs import FoundStudies, LedgerPage, LedgerStatus, Retried
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.pacs.finding import MOST_FOUND, find, query_of
from medsiglip.api.archive.pacs.ledger import announced, ask_for, ledger_page
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Writer
from medsiglip.api.http.routes.pacs.bodies import PacsPath, PacsQuestion, PacsUid, PullOrder, SyncOrder
from medsiglip.api.http.routes.pacs.turns import turns_of
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import Cursor

router = APIRouter(prefix="/v1/pacs/{name}", tags=["pacs"])
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("/find", operation_id="find_in_pacs", responses=problems(424), response_model_exclude_unset=True)
def find_in_pacs(
    request: Request,
    archive: ServedArchive,
    name: PacsPath,
    question: Annotated[PacsQuestion, Body()],
    caller: Writer,
) -> FoundStudies:
    """The studies of a PACS that match, and what of them is here."""
    query = query_of(question.asked(), question.limit)
    with turns_of(request).taken():
        found = archive.pacs_find(name, query, with_uids=caller.may("admin"))
    auditing.record(request, "pacs-find", connection=name, results=len(found.studies))
    return found


@router.post(
    "/pull", operation_id="pull_from_pacs", status_code=202, response_model=Job, responses=problems(424)
)
def pull_from_pacs(
    request: Request,
    response: Response,
    archive: ServedArchive,
    name: PacsPath,
    order: Annotated[PullOrder, Body()],
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start bringing in studies of a PACS, by their UIDs there or by a question; the job's result says what
    came.
    """
    kept = ask_for(archive, name, _ordered(request, archive, name, order))
    auditing.record(request, "pacs-pull", kept, connection=name)
    parameters = {"connection": name, "study_instance_uids": kept}
    job = submit(
        request, caller, "pacs-pull", parameters, Submission(idempotency_key, _sealed(archive, order))
    )
    return accepted(job, caller, response)


class _Seal(BaseModel):
    seal: str


def _sealed(archive: Archive, order: PullOrder) -> _Seal:
    """What is kept of an order, to know it again under its idempotency key: the plain hash of a patient ID
    could be guessed.
    """
    from medsiglip.ingest.privacy.deidentify import bound_key

    return _Seal(seal=bound_key(archive.index).derived_uid("pacs-order", order.model_dump_json()))


def _ordered(request: Request, archive: Archive, name: str, order: PullOrder) -> Sequence[str]:
    """The UIDs of the studies that are wanted; jobs hold no question, which may name a person."""
    asked = order.asked()
    if bool(asked) == (order.study_instance_uids is not None):
        raise ServiceError("one-of", "give study_instance_uids or a question: one of them.")
    if order.study_instance_uids is not None:
        return order.study_instance_uids
    with turns_of(request).taken():
        found = find(archive, name, query_of(asked, MOST_FOUND))
    if found.answer.truncated:
        raise ServiceError(
            "too-many-studies",
            f"more than {MOST_FOUND} studies match: narrow the question, or bring them in by a sync.",
        )
    if not found.study_instance_uids:
        raise ServiceError("nothing-to-pull", "the PACS holds no study that matches: ask it otherwise.")
    return found.study_instance_uids


@router.post("/sync", operation_id="sync_pacs", status_code=202, response_model=Job)
def sync_pacs(
    request: Request,
    response: Response,
    archive: ServedArchive,
    name: PacsPath,
    caller: Writer,
    order: Annotated[SyncOrder | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start comparing what a PACS holds with what is here, and bringing in what is new or has grown."""
    archive.index.pacs_connections.get(name)
    wanted = order or SyncOrder()
    since = query_of({"from_date": wanted.since}).from_date and wanted.since
    where = None if wanted.where is None else wanted.where.model_dump(exclude_none=True)
    auditing.record(request, "pacs-sync", connection=name)
    parameters = {"connection": name, "since": since, "where": where or None}
    job = submit(request, caller, "pacs-sync", parameters, Submission(idempotency_key, wanted))
    return accepted(job, caller, response)


@router.post("/studies/{uid}", operation_id="pull_study_from_pacs", status_code=202, response_model=Job)
def pull_study_from_pacs(
    request: Request, response: Response, archive: ServedArchive, name: PacsPath, uid: PacsUid, caller: Writer
) -> dict[str, Any]:
    """Start bringing in a study that a PACS announces, some seconds later: what is announced again until then
    is the same job. A study or a patient that was forgotten here stays away, as in a sync: the job then
    brings nothing.
    """
    kept = announced(archive, name, uid)
    auditing.record(request, "pacs-pull", kept, connection=name)
    parameters = {"connection": name, "study_instance_uids": kept, "announced": True}
    queue = archive.index.announced_jobs
    job_id = queue.submit("pacs-pull", parameters, f"{name}/{''.join(kept)}", caller.key_id)
    return accepted(archive.index.jobs.get(job_id), caller, response)


@router.get("/studies", operation_id="list_pacs_studies")
def list_pacs_studies(
    request: Request,
    archive: ServedArchive,
    name: PacsPath,
    caller: Reader,
    status: Annotated[LedgerStatus | None, Query(description="all but `forgotten`, when unset")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> LedgerPage:
    """The studies of a PACS that were asked for, the last changed first, and what became of them. In a home
    that hides UIDs, pages after the first are for `admin` alone.
    """
    is_admin = caller.may("admin")
    page = ledger_page(archive, name, status=status, cursor=cursor, limit=limit, with_uids=is_admin)
    here = [one.study_instance_uid for one in page.studies if one.status == "here"]
    auditing.record_list(request, "list", here, connection=name, results=len(page.studies))
    return page


@router.post("/retry", operation_id="retry_pacs_studies")
def retry_pacs_studies(request: Request, archive: ServedArchive, name: PacsPath, _caller: Writer) -> Retried:
    """Let the studies that failed or came in part wait again; the next pull or sync brings them in."""
    waiting = archive.index.pacs_studies.retry(name)
    auditing.record(request, "pacs-pull", connection=name, waiting=waiting)
    return Retried(waiting=waiting)
