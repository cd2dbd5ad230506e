"""The service through OpenAI's own client library, and the inputs that such clients send."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from medsiglip.checkpoint import open_checkpoint
from medsiglip.tokenizer import Tokenizer
from tests.api.live_service import LiveService

TEXTS = ["Left pleural effusion, small.", "skin_photo: naevus", "東京 <unk> 3.5 mm", "x" * 300]


@pytest.fixture(scope="module")
def asking(service: LiveService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.keys["read"], max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    checkpoint = open_checkpoint("tiny")
    return Tokenizer(checkpoint.spiece_path, checkpoint.context_length)


def test_the_list_of_models(asking: openai.OpenAI, service: LiveService) -> None:
    [model] = asking.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "medsiglip")
    assert model.created > 1_500_000_000
    assert asking.models.retrieve("tiny") == model
    for unknown in ("text-embedding-3-small", "google/medsiglip-448", "tiny/x"):
        with pytest.raises(openai.NotFoundError) as refused:
            asking.models.retrieve(unknown)
        assert refused.value.code == "unknown-model"
    with service.client("read") as client:
        assert [one.id for one in client.models()] == ["tiny"]
        assert client.info().model == model.id


def test_errors_are_those_that_the_library_knows(asking: openai.OpenAI, service: LiveService) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        asking.embeddings.create(model="text-embedding-3-small", input="skin")
    body: Any = unknown.value.body
    assert (unknown.value.code, unknown.value.type) == ("unknown-model", "invalid_request_error")
    assert "ask for that" in body["message"]
    with pytest.raises(openai.UnprocessableEntityError) as wrong:
        asking.embeddings.create(model="tiny", input="skin", dimensions=0)
    assert (wrong.value.code, wrong.value.param) == ("bad-request", "body.dimensions")
    with (
        openai.OpenAI(base_url=f"{service.url}/v1", api_key="msk_nobody", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.models.list()
    assert (refused.value.code, refused.value.type) == ("wrong-key", "authentication_error")


def test_the_error_member_stands_beside_those_of_rfc_9457(service: LiveService) -> None:
    with service.http("read") as http:
        problem = http.get("/v1/studies/1.2.3").json()
        closed = http.post("/v1/ingest", json={"path": "/x"}).json()
    assert {"type", "title", "status", "code", "detail", "request_id", "error"} <= problem.keys()
    expected = {"message": problem["detail"], "type": "invalid_request_error", "param": None}
    assert problem["error"] == {**expected, "code": "unknown-study"}
    assert closed["error"]["type"] == "permission_error"
    bad = httpx.get(f"{service.url}/healthz", headers={"Host": "a b"}).json()
    assert bad["error"] == {**expected, "message": bad["detail"], "code": "bad-http"}


@pytest.mark.parametrize("fill", [False, True])
def test_tokens_stand_for_their_text(asking: openai.OpenAI, tokenizer: Tokenizer, fill: bool) -> None:
    """With and without the tokens that fill a text up to the length that the model takes."""
    rows = [row.tolist() for row in tokenizer(TEXTS)]
    if not fill:
        rows = [[one for one in row if one != tokenizer.pad_id] for row in rows]
    by_text = asking.embeddings.create(model="tiny", input=TEXTS)
    by_tokens = asking.embeddings.create(model="tiny", input=rows)
    for text, tokens in zip(by_text.data, by_tokens.data, strict=True):
        assert np.array_equal(text.embedding, tokens.embedding)
    # Of a text that is longer than what the model reads, tokens hold only what it reads.
    counted = by_text.usage.model_dump()
    read = counted["prompt_tokens"] - counted["truncated_tokens"]
    assert counted["truncated_tokens"] > 0
    assert by_tokens.usage.prompt_tokens == read
    [one] = asking.embeddings.create(model="tiny", input=rows[0]).data
    assert np.array_equal(one.embedding, by_text.data[0].embedding)


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        ([1 << 30], "bad-token"),
        ([[5], [3, 1224]], "bad-token"),
        ([-1], "bad-request"),
        ([[]], "bad-request"),
        ([], "bad-request"),
        ([1.5], "bad-request"),
        ([True], "bad-request"),
        ([1], "empty-text"),
        ([[5] * 5000], "bad-request"),
    ],
)
def test_numbers_that_are_no_tokens(
    service: LiveService, tokenizer: Tokenizer, tokens: Any, code: str
) -> None:
    assert tokenizer.vocabulary_size == 1224
    with service.http("read") as http:
        refused = http.post("/v1/embeddings", json={"model": "tiny", "input": tokens})
    assert (refused.status_code, refused.json()["code"]) == (422, code)


@pytest.mark.parametrize("text", TEXTS)
def test_decoded_ids_are_encoded_again_alike(tokenizer: Tokenizer, text: str) -> None:
    [ids] = tokenizer([text])
    assert np.array_equal(tokenizer([tokenizer.decode(ids.tolist())])[0], ids)


def data_uri(picture: Image.Image, kind: str, media_type: str, **options: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return f"data:{media_type};base64,{base64.b64encode(stream.getvalue()).decode()}"


def test_pictures_of_every_kind_as_data_uris(service: LiveService, tmp_path: Path) -> None:
    """The same pixels in formats without loss have the same vector."""
    pixels = np.random.default_rng(3).integers(0, 255, (90, 70, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    uris = [
        data_uri(picture, "PNG", "image/png"),
        data_uri(picture, "TIFF", "image/tiff"),
        data_uri(picture, "TIFF", "image/TIFF", compression="tiff_lzw"),
        data_uri(picture, "BMP", "image/bmp"),
        data_uri(picture, "BMP", "image/x-ms-bmp"),
    ]
    with service.http("read") as http:
        body = {"model": "", "input": [{"image": uri} for uri in uris]}
        answer = http.post("/v1/embeddings", json=body).raise_for_status().json()
    vectors = [one["embedding"] for one in answer["data"]]
    assert all(vector == vectors[0] for vector in vectors)
    for suffix in ("png", "tif", "tiff", "bmp"):
        picture.save(tmp_path / f"p.{suffix}")
    with service.client("read") as client:
        found = client.embed_images(sorted(tmp_path.iterdir()))
    assert np.allclose(found, np.array([vectors[0]] * 4, np.float32), atol=1e-6)
    assert answer["usage"] == {"prompt_tokens": 0, "total_tokens": 0, "truncated_tokens": 0}
