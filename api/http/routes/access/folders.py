"""`/v1/ingest/roots`: what an ingest by a path of the server may name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from medsiglip.answers.access import FolderListing
from medsiglip.api.archive.folders import list_folders
from medsiglip.api.http.routes.dependencies import Writer
from medsiglip.api.http.schemas import NO_NUL

router = APIRouter(prefix="/v1/ingest", tags=["cases"])


@router.get("/roots", operation_id="list_ingest_roots")
def list_ingest_roots(
    request: Request,
    _caller: Writer,
    path: Annotated[
        str | None,
        Query(min_length=1, max_length=4096, pattern=NO_NUL, description="a root, or a folder below one"),
    ] = None,
) -> FolderListing:
    """The folders below which `POST /v1/ingest` may name a `path`, and the names of those in one of them."""
    return list_folders(request.app.state.server.settings.ingest_roots, path)
