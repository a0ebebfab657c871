"""Objects in the platform's own cluster that its parts need, applied as its administrator."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tenantry.local.part import Site, web
from tenantry.local.ports import LOOPBACK
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["apply_objects", "role"]

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


def role(name: str, user: str, rules: list[dict[str, Any]], *, namespace: str = "") -> list[tuple[str, dict[str, Any]]]:
    """A role given to one user. namespace: where it holds, "" for the whole cluster."""
    version = f"{_RBAC}/v1"
    path = f"/apis/{version}/namespaces/{namespace}/" if namespace else f"/apis/{version}/cluster"
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return [
        (f"{path}roles/{name}", {"apiVersion": version, "kind": kind, "metadata": metadata, "rules": rules}),
        (
            f"{path}rolebindings/{name}",
            {
                "apiVersion": version,
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
                "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": user}],
            },
        ),
    ]
