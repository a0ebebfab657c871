"""Traces, received by a real OTLP receiver; and none, where nobody asked."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAM = """
import sys
from tenantry.engine.interface import PhaseFinished
from tenantry_operator import tracing

end = tracing.configure("c1")
with tracing.span("look", tenant="acme") as look:
    print(tracing.trace_id(look))
    with tracing.span("action provision", tenant="acme"):
        heard = []
        listen = tracing.phases(heard.append)
        listen(PhaseFinished(stack="acme", name="plan", began=1000.0, seconds=0.5))
    try:
        with tracing.span("action backup", tenant="acme"):
            raise ValueError("a password of somebody")
    except ValueError:
        pass
end()
print("opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Its address, and what it received."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(text))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


def run(**environment: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_spans_of_a_look_its_actions_and_the_engines_phases_arrive(
    receiver: tuple[str, list[ExportTraceServiceRequest]],
) -> None:
    address, received = receiver
    printed = run(OTEL_EXPORTER_OTLP_ENDPOINT=address)
    (resource,) = [one for request in received for one in request.resource_spans]
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert attributes["service.name"] == "tenantry-operator"
    assert attributes["tenantry.cell"] == "c1"
    spans = {one.name: one for scope in resource.scope_spans for one in scope.spans}
    assert set(spans) == {"look", "action provision", "engine.plan", "action backup"}
    look, provision, plan, backup = (
        spans[name] for name in ("look", "action provision", "engine.plan", "action backup")
    )
    assert look.trace_id.hex() == printed[0]
    assert (provision.parent_span_id, plan.parent_span_id) == (look.span_id, provision.span_id)
    assert plan.end_time_unix_nano - plan.start_time_unix_nano == 500_000_000
    assert (backup.status.code, backup.status.message) == (2, "ValueError")
    assert b"password" not in b"".join(request.SerializeToString() for request in received)


def test_nothing_is_recorded_and_no_sdk_loaded_where_nobody_asked() -> None:
    identifier, loaded, *_ = run()
    assert identifier == ""
    assert loaded == "False"
