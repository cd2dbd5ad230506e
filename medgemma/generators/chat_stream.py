"""The answers of an OpenAI-compatible server: events of a streamed reply, and errors by status code."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from medsiglip.medgemma.errors import DraftError
from medsiglip.medgemma.prompting.prompts import Prompt

_TOO_LONG = re.compile(
    rb"context[ _-]?(?:length|window)|max_model_len|maximum context|too (?:long|many tokens)"
    rb"|at most \d+ image",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(rb"model[^.]{0,80}(?:not found|does not exist|unknown)|pinned to", re.IGNORECASE)
_LONGEST_REPLY = 200_000


class RetryableError(Exception):
    """A failure that may not recur; `after` is the number of seconds to wait that the server requests."""

    def __init__(self, error: DraftError, after: float | None = None) -> None:
        super().__init__(error.code)
        self.error = error
        self.after = after


class ChatStream:
    """Assembles the events of one streamed chat completion."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.tokens = 0
        self.ended = False
        self.finish_reason = "stop"
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._size = 0

    @property
    def text(self) -> str:
        """The text received so far."""
        return "".join(self._text)

    @property
    def thinking(self) -> str | None:
        """The thought that the server separated from the text, if any."""
        return "".join(self._thinking).strip() or None

    def take(self, line: str) -> bool:
        """Read one line of an event stream; true if it brought a part of the reply.

        Raises RetryableError for what is not an event of a chat completion, and for an error within the
        stream.
        """
        if not line.startswith("data:"):
            return False
        data = line[5:].strip()
        if data == "[DONE]":
            self.ended = True
            return False
        return self._event(_parsed(self, data), "delta")

    def whole(self, body: bytes) -> None:
        """Read the reply of a server that does not stream."""
        self._event(_parsed(self, body), "message")
        self.ended = True

    def cut_off(self) -> DraftError:
        """The error of a reply that ended before its end."""
        return DraftError(
            "reply-cut-off",
            f"The reply of {self.model} broke off in the middle; try again, and look at the server's log.",
            may_pass=True,
        )

    def broken(self, what: str) -> DraftError:
        """The error of a reply that is not one of a chat completion."""
        return DraftError(
            "reply-broken",
            f"The server of {self.model} sent what is no chat completion ({what}); check that its URL is "
            "that of an OpenAI-compatible server.",
            may_pass=True,
        )

    def _event(self, event: Any, message: str) -> bool:
        try:
            if event.get("error"):
                raise RetryableError(_failed(self.model, "an error within its reply"))
            self.model = event.get("model") or self.model
            usage = event.get("usage") or {}
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
            choices = event["choices"]
            if not choices:
                return False
            part = choices[0].get(message) or {}
            reason = choices[0].get("finish_reason")
            text = part.get("content") or ""
            thought = part.get("reasoning_content") or part.get("reasoning") or ""
            self._text.append(text)
            self._thinking.append(thought)
            self._size += len(text) + len(thought)
        except (AttributeError, LookupError, TypeError) as error:
            raise RetryableError(
                self.broken(
                    f"an event without {error}" if isinstance(error, KeyError) else "a malformed event"
                )
            ) from None
        if part.get("refusal"):
            reason = "content_filter"
        if reason:
            self.finish_reason, self.ended = str(reason), True
        if self._size > _LONGEST_REPLY:
            raise DraftError("reply-broken", f"{self.model} does not end its reply; check its max_tokens.")
        brought = bool(text or thought)
        self.tokens += brought
        return brought


def _parsed(stream: ChatStream, data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise RetryableError(stream.broken("not JSON")) from None


def retry_after(response: httpx.Response) -> float | None:
    """Seconds of the header Retry-After, as a number or a date (RFC 9110, 10.2.3); None without it."""
    value = response.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def response_error(model: str, status: int, body: bytes, after: float | None, prompt: Prompt) -> Exception:
    """The error of an answer other than 200: a RetryableError if it may pass, else a DraftError.

    The server's own message is examined but not repeated, because it may repeat the prompt.
    """
    if status == 429:
        error = DraftError(
            "generator-busy", f"The server of {model} is too busy (429); try again later.", may_pass=True
        )
        return RetryableError(error, after)
    if status in (408, 425) or status >= 500:
        return RetryableError(_failed(model, f"status {status}"), after)
    if status in (401, 403):
        return DraftError(
            "generator-unauthorised",
            f"The server of {model} refuses the API key ({status}); set the key that it was started with.",
        )
    if status == 413 or _TOO_LONG.search(body):
        pictures = sum(not isinstance(part, str) for part in prompt.parts)
        return DraftError(
            "prompt-too-long",
            f"The server of {model} refuses a prompt of {pictures} pictures, about {prompt.prompt_tokens} "
            f"tokens, and {prompt.reply_tokens} for the reply ({status}); serve it with more context and "
            "pictures, or set the smaller budget here.",
        )
    if status == 404 or _NO_MODEL.search(body):
        return DraftError(
            "generator-model-unknown",
            f"The server does not serve the model {model} ({status}); name one that it does, and check its "
            "URL.",
        )
    return DraftError(
        "generator-rejected",
        f"The server of {model} rejects the request ({status}); check its log, and that it takes several "
        "pictures.",
    )


def _failed(model: str, what: str) -> DraftError:
    return DraftError(
        "generator-failed",
        f"The server of {model} failed ({what}); look at its log and try again.",
        may_pass=True,
    )
