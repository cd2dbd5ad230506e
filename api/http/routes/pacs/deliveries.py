"""`/v1/reports/{id}/send` and deliveries: accepted drafts go to a PACS, and what became of each document."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from medsiglip.answers.jobs import Job
from medsiglip.answers.pacs import DeliveryPage, DeliveryStatus
from medsiglip.api.archive.pacs.delivering import order_delivery
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Writer
from medsiglip.api.http.routes.pacs.bodies import DeliveryOrder, PacsPath
from medsiglip.api.http.schemas import Cursor
from medsiglip.index.pacs.deliveries import JOB_KIND

router = APIRouter(prefix="/v1", tags=["pacs"])
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post("/reports/{draft_id}/send", operation_id="send_report", status_code=202, response_model=Job)
def send_report(
    request: Request,
    response: Response,
    archive: ServedArchive,
    draft_id: str,
    order: Annotated[DeliveryOrder, Body()],
    caller: Writer,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start sending an accepted draft to a PACS; what that holds already is not sent again."""
    consignment = order_delivery(archive, draft_id, order.to, order.formats)
    auditing.record(request, "pacs-send", [consignment.study_instance_uid], draft=draft_id, to=order.to)
    job = submit(request, caller, JOB_KIND, consignment.job, Submission(idempotency_key, order))
    if job.status == "queued":  # under a key that was used before it may have ended long ago
        archive.index.pacs_deliveries.add(consignment)
    return accepted(job, caller, response)


@router.get("/reports/{draft_id}/deliveries", operation_id="list_report_deliveries")
def list_report_deliveries(
    request: Request,
    archive: ServedArchive,
    draft_id: str,
    caller: Reader,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> DeliveryPage:
    """The documents of a draft that were sent to a PACS, wait for it, or failed, the newest first."""
    study = archive.index.drafts.get(draft_id).study_instance_uid
    auditing.record_part(request, [study], "report-view", draft=draft_id)
    return archive.pacs_deliveries(draft=draft_id, cursor=cursor, limit=limit)


@router.get("/pacs/{name}/deliveries", operation_id="list_pacs_deliveries")
def list_pacs_deliveries(
    request: Request,
    archive: ServedArchive,
    name: PacsPath,
    caller: Reader,
    status: DeliveryStatus | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> DeliveryPage:
    """The documents that were sent to a PACS, wait for it, or failed, the newest first."""
    page = archive.pacs_deliveries(to=name, status=status, cursor=cursor, limit=limit)
    auditing.record(request, "report-view", connection=name, results=len(page.deliveries))
    return page
