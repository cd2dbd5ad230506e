"""The card of a probe, its curves, and the cases whose label may be wrong."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from medsiglip.answers.probe_figures import ProbeCurves, ProbeSuspects
from medsiglip.api.http import auditing
from medsiglip.api.http.page_answers import HTML, page_answer
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.schemas import ProbePath

router = APIRouter(prefix="/v1/probes", tags=["labels and probes"])


@router.get(
    "/{name}/card",
    operation_id="get_probe_card",
    response_class=Response,
    responses=HTML,
)
def get_probe_card(archive: ServedArchive, name: ProbePath, _caller: Reader) -> Response:
    """The card of a probe: one page of HTML for a colleague. It names no patient and no study."""
    return page_answer(archive.probe_card_page(name))


@router.get("/{name}/curves", operation_id="get_probe_curves")
def get_probe_curves(archive: ServedArchive, name: ProbePath, _caller: Reader) -> ProbeCurves:
    """What a probe's scores are worth at every threshold: curves, reliability, and counts by subgroup."""
    return archive.probe_curves(name)


@router.get("/{name}/suspects", operation_id="list_suspects", response_model_exclude_unset=True)
def list_suspects(
    request: Request,
    archive: ServedArchive,
    name: ProbePath,
    _caller: Reader,
    n: Annotated[int, Query(ge=1, le=500, description="how many cases")] = 50,
) -> ProbeSuspects:
    """The cases whose labels look wrong to the probe, the most suspicious first."""
    found = archive.probe_suspects(name, n=n)
    auditing.record(request, "list", [one.study_instance_uid for one in found.suspects], probe=name)
    return found
