"""Traces by OpenTelemetry: `tracing` records the spans of a process and sends them to a collector."""
