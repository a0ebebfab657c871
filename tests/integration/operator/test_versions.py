"""The way to a new version of the API, with a version that is made up: the real API server converts by our webhook,
and every object is stored anew, until the old version can go."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tenantry.engine.cluster import ApiError, Cluster
from tenantry.fleet.storage_migration import migrate_storage
from tenantry.local import LocalPlatform
from tenantry.local.layout import Layout
from tenantry.local.pki import Authority, Leaf
from tenantry.tenancy.conversion import Conversions, Version
from tenantry.tenancy.schema import crd
from tenantry_operator.converting import Converting
from tests.integration.operator.conftest import cluster_of

GROUP = "dummy.tenantry.dev"
NAME = f"tenants.{GROUP}"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPEC = {"displayName": "Acme", "owner": "someone@example.com", "plan": "starter"}
TRIES = 150


def to_hub(body: Any) -> dict[str, Any]:
    spec = dict(body["spec"])
    return {**body, "spec": {"owner": spec.pop("contact"), **spec}}


def from_hub(body: Any) -> dict[str, Any]:
    spec = dict(body["spec"])
    return {**body, "spec": {"contact": spec.pop("owner"), **spec}}


def definition(webhook: dict[str, Any] | None) -> dict[str, Any]:
    """Tenant's own, in a group of the test's. webhook: with a second version, which is stored from now on."""
    made = copy.deepcopy(crd())
    made["metadata"]["name"] = NAME
    spec = made["spec"]
    spec["group"], spec["names"]["shortNames"], spec["names"]["categories"] = GROUP, [], []
    if webhook is not None:
        newer = copy.deepcopy(spec["versions"][0])
        newer["name"] = "v1beta1"
        fields = newer["schema"]["openAPIV3Schema"]["properties"]["spec"]
        fields["properties"]["contact"] = fields["properties"].pop("owner")
        fields["required"] = ["contact" if one == "owner" else one for one in fields["required"]]
        spec["versions"][0]["storage"] = False
        spec["versions"].append(newer)
        spec["conversion"] = {
            "strategy": "Webhook",
            "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": webhook},
        }
    return made


@pytest.fixture
def admin(platform: LocalPlatform) -> Iterator[Cluster]:
    cluster = cluster_of(Path(platform.environment()["KUBECONFIG"]))
    yield cluster
    cluster.request("DELETE", f"{DEFINITIONS}/{NAME}")


@pytest.fixture
def webhook(platform: LocalPlatform, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Our server, as the definition names it."""
    authority = Authority(Layout.of(platform.name, platform.home).authorities, "local")
    certificate, key = authority.issue(tmp_path, "webhook", Leaf(common_name="webhook", server=True))
    versions = [Version(name="v1alpha1"), Version(name="v1beta1", to_hub=to_hub, from_hub=from_hub)]
    server = Converting(
        Conversions(GROUP, hub="v1alpha1", versions=versions),
        host="127.0.0.1",
        port=0,
        certificate=certificate,
        key=key,
    )
    server.start()
    yield {
        "url": f"https://127.0.0.1:{server.port}/convert",
        "caBundle": base64.b64encode(authority.pem.encode()).decode(),
    }
    server.stop()


def path(version: str, name: str = "") -> str:
    return f"/apis/{GROUP}/{version}/tenants" + (f"/{name}" if name else "")


def served(cluster: Cluster, version: str, name: str) -> dict[str, Any]:
    """As soon as the API server has taken the definition up."""
    pause = Event()
    for _ in range(TRIES):
        try:
            found = cluster.get(path(version, name))
        except ApiError:
            found = None
        if found is not None:
            return found
        pause.wait(0.2)
    raise AssertionError(f"{name} is not served as {version}")


def make(cluster: Cluster, version: str, name: str, spec: dict[str, Any]) -> None:
    body = {"apiVersion": f"{GROUP}/{version}", "kind": "Tenant", "metadata": {"name": name}, "spec": spec}
    pause = Event()
    for _ in range(TRIES):
        try:
            cluster.request("POST", path(version), body=body)
        except ApiError as error:
            if error.status != 404:
                raise
            pause.wait(0.2)
        else:
            return
    raise AssertionError(f"{version} takes no objects")


def test_a_new_version_is_converted_to_stored_and_the_old_one_goes(admin: Cluster, webhook: dict[str, Any]) -> None:
    admin.request("POST", DEFINITIONS, body=definition(None))
    make(admin, "v1alpha1", "old", SPEC)

    admin.request(
        "PATCH", f"{DEFINITIONS}/{NAME}", body=definition(webhook), content_type="application/merge-patch+json"
    )
    new = served(admin, "v1beta1", "old")
    assert new["spec"]["contact"] == SPEC["owner"]
    assert "owner" not in new["spec"]
    make(admin, "v1beta1", "new", {**{key: SPEC[key] for key in ("displayName", "plan")}, "contact": "b@example.com"})
    assert served(admin, "v1alpha1", "new")["spec"]["owner"] == "b@example.com"
    assert served(admin, "v1alpha1", "old")["spec"]["owner"] == SPEC["owner"]

    done = migrate_storage(admin, NAME, progress=lambda _: None)
    assert (done.version, done.before, done.objects) == ("v1beta1", ("v1alpha1", "v1beta1"), 2)
    again = migrate_storage(admin, NAME, progress=lambda _: None)
    assert (again.before, again.objects) == (("v1beta1",), 0)

    alone = definition(webhook)
    alone["spec"]["versions"] = alone["spec"]["versions"][1:]
    alone["spec"]["conversion"] = {"strategy": "None", "webhook": None}
    admin.request("PATCH", f"{DEFINITIONS}/{NAME}", body=alone, content_type="application/merge-patch+json")
    assert served(admin, "v1beta1", "old")["spec"]["contact"] == SPEC["owner"]
