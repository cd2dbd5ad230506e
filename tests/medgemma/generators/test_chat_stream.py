"""Answers of servers that are no chat completions, or odd ones: only errors of ours come of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.chat_stream import ChatStream, StreamedError
from medsiglip.medgemma.generators.replies import read_reply
from medsiglip.medgemma.generators.server_errors import (
    NotTakenError,
    RetryableError,
    answer_of,
    response_error,
    retry_after,
    spelled,
)
from medsiglip.medgemma.prompting.prompts import Prompt

PROMPT = Prompt("x", "You are an expert.", ("Describe the picture, please.",), 50, 600)
ODD: list[Any] = [None, True, -1, 1e308, "", "x", "\udc00", [], [None], {}, {"text": []}, [[[]]], [{"a": 1}]]
EVENT: dict[str, Any] = {
    "id": "c",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "One two three.", "reasoning_content": "Hm"},
            "message": {"content": [{"type": "text", "text": "One"}], "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    "error": None,
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all that is within a value."""
    within = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in within:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    """The event with something odd at one place."""
    event = copy.deepcopy(EVENT)
    holder: Any = event
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return event


def read(data: bytes, pieces: int = 1) -> None:
    """Read an answer in pieces; only what callers expect is raised."""
    stream = ChatStream("m")
    stream.may_be_page = True
    size = max(1, len(data) // pieces)
    try:
        for start in range(0, len(data), size):
            stream.feed(data[start : start + size])
        stream.close()
        reply = read_reply(stream.raw(), PROMPT)
    except StreamedError as error:
        told = response_error("m", error.answer, PROMPT)
        assert isinstance(told, DraftError | RetryableError | NotTakenError)
    except (DraftError, RetryableError, httpx.DecodingError):
        pass
    else:
        json.dumps([reply.text, reply.thinking, reply.model]).encode()
        reply.text.encode()


@pytest.mark.parametrize("path", list(places(EVENT)), ids=lambda path: ".".join(map(str, path)))
def test_an_odd_value_anywhere_is_read_or_refused(path: tuple[Any, ...]) -> None:
    for odd in ODD:
        written = json.dumps(changed(path, odd)).encode()
        read(written)
        read(b"data: " + written + b"\n\ndata: [DONE]\n\n", pieces=3)


def test_bytes_that_are_damaged_are_read_or_refused() -> None:
    chance = random.Random(5)
    events = b"".join(b"data: " + json.dumps(EVENT).encode() + b"\n\n" for _ in range(3))
    for whole in (events, json.dumps(EVENT).encode()):
        for _ in range(400):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            read(bytes(data[: chance.randint(1, len(data))]), chance.randint(1, 9))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xef\xbb\xbf",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"data: " + b"[" * 100_000 + b"\n",
        b"data: null\n\n",
        b"data: 1" + b"0" * 5000 + b"\n\n",
        b"<html>",
        b"\n\n\n",
        b"event: error\ndata: 5\n\n",
        b"\x00\xff\xfe",
    ],
)
def test_answers_of_nothing_and_of_depth_are_refused(data: bytes) -> None:
    read(data)


@pytest.mark.parametrize(
    "piece",
    [
        b"data: " + json.dumps({"choices": [{"delta": {"content": "word " * 2000}}]}).encode() + b"\n\n",
        b'{"choices": "' + b"x" * 100_000,
    ],
)
def test_a_reply_without_an_end_is_left(piece: bytes) -> None:
    with pytest.raises(DraftError, match="does not end"):
        _endlessly(piece)


def _endlessly(piece: bytes) -> None:
    stream = ChatStream("m")
    for _ in range(100):
        stream.feed(piece)


def test_what_came_before_a_cut_within_an_event_is_kept() -> None:
    stream = ChatStream("m")
    event = b'data: {"choices":[{"delta":{"content":"One two "}}]}\n\n'
    stream.feed(event + event[:40])
    stream.close()
    assert (stream.raw("connection").text, stream.ended) == ("One two ", False)


