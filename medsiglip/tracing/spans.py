"""Spans: what took from when to when, within what. Without a tracer, which is the usual case, they cost a
function call.

A tracer is set by the program (`medsiglip.api.tracing`), not by a library. Attributes hold counts, kinds and
stages; what names a person or a file is nothing for them, and the tracer drops what it does not know.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

Value = str | int | float | bool
SpanKind = Literal["internal", "server", "producer", "consumer"]


class Span(Protocol):
    """A span that is open."""

    def note(self, **attributes: Value) -> None:
        """Add attributes that are known only by now."""

    def link(self, traceparent: str) -> None:
        """Say that the work is also that of another trace, by its `traceparent`."""


class Tracer(Protocol):
    """What records spans. Its methods never raise: work goes on whatever becomes of its traces."""

    def span(
        self, name: str, kind: SpanKind, parent: str | None, attributes: dict[str, Value]
    ) -> AbstractContextManager[Span]:
        """A span within `parent`, a W3C `traceparent`, or within the span that is open here."""

    def traceparent(self) -> str | None:
        """The open span by W3C Trace Context, for another process; None where none is open."""


class _NoSpan:
    def note(self, **attributes: Value) -> None:
        """Record nothing."""

    def link(self, traceparent: str) -> None:
        """Record nothing."""


_NOTHING: AbstractContextManager[Span] = nullcontext(_NoSpan())
_tracers: list[Tracer] = []


def span(
    name: str, *, kind: SpanKind = "internal", parent: str | None = None, **attributes: Value
) -> AbstractContextManager[Span]:
    """A span to be used in a `with` statement, which must not be left by a `yield`.

    `parent` is the `traceparent` of another process [the span that is open in this context].
    """
    return _tracers[-1].span(name, kind, parent, attributes) if _tracers else _NOTHING


def traceparent() -> str | None:
    """The open span by W3C Trace Context, version 00, to be carried to another process; None without one."""
    return _tracers[-1].traceparent() if _tracers else None


def set_tracer(tracer: Tracer) -> None:
    """Record the spans of this process, in all its threads, by `tracer`."""
    _tracers.append(tracer)


def unset_tracer(tracer: Tracer) -> None:
    """Record no more by `tracer`; nothing if it was not set."""
    if tracer in _tracers:
        _tracers.remove(tracer)
