"""Traces: one span a look at a tenant, below it one for what was done, and below that one for each phase of the engine.

Sent by OTLP over HTTP when OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set, as OpenTelemetry's own variables
say; else nothing is recorded and the SDK is not even imported. Spans name tenants and outcomes, never a value.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import Span, Status, StatusCode

from tenantry.engine.interface import Event, PhaseFinished

__all__ = ["configure", "phases", "span", "trace_id"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NS = 1_000_000_000
_tracer = trace.get_tracer("tenantry.operator")


def configure(cell: str) -> Callable[[], None]:
    """Begin to send, if the environment asks for it. The answer ends it, and sends what is left."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return _nothing
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over what is given here.
    os.environ.setdefault("OTEL_SERVICE_NAME", "tenantry-operator")
    provider = TracerProvider(resource=Resource.create({"tenantry.cell": cell}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[Span]:
    """One span around the block, below the one around it. An error ends it as failed, by its kind alone."""
    with _tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as current:
        for key, value in attributes.items():
            current.set_attribute(f"tenantry.{key}", value)
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def phases(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """The same listener, which also makes a span of each phase that a run tells of. Call it where the run is started:
    events come from other threads."""
    around = context.get_current()

    def listen(event: Event) -> None:
        if isinstance(event, PhaseFinished):
            began = int(event.began * _NS)
            made = _tracer.start_span(f"engine.{event.name}", context=around, start_time=began)
            made.set_attribute("tenantry.stack", event.stack)
            made.end(began + int(event.seconds * _NS))
        on_event(event)

    return listen


def trace_id(current: Span) -> str:
    """For the log line of the same look; "" where nothing is recorded."""
    found = current.get_span_context()
    return trace.format_trace_id(found.trace_id) if found.trace_flags.sampled else ""


def _nothing() -> None:
    """Where nothing is recorded, nothing is left to send."""
