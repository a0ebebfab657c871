"""What a cell's cluster gets once: Tenantry's own namespaces, the tenants' API, admission policies, the reviewer.

The reviewer is the service account with whose token an OpenBao outside the cluster has tenants' tokens reviewed;
an OpenBao inside uses its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from tenantry.tenancy.cell import Cell
from tenantry_components.manifest import Manifest, register

__all__ = ["REVIEWER", "SYSTEM_NAMESPACE", "CellCluster", "foundation"]

SYSTEM_NAMESPACE = "tenantry-system"
REVIEWER = "openbao-reviewer"
_RBAC = "rbac.authorization.k8s.io"
_PSA_VERSION = "v1.36"


class CellCluster(pulumi.ComponentResource):
    """cell: the cell. extras: manifests of the tenants' API, of the operator's rights and of admission policies.

    Outputs: `namespaces`. `ready`: what needs the reviewer comes after it.
    """

    def __init__(
        self,
        name: str,
        cell: Cell,
        *,
        extras: Sequence[Manifest],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cell:Cluster", name, None, opts)
        namespaces, others = foundation(cell)
        made = [register(manifest, parent=self) for manifest in namespaces]
        self.ready = [*made, *(register(manifest, parent=self, after=made) for manifest in others)]
        for manifest in extras:
            register(_labelled(manifest, cell), parent=self, after=made)
        self.namespaces = pulumi.Output.from_input([manifest["metadata"]["name"] for manifest in namespaces])
        self.register_outputs({"namespaces": self.namespaces})


def foundation(cell: Cell) -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    """Namespaces, and what stands in them or beside them. Pure."""
    egress = cell.spec.egress.namespace
    namespaces = (_namespace(cell, SYSTEM_NAMESPACE), _namespace(cell, egress))
    deny = tuple(_deny_all(cell, name) for name in (SYSTEM_NAMESPACE, egress))
    return namespaces, (*deny, *_reviewer(cell))


def labels(cell: Cell) -> dict[str, str]:
    """What every object of a cell carries."""
    return {
        "app.kubernetes.io/managed-by": "tenantry-cell",  # `tenantry` lets a namespace's pods log in to OpenBao
        "app.kubernetes.io/part-of": "tenantry",
        "tenantry.dev/cell": cell.metadata.name,
    }


def _labelled(manifest: Manifest, cell: Cell) -> Manifest:
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **labels(cell)}}}


def _namespace(cell: Cell, name: str) -> Manifest:
    security = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", _PSA_VERSION))
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {**labels(cell), **security},
            # What the policies judge by.
            "annotations": {"tenantry.dev/image-sources": ",".join(cell.spec.images.allowed_sources)},
        },
    }


def _deny_all(cell: Cell, namespace: str) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{namespace}-deny-all", "namespace": namespace, "labels": labels(cell)},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def _reviewer(cell: Cell) -> tuple[Manifest, ...]:
    account = {"kind": "ServiceAccount", "name": REVIEWER, "namespace": SYSTEM_NAMESPACE}

    def binding(name: str, role: str) -> Manifest:
        return {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": labels(cell)},
            "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [account],
        }

    # OpenBao reads a namespace's labels, to see whether it is a tenant's.
    rule: dict[str, Any] = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}
    return (
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": REVIEWER, "namespace": SYSTEM_NAMESPACE, "labels": labels(cell)},
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "tenantry:openbao-reviewer", "labels": labels(cell)},
            "rules": [rule],
        },
        binding("tenantry:openbao-reviewer", "tenantry:openbao-reviewer"),
        binding("tenantry:openbao-reviewer-delegator", "system:auth-delegator"),
    )
