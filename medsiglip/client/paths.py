"""Paths of requests, whose parts are checked and quoted whole, so that none leads to another route."""

from __future__ import annotations

from urllib.parse import quote

from medsiglip.client.connection import ApiError
from medsiglip.names import why_not


def path_of(topic: str, named: tuple[str, str, str], *further: str) -> str:
    """`/v1/topic/text/further`, where `named` is an argument's name, the kind of its text as in
    `medsiglip.names`, and the text.

    Raises `ApiError` `bad-request` for a text that the service would refuse; nothing is sent.
    """
    argument, kind, text = named
    checked(argument, kind, text)
    return "/".join(["/v1", topic, quote(text, safe=""), *further])


def checked(argument: str, kind: str, text: str | None) -> str | None:
    """The text, if there is one, when it may be what it is for; raises `ApiError` `bad-request`."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"{argument} takes a string, not {type(text).__name__}")
    reason = why_not(kind, text)
    if reason is not None:
        raise ApiError("bad-request", f"The argument {argument} cannot be {text[:80]!r}: {reason}.")
    return text
