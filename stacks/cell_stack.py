"""The program of a cell's stack: what its cluster and its shared services get once, before the first tenant."""

from __future__ import annotations

import datetime
from pathlib import Path
from string import Template
from typing import Any

import pulumi
from ruamel.yaml import YAML

from tenantry.tenancy.cell import Cell
from tenantry_components.cell_cluster import CellCluster
from tenantry_components.cell_egress import CellEgress
from tenantry_components.cell_services import CellServices
from tenantry_components.cluster_provider import cluster_provider

__all__ = ["cell_stack", "cluster_manifests"]

# Data stands beside the packages, in a clone as in an installation.
_ROOT = Path(__file__).resolve().parents[1]
_POLICIES = _ROOT / "policies" / "openbao"
_MANIFESTS = (_ROOT / "policies" / "admission", _ROOT / "operator" / "deploy")
_CLUSTER_KINDS = {
    *("CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    *("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
}


def cell_stack(*, cell: Cell, renewal: str = "") -> None:
    """Declare the cell in the cluster of KUBECONFIG, OpenBao by VAULT_ADDR, and servers with bootstrap logins.

    renewal: any text; when it changes, an OpenBao outside the cluster gets a new reviewer's token, which lives a
    year. "": the month, so that every `cell up` in a new month renews it.
    """
    kubernetes = cluster_provider()
    cluster = CellCluster(
        "cluster", cell, extras=cluster_manifests(cell), opts=pulumi.ResourceOptions(provider=kubernetes)
    )
    services = CellServices(
        "services",
        cell,
        policies={path.stem: path.read_text(encoding="utf-8") for path in sorted(_POLICIES.glob("*.hcl"))},
        renewal=renewal or datetime.datetime.now(datetime.UTC).strftime("%Y-%m"),
        after=cluster.ready,
    )
    egress = CellEgress(
        "egress",
        cell,
        after=[*cluster.ready, *services.login],
        opts=pulumi.ResourceOptions(provider=kubernetes),
    )
    pulumi.export("cell", cell.metadata.name)
    pulumi.export("region", cell.spec.region)
    pulumi.export("openbao", cell.spec.openbao.address)
    pulumi.export("database", f"{cell.spec.database.host}:{cell.spec.database.port}")
    pulumi.export("namespaces", cluster.namespaces)
    pulumi.export("role", services.role)
    pulumi.export("connection", services.connection)
    pulumi.export("egress", egress.address)


def cluster_manifests(cell: Cell) -> list[dict[str, Any]]:
    """The tenants' API, the operator's account with its rights, and the admission policies: the repository's YAML
    files with the cell's names put in."""
    loader = YAML(typ="safe", pure=True)
    names = {"agent_image": _repository(cell.spec.images.located(cell.spec.images.agent))}
    found: list[dict[str, Any]] = []
    for folder in _MANIFESTS:
        for path in sorted(folder.glob("*.yaml")):
            text = Template(path.read_text(encoding="utf-8")).safe_substitute(names)
            found += [document for document in loader.load_all(text) if document]
    return [manifest for manifest in found if manifest["kind"] in _CLUSTER_KINDS]


def _repository(image: str) -> str:
    """An image without its tag and digest; a colon before the last slash is a port."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]
