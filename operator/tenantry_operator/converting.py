"""The conversion webhook: the API server hands it objects of one version over HTTPS and gets them in another.

It is asked on every read and write of an object that is stored in another version than the one asked for, so it keeps
no state, needs no Lease, and every operator of the cell serves it, the one that waits too.
"""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tenantry.tenancy.conversion import Conversions
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput

__all__ = ["Converting"]

PATH = "/convert"
_IDLE_S = 30
_MOST_BYTES = 16 * 2**20
"""The API server asks for whole lists at once."""


class Converting:
    """certificate, key: PEM files of a server that the definition's `caBundle` trusts; renewed files are read anew."""

    def __init__(self, conversions: Conversions, *, host: str, port: int, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                f"the webhook's certificate cannot be used: {error}",
                source=str(certificate),
                hint="name a PEM certificate and its key, as cert-manager writes them",
            ) from None
        self._files = (certificate, key)
        self._context = context
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(conversions))
        except OSError as error:
            raise DependencyUnavailable(f"port {port} cannot be listened on: {error.strerror}", where=host) from error
        self._server.daemon_threads = True
        # The handshake is each connection's own thread's: one that never ends holds up no other.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="converting", daemon=True),
            threading.Thread(target=self._renew, name="converting-certificate", daemon=True),
        ]

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def _renew(self) -> None:
        seen = [path.stat().st_mtime_ns for path in self._files]
        while not self._stop.wait(60.0):
            try:
                now = [path.stat().st_mtime_ns for path in self._files]
                if now != seen:
                    self._context.load_cert_chain(*self._files)
                    seen = now
            except (OSError, ssl.SSLError):
                continue  # half written: looked at again


def _handler(conversions: Conversions) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE_S
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path.partition("?")[0] != PATH or not 0 < length <= _MOST_BYTES:
                self._answer(404, b"{}")
                return
            try:
                review = json.loads(self.rfile.read(length))
            except ValueError:
                self._answer(400, b"{}")
                return
            self._answer(200, json.dumps(conversions.review(review)).encode())

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Objects are read and written all the time."""

    return Handler
