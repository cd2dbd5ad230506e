"""The body of a request for a chat completion, without what a server has shown that it does not take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from medsiglip.medgemma.prompting.pictures import PictureFormat, data_uri
from medsiglip.medgemma.prompting.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Taken:
    """What a server takes. `reply_limit` is the field for the reply's tokens, None where it has none;
    without `system` the system text opens the user's turn.
    """

    picture_format: PictureFormat = "png"
    reply_limit: str | None = "max_tokens"
    system: bool = True
    stream: bool = True
    stream_options: bool = True
    temperature: bool = True


Change = Callable[[Taken], Taken]
"""Leaves out one thing that a server refused; returns its argument where that was not sent."""


def without_stream_options(taken: Taken) -> Taken:
    """No `stream_options`: the count of tokens is not requested."""
    return replace(taken, stream_options=False) if taken.stream else taken


def without_streaming(taken: Taken) -> Taken:
    """The reply comes whole."""
    return replace(taken, stream=False)


def without_temperature(taken: Taken) -> Taken:
    """The server's own temperature."""
    return replace(taken, temperature=False)


def without_system(taken: Taken) -> Taken:
    """The system text opens the user's turn."""
    return replace(taken, system=False)


def other_reply_limit(taken: Taken) -> Taken:
    """`max_completion_tokens` for `max_tokens`, and neither for `max_completion_tokens`."""
    following = {"max_tokens": "max_completion_tokens", "max_completion_tokens": None, None: None}
    return replace(taken, reply_limit=following[taken.reply_limit])


def as_jpeg(taken: Taken) -> Taken:
    """Pictures in about a tenth of the bytes."""
    return replace(taken, picture_format="jpeg")


class Remembered:
    """What a server takes, shared by the threads and objects that use it."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken
        self._lock = threading.Lock()

    @property
    def taken(self) -> Taken:
        """What is known now."""
        return self._taken

    def leave_out(self, sent: Taken, change: Change) -> bool:
        """Leave out what was refused of a request made with `sent`; false where `change` leaves out nothing.

        What another thread has changed since stays as that thread left it.
        """
        changed = change(sent)
        with self._lock:
            different = {
                one.name: getattr(changed, one.name)
                for one in fields(Taken)
                if getattr(changed, one.name) != getattr(sent, one.name) == getattr(self._taken, one.name)
            }
            self._taken = replace(self._taken, **different)
        return changed != sent


def sent_of(taken: Taken, prompt: Prompt, more: Mapping[str, Any]) -> Taken:
    """What of `taken` a request of this prompt holds: no system text where the prompt has none, and nothing
    that `more` replaces.
    """
    return replace(
        taken,
        system=taken.system and bool(prompt.system),
        temperature=taken.temperature and "temperature" not in more,
    )


def request_body(model: str, prompt: Prompt, taken: Taken, more: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a request; `more` are fields in addition, which replace those of the same name."""
    parts = prompt.parts
    if prompt.system and not taken.system:
        first, rest = (parts[0], parts[1:]) if isinstance(parts[0], str) else ("", parts)
        parts = (f"{prompt.system}\n\n{first}", *rest)
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_uri(part, taken.picture_format)}}
        for part in parts
    ]
    system = [{"role": "system", "content": prompt.system}] if prompt.system and taken.system else []
    body: dict[str, Any] = {"model": model, "messages": [*system, {"role": "user", "content": content}]}
    if taken.reply_limit is not None:
        body[taken.reply_limit] = prompt.reply_tokens
    if taken.temperature:
        body["temperature"] = prompt.temperature
    if taken.stream:
        body["stream"] = True
        if taken.stream_options:
            body["stream_options"] = {"include_usage": True}
    return {**body, **more}
