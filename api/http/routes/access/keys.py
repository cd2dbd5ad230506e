"""`/v1/keys`: API keys are listed, made and ended by who may do everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Request
from pydantic import ConfigDict, Field

from medsiglip.answers.access import Key, KeyList, MadeKey
from medsiglip.api.archive.keys import end_key, key_row, list_keys, require_key_name
from medsiglip.api.http import auditing
from medsiglip.api.http.routes.dependencies import Admin, ServedArchive
from medsiglip.api.http.schemas import Question
from medsiglip.names import LONGEST_KEY_NAME

router = APIRouter(prefix="/v1/keys", tags=["access"])
_LONGEST_DAYS = 36_500
KeyId = Annotated[
    str, Path(pattern="^([0-9a-f]{12}|[0-9a-f]{16})$", description="the id of a key or a person")
]
ScopeName = Literal["read", "write", "train", "report", "admin"]


class KeyOrder(Question):
    """A key to make: whose or what it is for, what it may do, and for how long."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "workstation-3", "scopes": ["read", "report"]}}
    )

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY_NAME)]
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=5)] = Field(
        description="admin includes all others"
    )
    expires_days: Annotated[int, Field(ge=1, le=_LONGEST_DAYS)] | None = Field(
        None, description="days until it expires; never when unset"
    )


@router.get("", operation_id="list_keys")
def get_keys(archive: ServedArchive, _caller: Admin) -> KeyList:
    """All keys, also those that have ended, without their secrets."""
    return KeyList.model_validate(list_keys(archive))


@router.post("", operation_id="create_key", status_code=201)
def create_key(
    request: Request, archive: ServedArchive, order: Annotated[KeyOrder, Body()], _caller: Admin
) -> MadeKey:
    """Make a key; only this answer holds it. The first key of a home closes the service to all others."""
    require_key_name(order.name)
    days = order.expires_days
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    keys = archive.index.api_keys
    made, shown = keys.create(order.name.strip(), order.scopes, expires_at=until)
    auditing.record(request, "create-key", key_id=made.id, scopes=list(made.scopes))
    return MadeKey.model_validate({**key_row(made), "key": shown})


@router.delete("/{key_id}", operation_id="revoke_key")
def revoke_key(request: Request, archive: ServedArchive, key_id: KeyId, _caller: Admin) -> Key:
    """End a key for good, with the sessions of its browsers: everywhere within two seconds."""
    revoked = end_key(archive.index, key_id)
    auditing.record(request, "revoke-key", key_id=key_id)
    return Key.model_validate(key_row(revoked))
