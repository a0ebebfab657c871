"""A tenant's workload at zero, for its grace period (with its ingress closed) or for a restore; data is left alone.

Own database and cache servers (StatefulSets) go on: they hold data, and backups read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tenantry.engine.cluster import ApiError, Cluster, Kind, as_ours, connect
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = [
    "close_workload",
    "reopen_workload",
    "replicas_of",
    "schedules_of",
    "still_open",
    "still_running",
    "stop_workload",
]

_MERGE = "application/merge-patch+json"
_MANAGER = {"fieldManager": "tenantry-deprovisioning"}


def replicas_of(namespace: str) -> dict[str, int]:
    """Replicas wanted, by Deployment; empty where there is no such namespace."""
    cluster = connect({})
    return {
        str(one["metadata"]["name"]): int(one["spec"].get("replicas", 1))
        for _, one in _all(cluster, namespace, ("apps/v1", "Deployment"))
    }


def schedules_of(namespace: str) -> tuple[str, ...]:
    """Names of the CronJobs that are not suspended."""
    return tuple(
        str(one["metadata"]["name"])
        for _, one in _all(connect({}), namespace, ("batch/v1", "CronJob"))
        if not one["spec"].get("suspend")
    )


def close_workload(namespace: str) -> None:
    """Delete the Ingresses, and stop the rest."""
    cluster = connect({})
    for kind, one in _all(cluster, namespace, ("networking.k8s.io/v1", "Ingress")):
        _delete(cluster, kind, one)
    stop_workload(namespace)


def stop_workload(namespace: str) -> None:
    """Stop the schedules and their running Jobs, scale every Deployment to zero."""
    cluster = connect({})
    _suspend(namespace, schedules_of(namespace), suspended=True)
    for kind, one in _all(cluster, namespace, ("batch/v1", "Job")):
        scheduled = any(owner["kind"] == "CronJob" for owner in one["metadata"].get("ownerReferences") or ())
        if scheduled and (one.get("status") or {}).get("active"):
            _delete(cluster, kind, one)
    _scale(namespace, dict.fromkeys(replicas_of(namespace), 0))


def reopen_workload(namespace: str, *, replicas: Mapping[str, int], schedules: Sequence[str]) -> None:
    """Undo `stop_workload`, and `close_workload` but for the Ingresses, which the stack makes again. The stack sends
    neither replicas nor whether a schedule is suspended, so nobody else would."""
    _suspend(namespace, schedules, suspended=False)
    _scale(namespace, replicas)


def still_open(namespace: str) -> tuple[str, ...]:
    """What still runs or answers; a pod may take its time to stop. Reads only."""
    cluster = connect({})
    found = [f"ingress {one['metadata']['name']}" for _, one in _all(cluster, namespace, _INGRESS)]
    return (*found, *still_running(namespace))


def still_running(namespace: str) -> tuple[str, ...]:
    """What still runs of what `stop_workload` stops. Reads only."""
    cluster, found = connect({}), []
    for _, one in _all(cluster, namespace, ("apps/v1", "Deployment")):
        running = (one.get("status") or {}).get("replicas", 0)
        if running or one["spec"].get("replicas", 1):
            found.append(f"deployment {one['metadata']['name']} with {running} pods")
    return (*found, *(f"schedule {name}" for name in schedules_of(namespace)))


_INGRESS = ("networking.k8s.io/v1", "Ingress")


def _suspend(namespace: str, schedules: Sequence[str], *, suspended: bool) -> None:
    cluster = connect({})
    for kind, one in _all(cluster, namespace, ("batch/v1", "CronJob")):
        if one["metadata"]["name"] in schedules and bool(one["spec"].get("suspend")) is not suspended:
            _patch(cluster, _path(kind, one), {"spec": {"suspend": suspended}})


def _scale(namespace: str, replicas: Mapping[str, int]) -> None:
    """Scale Deployments through their scale subresource; one that is gone is passed over."""
    cluster = connect({})
    for kind, one in _all(cluster, namespace, ("apps/v1", "Deployment")):
        wanted = replicas.get(one["metadata"]["name"])
        if wanted is not None and one["spec"].get("replicas", 1) != wanted:
            _patch(cluster, f"{_path(kind, one)}/scale", {"spec": {"replicas": wanted}})


def _all(cluster: Cluster, namespace: str, *kinds: tuple[str, str]) -> Iterator[tuple[Kind, Mapping[str, Any]]]:
    for api_version, name in kinds:
        kind = cluster.kind(api_version, name)
        if kind is None:
            raise DependencyUnavailable(f"the API server does not serve {name} ({api_version})", where=cluster.address)
        for one in cluster.list(kind, namespace):
            yield kind, one


def _path(kind: Kind, one: Mapping[str, Any]) -> str:
    return kind.path(one["metadata"]["namespace"], one["metadata"]["name"])


def _patch(cluster: Cluster, path: str, body: Mapping[str, Any]) -> None:
    try:
        cluster.request("PATCH", path, query=_MANAGER, body=body, content_type=_MERGE)
    except ApiError as error:
        if error.status != 404:
            raise as_ours(error, where=path) from None


def _delete(cluster: Cluster, kind: Kind, one: Mapping[str, Any]) -> None:
    path = _path(kind, one)
    try:
        cluster.request("DELETE", path, query={"propagationPolicy": "Background"})
    except ApiError as error:
        if error.status != 404:
            raise as_ours(error, where=path) from None
