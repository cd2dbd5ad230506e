"""`/v1/collections`: cases that people put together under a name, for the filter `collection=NAME`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.browsing import ChangedCollection, CollectionList
from medsiglip.api.archive.browsing import cases
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive, Writer
from medsiglip.api.http.schemas import Filters, NamePath, Question, Uid

router = APIRouter(prefix="/v1/collections", tags=["cases"])
Uids = Annotated[list[Uid], Field(max_length=10_000)]


class CollectionQuestion(Question):
    """What comes into a collection, by UID and all that fit filters, and what leaves it."""

    model_config = ConfigDict(json_schema_extra={"example": {"add": ["1.2.840.1"], "remove": []}})

    add: Uids = Field(default_factory=list)
    remove: Uids = Field(default_factory=list)
    where: Filters | None = Field(None, description="all cases that fit come in; [] for every case")


@router.get("", operation_id="list_collections")
def list_collections(archive: ServedArchive, _caller: Reader) -> CollectionList:
    """All collections, with how many cases each has."""
    return cases.list_collections(archive)


@router.put("/{name}", operation_id="change_collection")
def change_collection(
    request: Request, archive: ServedArchive, name: NamePath, question: CollectionQuestion, caller: Writer
) -> ChangedCollection:
    """Put cases into a collection, which is made if needed, and take cases out."""
    add = cases.stored_study_uids(archive, question.add)
    remove = cases.stored_study_uids(archive, question.remove)
    if question.where is not None:
        add += archive.index.browser.uids(question.where)
    auditing.record(request, "collect", [*add, *remove], added=len(add), removed=len(remove))
    return cases.change_collection(archive, name, caller.key_id, add=add, remove=remove)


@router.delete("/{name}", operation_id="remove_collection")
def remove_collection(
    request: Request, archive: ServedArchive, name: NamePath, _caller: Writer
) -> RemovedName:
    """Remove a collection; its cases stay."""
    auditing.record(request, "collect", collection="removed")
    return cases.remove_collection(archive, name)
