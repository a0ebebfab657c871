"""The smoke check: a pod of the new release answers as the catalogue says, before anybody else may ask it.

The request goes through the API server to one ready pod, since the tenant's own hosts are closed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.engine.cluster import Cluster
from tenantry.tenancy.errors import DependencyUnavailable
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec, SmokeCheck

__all__ = ["smoke_problems"]

_SECONDS = 30.0
_RELEASE = "tenantry.dev/release"
_COMPONENT = "app.kubernetes.io/component"


def smoke_problems(cluster: Cluster, spec: TenantSpec) -> tuple[str, ...]:
    """A sentence for each check that fails; () when all are well. Simulated pods answer nobody and are passed over."""
    if spec.cell.spec.kubernetes.simulated_nodes:
        return ()
    return tuple(
        problem
        for module in spec.workload.modules
        if module.smoke
        for problem in _module_problems(cluster, spec, module)
    )


def _module_problems(cluster: Cluster, spec: TenantSpec, module: ModuleSpec) -> list[str]:
    pod = _ready_pod(cluster, spec, module)
    if pod is None:
        return [f"{module.name}: no pod of release {spec.workload.release} is ready"]
    problems = [_problem(cluster, spec, module, pod, check) for check in module.smoke]
    return [one for one in problems if one]


def _ready_pod(cluster: Cluster, spec: TenantSpec, module: ModuleSpec) -> str | None:
    listed = cluster.request(
        "GET",
        f"/api/v1/namespaces/{spec.names.namespace}/pods",
        query={"labelSelector": f"{_COMPONENT}={module.name}"},
    )
    ready = [
        str(pod["metadata"]["name"])
        for pod in listed.get("items") or ()
        if (pod["metadata"].get("annotations") or {}).get(_RELEASE) == spec.workload.release and _is_ready(pod)
    ]
    return min(ready, default=None)


def _is_ready(pod: Mapping[str, Any]) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _problem(cluster: Cluster, spec: TenantSpec, module: ModuleSpec, pod: str, check: SmokeCheck) -> str:
    assert module.port is not None  # the catalogue's own rule
    try:
        status, body = cluster.ask_pod(spec.names.namespace, pod, module.port, check.path, seconds=_SECONDS)
    except DependencyUnavailable:
        cluster.request("GET", "/version")  # where this fails as well, the pod is not to blame
        return f"{module.name}: {check.path} is not answered within {_SECONDS:.0f} s"
    if status != check.status:
        return f"{module.name}: {check.path} answers {status}, not {check.status}"
    if check.text is not None and check.text.encode() not in body:
        return f"{module.name}: the answer to {check.path} does not hold {check.text!r}"
    return ""
