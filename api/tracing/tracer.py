"""Our spans as those of OpenTelemetry. Attributes are those of a closed table, so that no data of a patient
gets into a trace, and an error is its code, without its message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from medsiglip.tracing import spans

_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+){0,9}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ROUTE = re.compile(r"[A-Za-z0-9_{}:./()-]{1,120}", re.ASCII)
ATTRIBUTES: Mapping[str, re.Pattern[str] | None] = {
    "http.request.method": re.compile(r"GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|_OTHER"),
    "http.route": _ROUTE,
    "http.response.status_code": None,
    "error.type": _NAME,
    "job.kind": _CODE,
    "job.id": _HEX,
    "job.attempt": None,
    "files": None,
    "images": None,
    "units": None,
    "studies": None,
    "changed": None,
    "engine": _CODE,
}
"""What a span may say, and the form of a text; None for numbers."""
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_W3C = TraceContextTextMapPropagator()


class OpenTelemetryTracer:
    """Records spans of `medsiglip.tracing.spans` with a provider of OpenTelemetry's."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("medsiglip")

    @contextmanager
    def span(
        self, name: str, kind: spans.SpanKind, parent: str | None, attributes: dict[str, spans.Value]
    ) -> Iterator[OpenSpan]:
        """An open span; an exception that leaves it makes it an error, by the exception's code."""
        context = None if parent is None else _context_of(parent)
        with self._tracer.start_as_current_span(
            name,
            context,
            _KINDS[kind],
            safe_attributes(attributes),
            record_exception=False,  # its message may quote a file
            set_status_on_exception=False,
        ) as span:
            try:
                yield OpenSpan(span)
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", _type_of(error))
                raise

    def traceparent(self) -> str | None:
        """The open span's, or None."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")


class OpenSpan:
    """What is done with a span while it is open."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, **attributes: spans.Value) -> None:
        """Add attributes; `error` with a code makes the span an error."""
        failed = attributes.pop("error", None)
        if failed is not None:
            self._span.set_status(Status(StatusCode.ERROR))
            attributes["error.type"] = failed
        name = attributes.pop("name", None)
        if isinstance(name, str):
            self._span.update_name(name)
        self._span.set_attributes(safe_attributes(attributes))

    def link(self, traceparent: str) -> None:
        """Name another trace, unless its `traceparent` is not one."""
        other = _span_context_of(traceparent)
        if other is not None:
            self._span.add_link(other)


def safe_attributes(given: Mapping[str, spans.Value]) -> dict[str, spans.Value]:
    """Those of the table that have the form which it asks for; a name has `.` where the caller wrote `_`
    twice.
    """
    named = {name.replace("__", "."): value for name, value in given.items()}
    return {name: value for name, value in named.items() if name in ATTRIBUTES and _fits(name, value)}


def _fits(name: str, value: spans.Value) -> bool:
    form = ATTRIBUTES[name]
    if form is None:
        return not isinstance(value, str)
    return isinstance(value, str) and form.fullmatch(value) is not None


def _context_of(traceparent: str) -> Context:
    """A context with this span alone, or an empty one, in which a new trace begins."""
    return _W3C.extract({"traceparent": traceparent}, Context())


def _span_context_of(traceparent: str) -> SpanContext | None:
    found = get_current_span(_context_of(traceparent)).get_span_context()
    return found if found.is_valid else None


def _type_of(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return code if isinstance(code, str) and _CODE.fullmatch(code) else type(error).__name__
