"""What routes declare as parameters: the archive of the service, and a caller with a scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.auth import Caller, any_caller, requires, requires_if_known


async def served_archive(request: Request) -> Archive:
    """The archive that the service has opened."""
    archive: Archive = request.app.state.server.archive
    return archive


ServedArchive = Annotated[Archive, Depends(served_archive)]
AnyCaller = Annotated[Caller, Depends(any_caller)]
Reader = Annotated[Caller, Depends(requires("read"))]
Watcher = Annotated[Caller, Depends(requires_if_known("read"))]
Writer = Annotated[Caller, Depends(requires("write"))]
Trainer = Annotated[Caller, Depends(requires("train"))]
Reporter = Annotated[Caller, Depends(requires("report"))]
Admin = Annotated[Caller, Depends(requires("admin"))]