def test_parts_of_a_content_are_told_apart() -> None:
    stream = ChatStream("m")
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "One "},
        "two ",
        {"type": "output_text", "text": {"value": "three"}},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    stream.feed(json.dumps({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}).encode())
    stream.close()
    assert (stream.raw().text, stream.raw().thinking) == ("One two three", "Hm.")


def test_a_text_in_another_charset_is_read() -> None:
    for written, text in (
        ("Café ≤ 5".encode(), "Café ≤ 5"),
        (b"Caf\xe9", "Café"),
        (b"\xe2\x89\xa4 \xff", "≤ \ufffd"),
    ):
        stream = ChatStream("m")
        stream.feed(b'data: {"choices":[{"delta":{"content":"' + written + b'"}}]}\n\n')
        assert stream.raw().text == text


# Errors


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("5", 5.0),
        ("0.5", 0.5),
        ("86400", 86400.0),
        ("9" * 12, 999999999999.0),
        ("9" * 40, None),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("soon", None),
        ("", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 2001 00:00:00", 0.0),
    ],
)
def test_how_long_to_wait_is_read_or_ignored(header: str, seconds: float | None) -> None:
    assert retry_after(httpx.Response(429, headers={"Retry-After": header})) == seconds


def test_durations_are_spelled_in_their_largest_unit() -> None:
    told = [spelled(seconds) for seconds in (0.2, 1, 60, 61, 7200, 86_400, 90_000)]
    assert told == ["1 second", "1 second", "1 minute", "2 minutes", "2 hours", "1 day", "2 days"]


# Messages as vLLM, llama.cpp, Ollama, LM Studio, TGI and OpenAI word them.
@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "max_tokens must be at least 1, got -310", "prompt-too-long"),
        (400, "max_tokens is too large. At most 4096 completion tokens", "prompt-too-long"),
        (500, "input is too long for this model", "prompt-too-long"),
        (400, "x is not a multimodal model", "generator-without-vision"),
        (400, "At most 0 image(s) may be provided in one request.", "generator-without-vision"),
        (400, "unsupported content part type: image_url", "generator-without-vision"),
        (400, "too many images in the request", "too-many-pictures"),
        (413, "", "request-too-large"),
        (400, "request body too large", "request-too-large"),
        (500, "model requires more system memory (9 GiB) than is available", "generator-out-of-memory"),
        (400, "no chat template is defined for this tokenizer", "generator-template"),
        (400, "The plain HTTP request was sent to HTTPS port", "generator-tls"),
        (404, "model not found, try pulling it first", "generator-model-unknown"),
        (404, "", "generator-model-unknown"),
        (402, "", "generator-quota"),
        (429, "Rate limit reached for model: context window of tokens per minute", "generator-busy"),
        (403, "billing", "generator-unauthorised"),
        (308, "", "generator-redirect"),
        (400, "", "generator-rejected"),
        (501, "", "generator-rejected"),
        (504, "", "generator-failed"),
    ],
)
def test_refusals_are_known_by_their_words_and_status(status: int, message: str, code: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    error = response_error("m", answer_of(httpx.Response(status), body), PROMPT)
    inner = error.error if isinstance(error, RetryableError | NotTakenError) else error
    assert isinstance(inner, DraftError)
    assert inner.code == code
    assert isinstance(error, RetryableError) == inner.may_pass
    assert str(inner).endswith(".")


def test_validation_errors_of_web_frameworks_are_read() -> None:
    detail = [
        {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs", "input": {}}
    ]
    answer = answer_of(httpx.Response(422), json.dumps({"detail": detail}).encode())
    assert isinstance(response_error("m", answer, PROMPT), NotTakenError)


def test_a_redirect_names_the_host_and_nothing_that_may_be_secret() -> None:
    headers = {"Location": "https://login.example:8443/in?token=hidden"}
    error = response_error("m", answer_of(httpx.Response(302, headers=headers), b""), PROMPT)
    assert "https://login.example:8443" in str(error)
    assert "hidden" not in str(error)
