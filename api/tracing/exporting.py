"""Sending spans to a collector by OTLP over HTTP, from a thread of its own with a bounded queue.

What cannot be delivered is dropped, and the log says so once for each outage.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

EXPORT_SECONDS = 3.0
"""How long one delivery may take with its repetitions, so that a process that ends is not held up."""
_log = logging.getLogger("medsiglip.tracing")


def provider_of(endpoint: str, ratio: float, role: str) -> TracerProvider:
    """A provider whose spans go to `endpoint` + `/v1/traces`.

    `ratio` of the traces that begin here are kept; those that began elsewhere are kept as it was decided
    there. `role` is what the process does, such as `worker`. Headers and certificates of the collector come
    from OpenTelemetry's own variables, such as `OTEL_EXPORTER_OTLP_HEADERS`.
    """
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a line for each try, with the address
    resource = Resource.create(
        {
            "service.name": f"medsiglip-{role}",
            "service.version": version("medsiglip"),
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    limits = SpanLimits(max_span_attributes=32, max_span_attribute_length=128, max_links=128)
    sampler = ParentBased(TraceIdRatioBased(ratio))
    provider = TracerProvider(sampler, resource, shutdown_on_exit=False, span_limits=limits)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(NotedExporter(exporter, endpoint)))
    return provider


class NotedExporter(SpanExporter):
    """An exporter whose outages are logged: when one begins, and when it is over."""

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._host = urlsplit(endpoint).netloc
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Deliver a batch, or drop it."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                _log.info("traces reach %s again; %d spans were lost", self._host, self._lost)
            self._lost = 0
        else:
            if not self._lost:
                _log.warning("traces cannot be delivered to %s; until they can, they are lost", self._host)
            self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        """End the delivery."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what waits."""
        return self._exporter.force_flush(timeout_millis)
