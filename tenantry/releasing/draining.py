"""What of a tenant's workload still runs, or holds a message. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.engine.cluster import Cluster
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.spec import MessagingKind, TenantSpec
from tenantry.tenancy.workload_spec import ModuleKind
from tenantry_components.providers.rabbitmq_server import server

__all__ = ["failed_tasks", "held_messages", "running_pods", "running_schedules"]

_COMPONENT = "app.kubernetes.io/component"
_ENDED = ("Succeeded", "Failed")


def running_schedules(cluster: Cluster, namespace: str) -> tuple[str, ...]:
    """Jobs that a schedule has started and that have not ended. A run that is cut off may have done half of its work,
    so they are waited for; each ends by its own deadline."""
    return tuple(
        str(one["metadata"]["name"])
        for one in _all(cluster, "batch/v1", "Job", namespace)
        if any(owner["kind"] == "CronJob" for owner in one["metadata"].get("ownerReferences") or ())
        and (one.get("status") or {}).get("active")
    )


def running_pods(cluster: Cluster, spec: TenantSpec) -> tuple[str, ...]:
    """Pods of the workload's modules that have not ended; one that was told to stop counts until it is gone."""
    modules = {module.name for module in spec.workload.modules}
    return tuple(
        str(one["metadata"]["name"])
        for one in _all(cluster, "v1", "Pod", spec.names.namespace)
        if (one["metadata"].get("labels") or {}).get(_COMPONENT) in modules
        and (one.get("status") or {}).get("phase") not in _ENDED
    )


def failed_tasks(cluster: Cluster, spec: TenantSpec) -> dict[str, str]:
    """The workload's own one-shot Jobs that have failed for good: what Kubernetes says of each, by name."""
    tasks = {module.name for module in spec.workload.modules if module.kind is ModuleKind.TASK}
    return {
        str(one["metadata"]["name"]): str(condition.get("message") or condition.get("reason") or "failed")
        for one in _all(cluster, "batch/v1", "Job", spec.names.namespace)
        if (one["metadata"].get("labels") or {}).get(_COMPONENT) in tasks
        for condition in (one.get("status") or {}).get("conditions") or ()
        if condition["type"] == "Failed" and condition["status"] == "True"
    }


def held_messages(spec: TenantSpec) -> int:
    """Messages that a consumer has taken and not acknowledged, and consumers that could take one. With messages in the
    database: none, once no pod runs, since what a process held goes back when its connection ends."""
    if spec.messaging.kind is not MessagingKind.RABBITMQ:
        return 0
    broker = server(url=spec.cell.spec.messaging.management_url, kv_mount=spec.cell.spec.openbao.kv_mount)
    queues = broker.get("queues", spec.names.messaging_vhost) or ()
    return sum(int(one.get("messages_unacknowledged") or 0) + int(one.get("consumers") or 0) for one in queues)


def _all(cluster: Cluster, api_version: str, name: str, namespace: str) -> Iterator[Mapping[str, Any]]:
    kind = cluster.kind(api_version, name)
    if kind is None:
        raise DependencyUnavailable(f"the API server does not serve {name} ({api_version})", where=cluster.address)
    yield from cluster.list(kind, namespace)
