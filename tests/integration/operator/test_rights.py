"""The operator under its own rights: a whole life passes with nothing forbidden, and little else may be done."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.engine.cluster import ApiError
from tenantry.local.operating import ACCOUNT
from tests.integration.operator.conftest import Operated

TENANT = """\
apiVersion: tenantry.dev/v1alpha1
kind: Tenant
metadata: {{name: {name}}}
spec: {{displayName: {title}, owner: somebody@example.com, plan: growth, environment: test, deletionPolicy: delete}}
"""


def test_a_whole_life_passes_and_the_name_used_again_shares_nothing(operated: Operated) -> None:
    name = f"x{secrets.token_hex(4)}"
    pinned = TENANT.replace("deletionPolicy: delete", "deletionPolicy: delete, release: 6.0.7")
    operated.apply(pinned.format(name=name, title="One"))
    first = operated.ready(name)["status"]
    operated.apply(pinned.format(name=name, title="Edited"))
    edited = operated.ready(name)
    assert edited["metadata"]["generation"] == 2
    assert edited["status"]["observedGeneration"] == 2
    operated.patch(name, {"spec": {"release": "7.1.3"}})
    operated.wait(
        name, lambda body, _: body["status"]["release"] == "7.1.3" and _is(body, "Released"), "at the next release"
    )
    operated.patch(name, {"spec": {"suspended": True}})
    suspended = operated.wait(name, lambda body, standing: standing.reached and _is(body, "Suspended"), "suspended")
    assert suspended["status"]["phase"] == "Suspended"
    operated.patch(name, {"spec": {"suspended": False}})
    operated.wait(name, lambda body, standing: standing.reached and _is(body, "Ready"), "running again")
    operated.delete_now(name)
    assert operated.admin.get(f"/api/v1/namespaces/{first['namespace']}") is None

    operated.apply(TENANT.format(name=name, title="Another"))
    second = operated.ready(name)["status"]
    assert second["incarnation"] != first["incarnation"]
    assert second["namespace"] != first["namespace"]
    operated.delete_now(name)

    (found,) = (operated.root / "cells").glob("*/tombstones/*" + first["namespace"] + ".json")
    assert json.loads(found.read_text())["certificate"]
    assert set(_forbidden(operated)) == {("list", "secrets")}


def _is(body: dict[str, Any], kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in body["status"]["conditions"])


def _forbidden(operated: Operated) -> Iterator[tuple[str, str]]:
    """What the API server refused to the operator, from its audit log. Secrets are looked for and not shown."""
    for line in operated.audit_log.read_text().splitlines():
        entry = json.loads(line)
        if entry["user"]["username"] == ACCOUNT and (entry.get("responseStatus") or {}).get("code") == 403:
            yield entry["verb"], (entry.get("objectRef") or {}).get("resource", entry["requestURI"])


@pytest.fixture(scope="module")
def tenants_namespace(operated: Operated) -> Iterator[str]:
    """A namespace that looks like a tenant's."""
    name = "t-fence-abcd2345"
    restricted = {f"pod-security.kubernetes.io/{one}": "restricted" for one in ("enforce", "audit", "warn")}
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {"tenantry.dev/tenant": "fence", "app.kubernetes.io/managed-by": "tenantry"} | restricted,
        },
    }
    operated.admin.request("POST", "/api/v1/namespaces", body=body)
    yield name
    operated.admin.request("DELETE", f"/api/v1/namespaces/{name}")


def _configmap() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fence"}, "data": {"a": "b"}}


def _role(*resources: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "viewer"},
        "rules": [{"apiGroups": [""], "resources": list(resources), "verbs": ["get"]}],
    }


def _binding(role: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "fence"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "tenantry-operator", "namespace": "tenantry-system"}],
    }


_NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}
_TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["x"]}}
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
REFUSED: dict[str, tuple[str, str, Any]] = {
    "read a Secret of a tenant": ("GET", "/api/v1/namespaces/{tenant}/secrets", None),
    "read a Secret of the system": ("GET", "/api/v1/namespaces/kube-system/secrets", None),
    "write into kube-system": ("POST", "/api/v1/namespaces/kube-system/configmaps", _configmap()),
    "write into its own namespace": ("POST", "/api/v1/namespaces/tenantry-system/configmaps", _configmap()),
    "write into default": ("POST", "/api/v1/namespaces/default/configmaps", _configmap()),
    "make another namespace": ("POST", "/api/v1/namespaces", _NAMESPACE),
    "delete another namespace": ("DELETE", "/api/v1/namespaces/kube-node-lease", None),
    "delete its own namespace": ("DELETE", "/api/v1/namespaces/tenantry-system", None),
    "enter a pod": ("POST", "/api/v1/namespaces/{tenant}/pods/web/exec", None),
    "start a pod itself": ("POST", "/api/v1/namespaces/{tenant}/pods", {"apiVersion": "v1", "kind": "Pod"}),
    "get a token of an account elsewhere": (
        "POST",
        "/api/v1/namespaces/kube-system/serviceaccounts/default/token",
        _TOKEN,
    ),
    "get a token of its own account": (
        "POST",
        "/api/v1/namespaces/tenantry-system/serviceaccounts/tenantry-operator/token",
        _TOKEN,
    ),
    "give rights that it has not": ("POST", f"{_RBAC}/namespaces/{{tenant}}/roles", _role("secrets")),
    "bind a broad role": ("POST", f"{_RBAC}/namespaces/{{tenant}}/rolebindings", _binding("cluster-admin")),
    "make a ClusterRole": ("POST", f"{_RBAC}/clusterroles", {"kind": "ClusterRole", "metadata": {"name": "fence"}}),
    "change its own rights": ("PATCH", f"{_RBAC}/clusterroles/tenantry:operator", {"rules": []}),
    "change the definition of Tenant": (
        "PATCH",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tenants.tenantry.dev",
        {"metadata": {"labels": {"a": "b"}}},
    ),
    "change an admission policy": (
        "DELETE",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/tenantry-operator",
        None,
    ),
    "take another Lease": ("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/other", None),
    "change a node": ("PATCH", "/api/v1/nodes/local-a", {"metadata": {"labels": {"a": "b"}}}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_may_not(operated: Operated, tenants_namespace: str, what: str) -> None:
    method, path, body = REFUSED[what]
    with pytest.raises(ApiError) as refused:
        operated.operator.request(
            method,
            path.format(tenant=tenants_namespace),
            query={} if method == "GET" else {"dryRun": "All"},
            body=body,
            content_type="application/merge-patch+json" if method == "PATCH" else "application/json",
        )
    assert refused.value.status in (403, 422), refused.value
    assert "forbidden" in str(refused.value) or "denied request" in str(refused.value)


def test_it_may_give_a_tenants_viewers_what_they_need(operated: Operated, tenants_namespace: str) -> None:
    """The refusals above are not for want of everything."""
    path = f"{_RBAC}/namespaces/{tenants_namespace}/roles"
    operated.operator.request("POST", path, query={"dryRun": "All"}, body=_role("pods"))
    path = f"/api/v1/namespaces/{tenants_namespace}/configmaps"
    operated.operator.request("POST", path, query={"dryRun": "All"}, body=_configmap())
