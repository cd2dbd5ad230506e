"""Reads the reply of an OpenAI-compatible server: a stream of events, or one JSON object."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.generators.replies import RawReply
from medsiglip.medgemma.generators.server_errors import (
    Answer,
    RetryableError,
    answer_within,
    web_page,
)

_LONGEST_LINE = 1 << 20
_LONGEST_BODY = 4 << 20
_LONGEST_REPLY = 200_000
_LONGEST_NAME = 200
_BOM = b"\xef\xbb\xbf"


class StreamedError(Exception):
    """The server sent an error in the place of a reply."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class ChatStream:
    """Assembles one chat completion from the bytes of an answer.

    Bytes that begin with `{` are one JSON object, whatever their media type says; else they are events
    (https://html.spec.whatwg.org/multipage/server-sent-events.html), whose lines end in LF or CRLF: a reply
    may hold U+2028 and the like as they are. Of several choices the first by index is taken. `answered`
    is whether the server has begun an answer, `may_be_page` whether that may be a web page.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.tokens = 0
        self.done = False
        self.finish_reason: str | None = None
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.answered = False
        self.may_be_page = False
        self._rest = bytearray()
        self._begun = False
        self._is_object = False
        self._event = ""
        self._refused = False
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._size = 0

    @property
    def ended(self) -> bool:
        """Whether the reply is known to have ended."""
        return self.done or self.finish_reason is not None

    def raw(self, finish_reason: str | None = None) -> RawReply:
        """What has come so far; `finish_reason` where the server gave none."""
        return RawReply(
            "".join(self._text),
            self.model,
            "content_filter" if self._refused else self.finish_reason or finish_reason,
            "".join(self._thinking).strip() or None,
            self.prompt_tokens,
            self.completion_tokens,
        )

    def feed(self, data: bytes) -> bool:
        """Read bytes as they come; true if a line among them shows that the server is alive.

        Raises RetryableError for what is not an event of a chat completion, StreamedError, DraftError
        `generator-web-page` and `reply-broken` for a reply without an end.
        """
        self._rest += data
        if not self._begun and not self._begin():
            return False
        if self._is_object:
            if len(self._rest) > _LONGEST_BODY:
                raise self.endless()
            return False
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            self._take(_text(line))
        if len(rest) > _LONGEST_LINE:
            raise httpx.DecodingError("a line without an end")
        return bool(lines)

    def close(self) -> None:
        """Read what is left when the answer has ended. Raises as `feed` does."""
        rest, self._rest = bytes(self._rest), bytearray()
        if not self._is_object:
            with suppress(RetryableError):  # an event that was cut off is none
                self._take(_text(rest))
            return
        whole = self._parsed(_text(rest))
        if isinstance(whole, dict) and not whole.get("choices") and not _error_of(whole):
            raise RetryableError(self.broken("an object without choices"))
        self._completion(whole, "message")
        self.done = True

    def broken(self, what: str) -> DraftError:
        """The error of a reply that is not one of a chat completion."""
        return DraftError(
            "reply-broken",
            f"The server of {self.model} sent what is no chat completion ({what}); check that its URL is "
            "that of an OpenAI-compatible server.",
            may_pass=True,
        )

    def endless(self) -> DraftError:
        """The error of a reply that is longer than any report."""
        return DraftError("reply-broken", f"{self.model} does not end its reply; check its max_tokens.")

    def _begin(self) -> bool:
        beginning = bytes(self._rest).removeprefix(_BOM).lstrip()
        if not beginning or _BOM.startswith(beginning):
            return False
        self._rest = bytearray(beginning)
        self._begun = True
        self._is_object = beginning.startswith(b"{")
        if self.may_be_page and beginning.startswith(b"<"):
            raise web_page(self.model)
        return True

    def _take(self, line: str) -> None:
        if not line:
            self._event = ""
        elif line.startswith("event:"):
            self._event = line[6:].strip()
        elif line.startswith("data:"):
            data = line[5:].strip()
            if data == "[DONE]":
                self.done = True
            else:
                self._completion(self._parsed(data), "delta")

    def _parsed(self, data: str) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise RetryableError(self.broken("not JSON")) from None

    def _completion(self, event: Any, message: str) -> None:
        error = _error_of(event)
        if error or self._event == "error":
            raise StreamedError(answer_within(error or event))
        try:
            self._about(event)
            choices = event["choices"] if "usage" not in event else event.get("choices")
            choice = _first(choices or ())
            if choice is None:
                return
            part = choice.get(message) or choice.get("message") or choice.get("delta") or {}
            text, within = _content(part.get("content"))
            thought = _plain(part.get("reasoning_content") or part.get("reasoning")) + within
            reason = choice.get("finish_reason")
        except (AttributeError, LookupError, TypeError) as error:
            what = f"an event without {error}" if isinstance(error, KeyError) else "a malformed event"
            raise RetryableError(self.broken(what)) from None
        self._refused |= bool(part.get("refusal"))
        if reason:
            self.finish_reason = str(reason)
        self._text.append(text)
        self._thinking.append(thought)
        self._size += len(text) + len(thought)
        if self._size > _LONGEST_REPLY:
            raise self.endless()
        self.tokens += bool(text or thought)

    def _about(self, event: Mapping[str, Any]) -> None:
        name = event.get("model")
        if isinstance(name, str) and name:
            self.model = "".join(c for c in name if unicodedata.category(c)[0] != "C")[:_LONGEST_NAME]
        usage = event.get("usage")
        if isinstance(usage, Mapping):
            self.prompt_tokens = _count(usage.get("prompt_tokens"), self.prompt_tokens)
            self.completion_tokens = _count(usage.get("completion_tokens"), self.completion_tokens)


def _text(line: bytes | bytearray) -> str:
    """UTF-8; a line of a server that writes another charset as Windows-1252, the commonest other one."""
    try:
        return line.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError:
        text = line.decode("utf-8", "replace")
        if text.replace("\ufffd", "").isascii():
            text = line.decode("cp1252", "replace")
        return text.removesuffix("\r")


def _error_of(event: Any) -> Any:
    if not isinstance(event, Mapping):
        return None
    return event if event.get("object") == "error" else event.get("error")


def _first(choices: Iterable[Any]) -> Any:
    """The choice of index 0; a choice without an index is it. Several are sent for `n` above 1."""
    return next((choice for choice in choices if not choice.get("index")), None)


def _content(value: Any) -> tuple[str, str]:
    """The text and the thought of a message's content: a text, or parts of which some may be thoughts."""
    if not isinstance(value, list):
        return _plain(value), ""
    text: list[str] = []
    thought: list[str] = []
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else None
        (thought if kind in ("thinking", "reasoning") else text).append(_plain(part))
    return "".join(text), "".join(thought)


def _plain(value: Any, depth: int = 0) -> str:
    """The text in a text, a part with a text, or a list of these; "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and depth < 5:
        named = (value.get(name) for name in ("text", "content", "thinking", "reasoning", "summary", "value"))
        return next((text for one in named if (text := _plain(one, depth + 1))), "")
    if isinstance(value, list) and depth < 5:
        return "".join(_plain(one, depth + 1) for one in value)
    return ""


def _count(value: Any, known: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else known
