"""The fence: one operator at a time acts in a cell, by a Lease of the API server.

The number of the Lease's transitions is the epoch: a writer of a smaller epoch is proven to have stopped. Whoever
cannot renew its Lease stops acting before it runs out; times are measured by our own clock only, never compared with
the clock that the other holder wrote.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["Lease"]

_log = logging.getLogger(__name__)
DURATION_S = 15
RENEW_S = 4.0
GIVE_UP_S = 9.0
"""Without a renewal for so long, the Lease counts as lost: the rest of its duration is left for stopping."""
_REQUEST_S = 3.0


class Lease:
    """cluster: nobody else's, so that no other call keeps a renewal waiting. on_lost: called once, from the renewing
    thread, when the Lease is lost while it was held."""

    def __init__(self, cluster: Cluster, *, namespace: str, name: str, on_lost: Callable[[], None]) -> None:
        self._cluster = cluster
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._namespace = namespace
        self._on_lost = on_lost
        self._identity = _identity(os.getpid())
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._held: dict[str, Any] | None = None
        self._renewed = 0.0

    @property
    def held(self) -> bool:
        """False also when the renewing itself hangs: time alone decides."""
        return self._held is not None and time.monotonic() - self._renewed < GIVE_UP_S

    @property
    def epoch(self) -> int:
        """0 while it is not held."""
        return 0 if self._held is None else int(self._held["spec"]["leaseTransitions"])

    def acquire(self, stop: threading.Event, *, waiting: Callable[[str], None]) -> bool:
        """Wait for the Lease; False when `stop` was set first. waiting: told who holds it, when that changes."""
        seen: tuple[str, float] = ("", 0.0)
        told = ""
        while not stop.is_set():
            try:
                found = self._read()
                holder = str((found or {}).get("spec", {}).get("holderIdentity") or "")
                mark = "" if found is None else str(found["metadata"]["resourceVersion"])
                if mark != seen[0]:
                    seen = (mark, time.monotonic())
                free = not holder or _dead(holder) or time.monotonic() - seen[1] > DURATION_S
                if free and self._take(found):
                    self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
                    self._thread.start()
                    return True
                problem = f"another operator is at work: {holder}" if holder else ""
            except (ApiError, DependencyUnavailable) as error:
                problem = str(error)
            if problem and problem != told:
                _log.info("waiting for the Lease: %s", problem)
                waiting(problem)
                told = problem
            stop.wait(1.0)
        return False

    def release(self) -> None:
        """Give it back, so that the next operator need not wait for its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_REQUEST_S * 2)
        held, self._held = self._held, None
        if held is not None:
            held["spec"]["holderIdentity"] = ""
            try:
                self._request("PUT", f"{self._folder}/{self._name}", held)
            except (ApiError, DependencyUnavailable):
                return  # it runs out by itself

    def _take(self, found: dict[str, Any] | None) -> bool:
        now, asked = _now(), time.monotonic()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_S,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int((found or {}).get("spec", {}).get("leaseTransitions") or 0) + 1,
        }
        try:
            if found is None:
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self._name, "namespace": self._namespace},
                    "spec": spec,
                }
                self._held = self._request("POST", self._folder, body)
            else:
                self._held = self._request("PUT", f"{self._folder}/{self._name}", {**found, "spec": spec})
        except ApiError as error:
            if error.status == 409:  # somebody else was quicker
                return False
            raise
        self._renewed = asked
        return True

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_S if time.monotonic() - self._renewed < RENEW_S else 0.5):
            held, asked = self._held, time.monotonic()
            if held is None:
                return
            try:
                spec = {**held["spec"], "renewTime": _now()}
                self._held = self._request("PUT", f"{self._folder}/{self._name}", {**held, "spec": spec})
                self._renewed = asked
            except ApiError as error:
                if error.status in (404, 409):
                    self._lose()
                    return
            except DependencyUnavailable:
                pass  # asked again until GIVE_UP_S
            if time.monotonic() - self._renewed > GIVE_UP_S:
                self._lose()
                return

    def _lose(self) -> None:
        self._held = None
        self._on_lost()

    def _read(self) -> dict[str, Any] | None:
        try:
            return self._request("GET", f"{self._folder}/{self._name}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _request(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self._cluster.request(method, path, body=body, seconds=_REQUEST_S)


def _identity(pid: int) -> str:
    """Host, process and when it began: a process that has ended can be told from one that only is silent."""
    return f"{socket.gethostname()}_{pid}_{int(psutil.Process(pid).create_time())}"


def _dead(holder: str) -> bool:
    """Whether the holder was a process of this very host that has ended."""
    host, _, rest = holder.rpartition("_")[0].rpartition("_")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        return _identity(int(rest)) != holder
    except psutil.NoSuchProcess:
        return True


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
