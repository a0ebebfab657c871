"""Writes replicas: a Deployment's through its scale subresource, an autoscaler's least and most. Only what differs."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.tenancy.errors import RunFailed
from tenantry.tenancy.scaling import Span

__all__ = ["SeenSpans", "scale", "spans_in", "widen"]

_MERGE = "application/merge-patch+json"
_MANAGER = {"fieldManager": "tenantry-scaling"}


class SeenSpans:
    """Between what autoscalers were last seen to choose, by life of a tenant, and module. since: what changes when
    somebody else has written them; what was seen before that is forgotten. Safe between threads."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Hashable, Mapping[str, Span]]] = {}
        self._lock = threading.Lock()

    def of(self, incarnation: str, since: Hashable) -> Mapping[str, Span]:
        with self._lock:
            found = self._of.get(incarnation)
        return found[1] if found is not None and found[0] == since else {}

    def note(self, incarnation: str, since: Hashable, spans: Mapping[str, Span]) -> None:
        with self._lock:
            self._of[incarnation] = (since, dict(spans))

    def forget(self, incarnation: str) -> None:
        with self._lock:
            self._of.pop(incarnation, None)


def scale(kubernetes: Cluster, namespace: str, module: str, replicas: int) -> bool:
    """False when the Deployment is not there (any more). Raises RunFailed when the API server refuses."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{module}/scale"
    return _patch(kubernetes, path, {"spec": {"replicas": replicas}})


def spans_in(kubernetes: Cluster, namespace: str) -> Mapping[str, Span]:
    """Between what the autoscalers of a namespace choose, by module."""
    listed = kubernetes.request("GET", _autoscalers(namespace), query={"resourceVersion": "0"})
    return {
        str(one["metadata"]["name"]): Span(
            least=int(one["spec"].get("minReplicas", 1)), most=int(one["spec"]["maxReplicas"])
        )
        for one in listed.get("items") or ()
    }


def widen(kubernetes: Cluster, namespace: str, module: str, span: Span) -> bool:
    """Let an autoscaler choose between these; False when it is not there."""
    body = {"spec": {"minReplicas": span.least, "maxReplicas": span.most}}
    return _patch(kubernetes, f"{_autoscalers(namespace)}/{module}", body)


def _autoscalers(namespace: str) -> str:
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"


def _patch(kubernetes: Cluster, path: str, body: Mapping[str, object]) -> bool:
    try:
        kubernetes.request("PATCH", path, query=_MANAGER, body=body, content_type=_MERGE)
    except ApiError as error:
        if error.status == 404:
            return False
        raise RunFailed(
            f"the API server refuses to scale ({error.status} {error.reason})",
            where=path,
            hint="the operator needs the right to patch deployments/scale and horizontalpodautoscalers",
        ) from error
    return True
