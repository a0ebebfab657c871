"""The Lease, where its renewal gets no answer: held no longer than it can be anybody's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from kubernetes import client

from tenantry.engine.cluster import Cluster
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry_operator import lease as module
from tenantry_operator.lease import Lease


@pytest.fixture
def silent() -> Iterator[tuple[Cluster, threading.Semaphore]]:
    """A server that takes requests and answers none until the test has ended; it counts those."""
    ended, taken = threading.Event(), threading.Semaphore(0)

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            taken.release()
            ended.wait(60)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    yield Cluster(configuration), taken
    ended.set()
    server.shutdown()
    server.server_close()


def test_a_caller_in_a_hurry_does_not_wait_for_a_free_connection(silent: tuple[Cluster, threading.Semaphore]) -> None:
    cluster, taken = silent

    def ask(seconds: float) -> None:
        with pytest.raises(DependencyUnavailable):
            cluster.request("GET", "/x", seconds=seconds)

    others = [threading.Thread(target=ask, args=(20.0,), daemon=True) for _ in range(8)]
    for one in others:
        one.start()
    assert all(taken.acquire(timeout=15) for _ in others)
    ask(0.5)
    assert all(one.is_alive() for one in others)


def test_time_alone_ends_a_lease_whose_renewal_hangs(
    silent: tuple[Cluster, threading.Semaphore], monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = Lease(silent[0], namespace="n", name="l", on_lost=lambda: None)
    assert not lease.held
    monkeypatch.setattr(Lease, "_read", lambda _: None)
    monkeypatch.setattr(Lease, "_request", lambda *_: {"spec": {"leaseTransitions": 1}})
    monkeypatch.setattr(Lease, "_renew", lambda _: None)
    assert lease.acquire(threading.Event(), waiting=lambda _: None)
    assert lease.held
    monkeypatch.setattr(module, "GIVE_UP_S", 0.0)
    assert not lease.held
