"""A server of chat completions with scripted replies, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

RequestBody = dict[str, Any]
Turn = Callable[[RequestBody], Response]


class Script:
    """The replies, one after the other, the last repeated; and the requests that came."""

    def __init__(self) -> None:
        self.turns: list[Turn] = [reply_of("The lungs are clear.")]
        self.requests: list[RequestBody] = []
        self.headers: list[dict[str, str]] = []
        self.models: list[Any] = []
        self.url = ""
        self.left = threading.Event()

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        return self.turns[min(len(self.requests), len(self.turns)) - 1](body)

    async def listed(self, _request: Request) -> Response:
        return JSONResponse({"data": self.models})

    def reset(self) -> None:
        self.requests.clear()
        self.headers.clear()
        self.models.clear()
        self.left.clear()

    def slow(self, pieces: int, seconds: float) -> Turn:
        """A reply that comes piece by piece; `left` is set when its reader goes before the end."""

        async def events() -> AsyncIterator[str]:
            try:
                for _ in range(pieces):
                    yield event({"content": "word "})
                    await asyncio.sleep(seconds)
                yield event({}, "stop")
                yield "data: [DONE]\n\n"
            except BaseException:
                self.left.set()
                raise

        return lambda _body: StreamingResponse(events(), media_type="text/event-stream")


def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"model": "scripted", "choices": [choice], **more}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def raw(*lines: str) -> Turn:
    """These bytes as an event stream, each a chunk."""

    async def chunks() -> AsyncIterator[str]:
        for line in lines:
            yield line

    return lambda _body: StreamingResponse(chunks(), media_type="text/event-stream")


def reply_of(text: str, finish_reason: str = "stop", thinking: str | None = None) -> Turn:
    """A complete, well-formed reply in two pieces, with its count of tokens."""
    opening = [event({"role": "assistant", "content": ""})]
    if thinking is not None:
        opening.append(event({"reasoning_content": thinking}))
    half = len(text) // 2
    usage = {"prompt_tokens": 300, "completion_tokens": 7}
    counted = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    pieces = [event({"content": text[:half]}), event({"content": text[half:]}), event({}, finish_reason)]
    return raw(*opening, *pieces, counted, "data: [DONE]\n\n")


def error_of(status: int, message: str = "", **headers: str) -> Turn:
    body = {"error": {"message": message}}
    return lambda _body: JSONResponse(body, status, {k.replace("_", "-"): v for k, v in headers.items()})


def pictures(body: RequestBody) -> list[str]:
    """The data URIs of a request, in order."""
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    parts = [part for content in contents for part in content]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


@contextmanager
def serving(script: Script) -> Iterator[Script]:
    """The script on a free port of loopback, in a thread."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", script.chat, methods=["POST"]),
            Route("/v1/models", script.listed),
        ]
    )
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        script.url = f"http://127.0.0.1:{port}/v1"
        yield script
    finally:
        server.should_exit = True
        thread.join(10)
