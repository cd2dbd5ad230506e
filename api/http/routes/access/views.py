"""`/v1/views`: addresses of the screen that a person keeps under a name, each key its own.

Filters may name a patient key, so they are kept here and in no browser.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path
from pydantic import ConfigDict, Field

from medsiglip.answers.access import SavedView, SavedViewList
from medsiglip.answers.answer import RemovedName
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.schemas import NO_NUL, Question
from medsiglip.names import LONGEST_IN_URL, VIEW

router = APIRouter(prefix="/v1/views", tags=["access"])
_LONGEST_QUERY = 8192
ViewName = Annotated[str, Path(min_length=1, max_length=LONGEST_IN_URL, pattern=VIEW)]


class View(Question):
    """A page of the screen and the query of its address."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"page": "cases", "query": "where=modality%3DCT"}}
    )

    page: Annotated[str, Field(pattern="^[a-z][a-z-]{0,31}$", description="the first part of the path")]
    query: Annotated[str, Field(max_length=_LONGEST_QUERY, pattern=NO_NUL)] = Field(
        "", description="without the question mark, encoded as in an address"
    )


@router.get("", operation_id="list_views")
def list_views(archive: ServedArchive, caller: Reader) -> SavedViewList:
    """The saved views of this key."""
    return SavedViewList.model_validate({"views": archive.index.views.listed(caller.key_id)})


@router.put("/{name}", operation_id="put_view")
def put_view(
    archive: ServedArchive, name: ViewName, view: Annotated[View, Body()], caller: Reader
) -> SavedView:
    """Keep a view, in place of the one that has this name."""
    return SavedView.model_validate(archive.index.views.put(caller.key_id, name, view.page, view.query))


@router.delete("/{name}", operation_id="remove_view")
def remove_view(archive: ServedArchive, name: ViewName, caller: Reader) -> RemovedName:
    """Remove a saved view."""
    archive.index.views.remove(caller.key_id, name)
    return RemovedName(name=name, removed=True)
