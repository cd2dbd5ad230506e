"""The traces of one process: recorded while a context is open, if the settings name a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError
from medsiglip.index.service.job_submission import carry_traces
from medsiglip.tracing import spans

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings


@contextmanager
def traced(settings: Settings, role: str) -> Iterator[None]:
    """Record the spans of this process, a `role` such as `worker`, and send them to `otlp_endpoint`; without
    one do nothing. Jobs that it submits carry the trace that they belong to.

    At the end what waits is delivered, or given up after some seconds. Raises ServiceError `no-tracing` where
    OpenTelemetry is not installed.
    """
    if settings.otlp_endpoint is None:
        yield
        return
    try:
        from medsiglip.api.tracing.exporting import provider_of
        from medsiglip.api.tracing.tracer import OpenTelemetryTracer
    except ImportError:
        raise ServiceError(
            "no-tracing", "otlp_endpoint needs OpenTelemetry: pip install 'medsiglip[tracing]', or unset it."
        ) from None
    provider = provider_of(settings.otlp_endpoint, settings.trace_ratio, role)
    tracer = OpenTelemetryTracer(provider)
    spans.set_tracer(tracer)
    carry_traces(spans.traceparent)
    try:
        yield
    finally:
        carry_traces(None)
        spans.unset_tracer(tracer)
        provider.shutdown()
