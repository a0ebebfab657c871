"""What the operator answers over HTTP: /healthz, /readyz and /metrics. Nothing that is answered is secret."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Serving"]

_IDLE_S = 10


class Serving:
    """healthy, ready: asked at each request; a sentence says what is wrong, "" that all is well."""

    def __init__(
        self, *, host: str, port: int, registry: CollectorRegistry, healthy: Callable[[], str], ready: Callable[[], str]
    ) -> None:
        handler = _handler({"/healthz": healthy, "/readyz": ready}, registry)
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise DependencyUnavailable(
                f"port {port} cannot be listened on: {error.strerror}",
                where=host,
                hint="another operator may run here; name another one with --port",
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="serving", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(checks: dict[str, Callable[[], str]], registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path in checks:
                problem = checks[self.path]()
                self._answer(503 if problem else 200, (problem or "ok").encode() + b"\n", "text/plain; charset=utf-8")
            else:
                self._answer(404, b"there is /healthz, /readyz and /metrics\n", "text/plain; charset=utf-8")

        def _answer(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Requests of probes are not worth a line."""

    return Handler
