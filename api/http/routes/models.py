"""`/v1/models`: what the service encodes with, in the shape of OpenAI's list of models."""

from __future__ import annotations

from fastapi import APIRouter

from medsiglip.answers.service import ModelCard, ModelList
from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.info import model_id

router = APIRouter(prefix="/v1/models", tags=["service"])


@router.get("", operation_id="list_models")
def list_models(archive: ServedArchive, _caller: Reader) -> ModelList:
    """The one model, as `model` of POST /v1/embeddings may name it."""
    return ModelList(object="list", data=(_card(archive),))


@router.get("/{model:path}", operation_id="get_model")
def get_model(archive: ServedArchive, model: str, _caller: Reader) -> ModelCard:
    """The model of this name, which may hold slashes."""
    known = model_id(archive.checkpoint)
    if model != known:
        raise ServiceError("unknown-model", f"this service encodes with {known!r} alone: ask for that.")
    return _card(archive)


def _card(archive: Archive) -> ModelCard:
    checkpoint = archive.checkpoint
    written = int(checkpoint.folder.stat().st_mtime)
    return ModelCard(id=model_id(checkpoint), object="model", created=written, owned_by="medsiglip")
