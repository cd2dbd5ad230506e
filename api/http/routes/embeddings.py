"""`/v1/embeddings`: vectors of texts and pictures, in the shape of OpenAI's embeddings."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from pathlib import Path
from random import getrandbits
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
from fastapi import APIRouter, Response
from numpy.typing import NDArray

from medsiglip.answers.service import Embeddings
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.received import input_file
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.info import model_id
from medsiglip.api.http.schemas import EmbeddingsQuestion, ImageInput
from medsiglip.text_length import truncation_warnings

router = APIRouter(prefix="/v1", tags=["questions"])
# What is of no such type is DICOM. BMP has two names (RFC 7903 and the older one).
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/tiff": ".tif",
    "image/tif": ".tif",
    "image/bmp": ".bmp",
    "image/x-bmp": ".bmp",
    "image/x-ms-bmp": ".bmp",
}


@router.post(
    "/embeddings",
    operation_id="embed",
    response_class=Response,
    responses={200: {"model": Embeddings, "description": "The vectors, in the order of `input`"}},
)
def embed(archive: ServedArchive, question: EmbeddingsQuestion, _caller: Reader) -> Response:
    """Unit-length vectors of texts and pictures; of a file with several images, that of its middle one."""
    name = model_id(archive.checkpoint)
    if question.model not in ("", name, archive.space.name):
        raise ServiceError("unknown-model", f"this service encodes with {name!r} alone: ask for that.")
    if question.dimensions not in (None, archive.space.dimension):
        raise ServiceError(
            "bad-dimensions",
            f"vectors of this model have {archive.space.dimension} dimensions: ask for those.",
        )
    inputs = _texts(archive, question.input)
    vectors = _vectors(archive, inputs)
    data = [
        {"object": "embedding", "index": i, "embedding": _written(vector, question.encoding_format)}
        for i, vector in enumerate(vectors)
    ]
    usage, warnings = _usage(archive, inputs)
    answer = {"object": "list", "data": data, "model": name, "usage": usage, "warnings": warnings}
    # Thousands of numbers: they are not validated against the schema.
    return Response(json.dumps(answer, separators=(",", ":")), media_type="application/json")


def _texts(archive: Archive, given: str | list[int] | list[Any]) -> list[str | ImageInput]:
    """The inputs, with the texts that tokens stand for; a list of numbers is one text.

    Raises ServiceError `bad-token` for a number that is no token of the model.
    """
    if isinstance(given, str):
        return [given]
    inputs = [given] if all(isinstance(one, int) for one in given) else given
    return [_text(archive, i, one) if isinstance(one, list) else one for i, one in enumerate(inputs)]


def _text(archive: Archive, number: int, tokens: Sequence[int]) -> str:
    tokenizer = archive.encoder.tokenizer
    wrong = next((one for one in tokens if one >= tokenizer.vocabulary_size), None)
    if wrong is not None:
        raise ServiceError(
            "bad-token",
            f"input {number} holds the token {wrong}, and the model has {tokenizer.vocabulary_size}, counted "
            "from 0: send tokens of its own tokenizer, or the text.",
        )
    return tokenizer.decode(tokens)


def _written(vector: NDArray[np.float32], how: str) -> list[float] | str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if how == "base64" else vector.tolist()


def _usage(archive: Archive, inputs: Sequence[str | ImageInput]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The tokens of the texts, with those that the model does not read, and a warning of these."""
    texts = {f"input {i}": one for i, one in enumerate(inputs) if isinstance(one, str)}
    if not texts:
        return {"prompt_tokens": 0, "total_tokens": 0, "truncated_tokens": 0}, ()
    tokenizer = archive.encoder.tokenizer
    lengths = tokenizer.lengths(list(texts.values()))
    tokens, most = sum(lengths), tokenizer.context_length - 1
    truncated = sum(max(length - most, 0) for length in lengths)
    warnings = truncation_warnings(tokenizer, list(texts.values()), list(texts), "texts")
    return {"prompt_tokens": tokens, "total_tokens": tokens, "truncated_tokens": truncated}, warnings


def _vectors(archive: Archive, inputs: Sequence[str | ImageInput]) -> NDArray[np.float32]:
    """Vectors [n, d] in the order of `inputs`."""
    vectors = np.empty((len(inputs), archive.space.dimension), np.float32)
    texts = [i for i, one in enumerate(inputs) if isinstance(one, str)]
    if texts:
        vectors[texts] = archive.encoder.encode_texts([str(inputs[i]) for i in texts])
    images = [(i, one.image) for i, one in enumerate(inputs) if isinstance(one, ImageInput)]
    if images:
        rendered = _rendered(archive, images)
        vectors[[i for i, _ in images]] = archive.encoder.encode_images(rendered)
    return vectors


def _rendered(archive: Archive, images: Sequence[tuple[int, str]]) -> list[NDArray[np.uint8]]:
    """Model inputs uint8 [S, S, 3]; workers read the bytes, from files."""
    from medsiglip.preprocess import to_model_input

    size, profile = archive.encoder.image_size, archive.space.profile
    return [to_model_input(_middle(archive, i, uri), size, profile) for i, uri in images]


def _middle(archive: Archive, number: int, uri: str) -> NDArray[np.uint8]:
    """Display values of the middle image; the file's UIDs are not used."""
    from medsiglip.api.archive.queries import render_file

    content, place = _content(uri, number), f"{getrandbits(128):032x}"
    file = input_file(archive.home, place, f"{number}{_suffix(uri)}")
    try:
        _write(file, content)
        rendered = render_file(file, archive.rendering_pool)
    except ServiceError as error:
        error.args = (str(error).replace(f"{file.parent}/{place}.", ""),)
        raise
    finally:
        file.unlink(missing_ok=True)
    return rendered[len(rendered) // 2].pixels


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except FileNotFoundError:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_bytes(content)


def _suffix(uri: str) -> str:
    return _SUFFIXES.get(uri[5:].partition(",")[0].partition(";")[0].lower(), ".dcm")


def _content(uri: str, number: int) -> bytes:
    """The bytes of a data URI (RFC 2397)."""
    head, comma, data = uri.partition(",")
    try:
        if not comma:
            raise ValueError
        if head.lower().endswith(";base64"):
            return base64.b64decode(data, validate=True)
        return unquote_to_bytes(data)
    except (ValueError, binascii.Error):
        raise ServiceError(
            "bad-data-uri",
            f"input {number} is no data URI: give data:image/png;base64,... with valid base64.",
        ) from None
