"""Objects in the platform's own cluster that its parts need, applied as its administrator."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tenantry.local.part import Site, web
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["apply_objects", "cluster_role"]

_RBAC = "rbac.authorization.k8s.io"


def apply_objects(site: Site, objects: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Apply each, server-side, in this order: its path and what it is. Raises DependencyUnavailable."""
    base = f"https://{LOOPBACK}:{site.ports['kube-apiserver']}"
    client = site.layout.client
    certificate = (client / "kubeconfig.pem", client / "kubeconfig.key")
    with web(authority_file=site.layout.ca_file, certificate=certificate, seconds=15) as http:
        for path, body in objects:
            answer = http.request(
                "PATCH",
                f"{base}{path}?fieldManager=tenantry-local&force=true",
                body=json.dumps(body),
                headers={"Content-Type": "application/apply-patch+yaml"},
            )
            if answer.status not in {200, 201}:
                raise DependencyUnavailable(
                    f"the API server refuses {body['kind']} {body['metadata']['name']} with {answer.status}",
                    where=base,
                    hint="read the log of kube-apiserver, then run `tenantry local up` again",
                )


def cluster_role(name: str, user: str, rules: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """A role in the whole cluster, given to one user."""
    path = f"/apis/{_RBAC}/v1"
    return [
        (
            f"{path}/clusterroles/{name}",
            {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules},
        ),
        (
            f"{path}/clusterrolebindings/{name}",
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
            },
        ),
    ]
