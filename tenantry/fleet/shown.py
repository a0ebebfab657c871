"""What is true of one tenant now: its record, the resources of its stack, and what the cluster says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3

from tenantry.fleet.registry import Record
from tenantry.tenancy.errors import DependencyUnavailable

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
    # Imported here: the client takes a third of a second to load, and few commands ask the cluster.
    from kubernetes import client, config

    try:
        load_config: Any = config.load_config
        load_config()
        with client.ApiClient() as api:
            # The client's types make every field optional; what a server lists has metadata and status.
            apps: Any = client.AppsV1Api(api)
            batch: Any = client.BatchV1Api(api)
            found = [
                ModuleShown(
                    name=(item.metadata.labels or {}).get(_COMPONENT, item.metadata.name),
                    kind=kind,
                    ready=item.status.ready_replicas or 0,
                    wanted=item.spec.replicas if item.spec.replicas is not None else 1,
                )
                for kind, listing in (
                    ("Deployment", apps.list_namespaced_deployment(namespace, _request_timeout=TIMEOUT_S)),
                    ("StatefulSet", apps.list_namespaced_stateful_set(namespace, _request_timeout=TIMEOUT_S)),
                )
                for item in listing.items
            ]
            jobs = batch.list_namespaced_job(namespace, _request_timeout=TIMEOUT_S).items
            found += [
                ModuleShown(name=item.metadata.name, kind="Job", ready=min(item.status.succeeded or 0, 1), wanted=1)
                for item in jobs
                if not item.metadata.owner_references
            ]
            crons = batch.list_namespaced_cron_job(namespace, _request_timeout=TIMEOUT_S).items
            found += [
                ModuleShown(name=item.metadata.name, kind="CronJob", ready=int(not item.spec.suspend), wanted=1)
                for item in crons
            ]
    except (urllib3.exceptions.HTTPError, client.ApiException, config.ConfigException) as error:
        raise DependencyUnavailable(
            "the Kubernetes API server does not answer",
            hint="check KUBECONFIG and that the cluster runs (on a local platform: `tenantry local status`)",
        ) from error
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
