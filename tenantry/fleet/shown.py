"""What is true of one tenant now: its record, the resources of its stack, and what the cluster says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.engine.cluster import ApiError, as_ours, connect
from tenantry.fleet.registry import Record

__all__ = [
    "ConditionShown",
    "ModuleShown",
    "Node",
    "Shown",
    "conditions_of",
    "modules_of",
    "told_conditions",
    "tree_of",
]

TIMEOUT_S = 10
_COMPONENT = "app.kubernetes.io/component"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A resource and what is below it."""

    name: str
    type: str
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleShown:
    """A Deployment or StatefulSet: how many replicas are ready of those wanted; a CronJob or Job counts as one."""

    name: str
    kind: str
    ready: int
    wanted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionShown:
    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    record: Record
    conditions: tuple[ConditionShown, ...]
    modules: tuple[ModuleShown, ...]
    resources: tuple[Node, ...]


def tree_of(resources: Iterable[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The resources of a checkpoint as trees below their roots, in the checkpoint's order."""
    listed = [one for one in resources if not str(one["type"]).startswith("pulumi:providers:")]
    below: dict[str | None, list[Mapping[str, Any]]] = {}
    known = {one["urn"] for one in listed}
    for one in listed:
        parent = one.get("parent")
        below.setdefault(parent if parent in known else None, []).append(one)

    def grow(one: Mapping[str, Any]) -> Node:
        return Node(
            name=str(one["urn"]).rsplit("::", 1)[-1],
            type=str(one["type"]),
            children=tuple(grow(child) for child in below.get(one["urn"], [])),
        )

    return tuple(grow(one) for one in below.get(None, []))


def modules_of(namespace: str) -> tuple[ModuleShown, ...]:
    """Ask the cluster how the workload of a namespace does. Raises DependencyUnavailable when it does not answer."""
    cluster = connect({})

    def listed(group: str, plural: str) -> list[Mapping[str, Any]]:
        path = f"/apis/{group}/v1/namespaces/{namespace}/{plural}"
        return list(cluster.request("GET", path, seconds=TIMEOUT_S).get("items") or ())

    try:
        found = [
            ModuleShown(
                name=str((item["metadata"].get("labels") or {}).get(_COMPONENT, item["metadata"]["name"])),
                kind=kind,
                ready=int((item.get("status") or {}).get("readyReplicas") or 0),
                wanted=int(item["spec"].get("replicas", 1)),
            )
            for kind, plural in (("Deployment", "deployments"), ("StatefulSet", "statefulsets"))
            for item in listed("apps", plural)
        ]
        found += [
            ModuleShown(
                name=str(item["metadata"]["name"]),
                kind="Job",
                ready=min(int((item.get("status") or {}).get("succeeded") or 0), 1),
                wanted=1,
            )
            for item in listed("batch", "jobs")
            if not item["metadata"].get("ownerReferences")
        ]
        found += [
            ModuleShown(
                name=str(item["metadata"]["name"]), kind="CronJob", ready=int(not item["spec"].get("suspend")), wanted=1
            )
            for item in listed("batch", "cronjobs")
        ]
    except ApiError as error:
        raise as_ours(error, where=namespace) from error
    return tuple(found)


def told_conditions(status: Mapping[str, Any]) -> tuple[ConditionShown, ...]:
    """What the operator says in a Tenant's status."""
    return tuple(
        ConditionShown(
            type=str(one["type"]), status=str(one["status"]), reason=str(one["reason"]), message=str(one["message"])
        )
        for one in status.get("conditions") or ()
    )


def conditions_of(record: Record, modules: Iterable[ModuleShown], *, simulated: bool) -> tuple[ConditionShown, ...]:
    """Ready only when the last run reached its goal and every module runs as wanted; simulated pods are said so."""
    waiting = [f"{one.name} {one.ready}/{one.wanted}" for one in modules if one.ready < one.wanted]
    if record.finished_at is None:
        ready = ("False", "RunUnfinished", "no run has reached its goal yet; run `tenantry tenant up` again")
    elif waiting:
        ready = ("False", "ModulesNotReady", "not as wanted: " + ", ".join(waiting))
    else:
        ready = ("True", "ModulesReady", "every module runs as wanted")
    simulation = (
        ("True", "SimulatedNodes", "the cell's nodes are simulated: objects are real, no container runs")
        if simulated
        else ("False", "RealNodes", "pods run on real nodes")
    )
    return tuple(
        ConditionShown(type=kind, status=status, reason=reason, message=message)
        for kind, (status, reason, message) in (("Ready", ready), ("WorkloadSimulated", simulation))
    )
