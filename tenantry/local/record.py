"""What is kept of a local platform from its first `up` on: ports, whose cluster it uses, what its tenants run on."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from tenantry.local.composition import CONTROL_PLANE, SERVICES
from tenantry.local.kubelet import Kubelet
from tenantry.local.layout import Layout, read_json, write_json
from tenantry.local.names import CoreDns
from tenantry.local.node import choose_subnet
from tenantry.local.operating import Operator
from tenantry.local.ports import choose
from tenantry.tenancy.errors import Conflict

__all__ = ["Nodes", "keep_record", "require_as_made"]

_MORE_PORTS = ("openbao-cluster", "rabbitmq-management", "rabbitmq-distribution", "etcd-peer")
_NODE_PORTS = (Kubelet.name, "kubelet-health", CoreDns.name)


class Nodes(StrEnum):
    """What a platform's tenants run on. REAL: a node on this machine, beside the simulated ones."""

    SIMULATED = "simulated"
    REAL = "real"


def require_as_made(layout: Layout, *, kubeconfig: Path | None, nodes: Nodes | None) -> None:
    """Raise Conflict where something else is asked for than what the platform was made with."""
    record = read_json(layout.record)
    if not record:
        return
    kept = record.get("kubeconfig")
    if kubeconfig and str(kubeconfig) != kept:
        raise Conflict(
            f"the local platform {layout.name} was made "
            + (f"with the cluster of {kept}" if kept else "with a control plane of its own"),
            where=str(layout.record),
            hint="choose another name, or remove this one first: `tenantry local down --remove`",
        )
    made = Nodes.SIMULATED if record.get("subnet") is None else Nodes.REAL
    if nodes not in {None, made}:
        raise Conflict(
            f"the local platform {layout.name} was made with {made} nodes",
            where=str(layout.record),
            hint="choose another name, or remove this one first: `tenantry local down --remove`",
        )


def keep_record(layout: Layout, *, kubeconfig: Path | None, nodes: Nodes | None) -> None:
    """Choose what is kept from the first `up` on: ports, the cluster that it uses, the network of real pods."""
    neighbours = _neighbours(layout.home)
    taken = {port for record in neighbours for port in record.get("ports", {}).values()}
    kept = read_json(layout.record)
    if kept:
        wanted = (Operator.name, *(_NODE_PORTS if kept.get("subnet") else ()))
        if missing := [name for name in wanted if name not in kept["ports"]]:  # made by an earlier version
            ports = kept["ports"] | choose(missing, taken=taken | set(kept["ports"].values()))
            write_json(layout.record, {**kept, "ports": ports})
        return
    real = nodes is Nodes.REAL
    names = (*SERVICES, *CONTROL_PLANE, Operator.name, *_MORE_PORTS, *(_NODE_PORTS if real else ()))
    record = {
        "ports": choose(names, taken=taken),
        "parts": str(layout.parts),
        "kubeconfig": str(kubeconfig) if kubeconfig else None,
        "subnet": choose_subnet(record["subnet"] for record in neighbours if record.get("subnet")) if real else None,
    }
    write_json(layout.record, record)


def _neighbours(home: Path) -> list[dict[str, Any]]:
    """What the other platforms beside this one own, running or not."""
    return [read_json(record) for record in home.parent.glob("*/platform.json")]
