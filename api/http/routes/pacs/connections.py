"""`/v1/pacs`: connections to PACS with their state, added, changed, tried and removed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.pacs import PacsConnection, PacsEcho, PacsList
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Admin, Reader, ServedArchive, Writer
from medsiglip.api.http.routes.pacs.bodies import PacsOptions, PacsPath
from medsiglip.api.http.routes.pacs.turns import turns_of
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.receiving.state import receiver_state

router = APIRouter(prefix="/v1/pacs", tags=["pacs"])


@router.get("", operation_id="list_pacs")
def list_pacs(archive: ServedArchive, caller: Reader) -> PacsList:
    """The connections by name with their state, and the receiver; how they are reached for `admin` alone."""
    listed = archive.pacs_connections(with_options=caller.may("admin"))
    return listed.model_copy(update={"receiver": receiver_state(archive.home)})


@router.put("/{name}", operation_id="put_pacs")
def put_pacs(
    request: Request,
    archive: ServedArchive,
    name: PacsPath,
    options: Annotated[PacsOptions, Body()],
    _caller: Admin,
) -> PacsConnection:
    """Add a PACS, or change how the one of this name is reached; what is not given has its default.

    Certificates, tokens and passwords lie in files of the server, which its own command line alone may name
    (`pacs-secrets`).
    """
    put = archive.add_pacs(name, remote=True, **options.model_dump(exclude_none=True))
    auditing.record(request, "pacs-connection", connection=name, change="put")
    return put


@router.delete("/{name}", operation_id="remove_pacs")
def remove_pacs(request: Request, archive: ServedArchive, name: PacsPath, _caller: Admin) -> RemovedName:
    """Forget how a PACS is reached; what came from it stays."""
    removed = archive.remove_pacs(name)
    auditing.record(request, "pacs-connection", connection=name, change="remove")
    return removed


@router.post("/{name}/echo", operation_id="echo_pacs", responses=problems(424))
def echo_pacs(request: Request, archive: ServedArchive, name: PacsPath, _caller: Writer) -> PacsEcho:
    """Ask a PACS for a sign of life."""
    with turns_of(request).taken():
        return archive.pacs_echo(name)
