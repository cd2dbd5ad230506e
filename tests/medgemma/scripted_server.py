"""A server of chat completions that says what a test wrote down, over real HTTP."""

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

Asked = dict[str, Any]
Turn = Callable[[Asked], Response]


class Script:
    """What is answered: one turn after the other, the last for ever; and what was asked meanwhile."""

    def __init__(self) -> None:
        self.turns: list[Turn] = [said("The lungs are clear.")]
        self.asked: list[Asked] = []
        self.headers: list[dict[str, str]] = []
        self.models: list[Any] = []
        self.url = ""
        self.left = threading.Event()

    async def chat(self, request: Request) -> Response:
        asked = await request.json()
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        return self.turns[min(len(self.asked), len(self.turns)) - 1](asked)

    async def listed(self, _request: Request) -> Response:
        return JSONResponse({"data": self.models})

    def forget(self) -> None:
        self.asked.clear()
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

        return lambda _asked: StreamingResponse(events(), media_type="text/event-stream")


def event(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    told = {"model": "scripted", "choices": [choice], **more}
    return f"data: {json.dumps(told, ensure_ascii=False)}\n\n"


def raw(*lines: str) -> Turn:
    """These bytes as an event stream, each a chunk."""

    async def chunks() -> AsyncIterator[str]:
        for line in lines:
            yield line

    return lambda _asked: StreamingResponse(chunks(), media_type="text/event-stream")


def said(text: str, finish_reason: str = "stop", thinking: str | None = None) -> Turn:
    """A whole and well-formed reply of two pieces, with its count of tokens."""
    opening = [event({"role": "assistant", "content": ""})]
    if thinking is not None:
        opening.append(event({"reasoning_content": thinking}))
    half = len(text) // 2
    usage = {"prompt_tokens": 300, "completion_tokens": 7}
    counted = f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n"
    pieces = [event({"content": text[:half]}), event({"content": text[half:]}), event({}, finish_reason)]
    return raw(*opening, *pieces, counted, "data: [DONE]\n\n")


def refused(status: int, message: str = "", **headers: str) -> Turn:
    body = {"error": {"message": message}}
    return lambda _asked: JSONResponse(body, status, {k.replace("_", "-"): v for k, v in headers.items()})


def pictures(asked: Asked) -> list[str]:
    """The data URIs of a request, in order."""
    contents = [message["content"] for message in asked["messages"] if isinstance(message["content"], list)]
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
