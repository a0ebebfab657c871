"""What a cell's API server refuses in a tenant's namespace, and that its answer says what to change.

Objects are sent as a dry run and go through every admission step; only the namespace is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import kubernetes.client
import kubernetes.config
import kubernetes.dynamic
import kubernetes.dynamic.exceptions
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

Manifest = dict[str, Any]
LIMIT_S = 60

POD: Manifest = {
    "automountServiceAccountToken": False,
    "serviceAccountName": "workload",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 33, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "web",
            "image": "registry.example.com:5000/app/web:1.2.3",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}
LABELS = {"app.kubernetes.io/name": "web"}


@pytest.fixture(scope="module")
def cluster(environment: dict[str, str], cell_run: object) -> kubernetes.dynamic.DynamicClient:
    return kubernetes.dynamic.DynamicClient(kubernetes.config.new_client_from_config(environment["KUBECONFIG"]))


@pytest.fixture(scope="module")
def namespace(cluster: kubernetes.dynamic.DynamicClient) -> Iterator[Manifest]:
    """A tenant's namespace in which the policies are already in force."""
    name = f"t-adm{secrets.token_hex(3)}-{secrets.token_hex(4)}"
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "tenantry",
                "tenantry.dev/tenant": name,
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "v1.34",
            },
        },
    }
    api = cluster.resources.get(api_version="v1", kind="Namespace")
    api.create(manifest)
    accounts = cluster.resources.get(api_version="v1", kind="ServiceAccount")
    accounts.create({"metadata": {"name": "workload"}}, namespace=name)
    # The API server takes new policies up a moment after they are made.
    Retrying(retry=retry_if_result(lambda said: not said), stop=stop_after_delay(LIMIT_S), wait=wait_fixed(0.2))(
        lambda: refusal(cluster, name, service(type="NodePort"))
    )
    yield manifest
    api.delete(name)


def refusal(cluster: kubernetes.dynamic.DynamicClient, namespace: str, manifest: Manifest) -> str:
    """Why the API server refuses to make this; "" when it would make it."""
    api = cluster.resources.get(api_version=manifest["apiVersion"], kind=manifest["kind"])
    where = {"namespace": namespace} if api.namespaced else {}
    try:
        api.create(manifest, **where, query_params=[("dryRun", "All")])
    except kubernetes.dynamic.exceptions.DynamicApiError as error:
        return str(error.summary())
    return ""


def service(**changes: object) -> Manifest:
    spec = {"ports": [{"port": 80}], "selector": LABELS, **changes}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def pod(**changes: object) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {**deepcopy(POD), **changes}}


def with_image(image: str) -> Manifest:
    return pod(containers=[{**POD["containers"][0], "image": image}])


def declared_as(kind: str, template: Manifest) -> Manifest:
    """The pod as a controller's template."""
    body: Manifest = {"template": {"metadata": {"labels": LABELS}, "spec": template["spec"]}}
    if kind in {"Job", "CronJob"}:
        body["template"]["spec"] = {**template["spec"], "restartPolicy": "Never"}
    else:
        body["selector"] = {"matchLabels": LABELS}
    if kind == "StatefulSet":
        body["serviceName"] = "web"
    if kind == "CronJob":
        body = {"schedule": "0 3 * * *", "jobTemplate": {"spec": body}}
    group = "batch/v1" if kind in {"Job", "CronJob"} else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "web"}, "spec": body}


CONTROLLERS = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"]
HOST_FOLDER = pod(volumes=[{"name": "node", "hostPath": {"path": "/"}}])
PRIVILEGED = pod(containers=[{**POD["containers"][0], "securityContext": {"privileged": True}}])
VIOLATIONS = {
    "the node's network": (declared_as("Deployment", pod(hostNetwork=True)), "take hostNetwork"),
    "the node's processes": (declared_as("Deployment", pod(hostPID=True)), "take hostNetwork, hostPID"),
    "a folder of the node": (declared_as("Deployment", HOST_FOLDER), "replace the hostPath of volume `node`"),
    # The local API server, which allows no privileged container at all, answers before the policy does.
    "a privileged container": (declared_as("Deployment", PRIVILEGED), "securityContext.privileged"),
    "a privileged init container": (
        declared_as("Deployment", pod(initContainers=[{**PRIVILEGED["spec"]["containers"][0], "name": "first"}])),
        "securityContext.privileged",
    ),
    "the tag latest": (with_image("example.com/web:latest"), "`example.com/web:latest` can change"),
    "no tag behind a port": (with_image("example.com:5000/web"), "give it the tag of a release"),
    "a NodePort": (service(type="NodePort"), "publish it by the Ingress"),
    "a LoadBalancer": (service(type="LoadBalancer"), "publish it by the Ingress"),
    "a name of elsewhere": (service(type="ExternalName", externalName="db.example.com"), "must be of type ClusterIP"),
    "a claimed address": (service(externalIPs=["203.0.113.7"]), "take externalIPs away"),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_refused_with_what_to_change(
    cluster: kubernetes.dynamic.DynamicClient, namespace: Manifest, name: str
) -> None:
    manifest, advice = VIOLATIONS[name]
    assert advice in refusal(cluster, namespace["metadata"]["name"], manifest)


@pytest.mark.parametrize("kind", CONTROLLERS)
def test_a_template_is_judged_where_it_is_declared(
    cluster: kubernetes.dynamic.DynamicClient, namespace: Manifest, kind: str
) -> None:
    name = namespace["metadata"]["name"]
    assert refusal(cluster, name, declared_as(kind, pod())) == ""
    assert "can change" in refusal(cluster, name, declared_as(kind, with_image("example.com/web")))


@pytest.mark.parametrize(
    "manifest",
    [pod(), with_image(f"example.com/web@sha256:{'a' * 64}"), service(), service(clusterIP="None")],
    ids=["a pod", "an image by digest", "a service", "a headless service"],
)
def test_what_keeps_the_rules_is_admitted(
    cluster: kubernetes.dynamic.DynamicClient, namespace: Manifest, manifest: Manifest
) -> None:
    assert refusal(cluster, namespace["metadata"]["name"], manifest) == ""


@pytest.mark.parametrize(
    ("label", "value", "advice"),
    [
        ("pod-security.kubernetes.io/enforce", "baseline", "enforce Pod Security `restricted`"),
        ("pod-security.kubernetes.io/enforce", None, "enforce Pod Security `restricted`"),
        ("pod-security.kubernetes.io/enforce-version", "v1.0", "v1.34 or later"),
        ("tenantry.dev/tenant", None, "cannot be taken away"),
    ],
)
def test_a_tenants_namespace_keeps_its_labels(
    cluster: kubernetes.dynamic.DynamicClient, namespace: Manifest, label: str, value: str | None, advice: str
) -> None:
    api = cluster.resources.get(api_version="v1", kind="Namespace")
    patch = {"metadata": {"labels": {label: value}}}
    with pytest.raises(kubernetes.dynamic.exceptions.DynamicApiError) as refused:
        api.patch(
            name=namespace["metadata"]["name"],
            body=patch,
            content_type="application/merge-patch+json",
            query_params=[("dryRun", "All")],
        )
    assert advice in str(refused.value.summary())
