"""The Tenant objects of the cell: as last seen, and the writes that we make to them.

Every write names the version that it was decided from; one that is out of date is refused by the API server (Conflict)
and decided anew.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.fleet.tenant_objects import path_of
from tenantry.tenancy.naming import incarnation_of
from tenantry.tenancy.schema import GROUP, VERSION

__all__ = ["FINALIZER", "Stale", "Tenants"]

FINALIZER = f"{GROUP}/deprovision"
_MERGE = "application/merge-patch+json"
_EVENT_LENGTH = 1000

Body = Mapping[str, Any]


class Stale(Exception):
    """The object is no longer as it was when the write was decided, or no longer there: look again."""


class Tenants:
    """Filled by the watch (handlers.py), read by the workers; safe between threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._bodies: dict[str, Body] = {}
        self._lock = threading.Lock()
        self.writes = 0
        """Writes to the API server so far, for the metrics."""

    def put(self, body: Body) -> None:
        """Keep a body unless a later one is known: our own writes overtake the watch."""
        name = str(body["metadata"]["name"])
        with self._lock:
            known = self._bodies.get(name)
            if known is None or _version(known) <= _version(body) or _uid(known) != _uid(body):
                self._bodies[name] = body

    def drop(self, body: Body) -> None:
        with self._lock:
            known = self._bodies.get(str(body["metadata"]["name"]))
            if known is not None and _uid(known) == _uid(body):
                del self._bodies[str(body["metadata"]["name"])]

    def get(self, name: str) -> Body | None:
        with self._lock:
            return self._bodies.get(name)

    def all(self) -> list[Body]:
        with self._lock:
            return list(self._bodies.values())

    def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body:
        return self._patch(body, path_of(body["metadata"]["name"]), {"metadata": {"finalizers": list(finalizers)}})

    def set_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Write the fields of the status that differ; nothing where none does."""
        earlier = body.get("status") or {}
        changed = {key: value for key, value in status.items() if earlier.get(key) != value}
        if not changed:
            return body
        return self._patch(body, path_of(body["metadata"]["name"]) + "/status", {"status": changed})

    def delete(self, body: Body) -> None:
        """Delete this very object, and no later one of its name."""
        metadata = body["metadata"]
        conditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
        self._write("DELETE", path_of(metadata["name"]), options)

    def tell(self, body: Body, *, reason: str, message: str, warning: bool) -> None:
        """A Kubernetes event of the object. Cluster-scoped objects have theirs in the namespace `default`."""
        metadata, now = body["metadata"], datetime.now(UTC)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{incarnation_of(metadata['uid'] + now.isoformat())}",
                "namespace": "default",
            },
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "Tenant",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message[:_EVENT_LENGTH],
            "source": {"component": "tenantry-operator"},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        self._write("POST", "/api/v1/namespaces/default/events", event)

    def _patch(self, body: Body, path: str, patch: dict[str, Any]) -> Body:
        metadata = patch.setdefault("metadata", {})
        metadata |= {"uid": body["metadata"]["uid"], "resourceVersion": body["metadata"]["resourceVersion"]}
        try:
            answer = self._write("PATCH", path, patch)
        except Stale as stale:
            if isinstance(stale.__cause__, ApiError) and stale.__cause__.status == 404:
                self.drop(body)
            raise
        if answer["metadata"].get("deletionTimestamp") and not answer["metadata"].get("finalizers"):
            self.drop(answer)  # this write let it go, and the watch may have told so already
        else:
            self.put(answer)
        return answer

    def _write(self, method: str, path: str, content: Any) -> dict[str, Any]:
        self.writes += 1
        try:
            return self._cluster.request(
                method, path, body=content, content_type=_MERGE if method == "PATCH" else "application/json"
            )
        except ApiError as error:
            if error.status in (404, 409):
                raise Stale from error
            raise


def _version(body: Body) -> int:
    """Versions of one object grow (API servers of 1.35 and later say so)."""
    text = str(body["metadata"].get("resourceVersion") or "0")
    return int(text) if text.isdigit() else 0


def _uid(body: Body) -> str:
    return str(body["metadata"].get("uid") or "")
