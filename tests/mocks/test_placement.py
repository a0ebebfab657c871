"""Which nodes tenants' pods go to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.backup import backup_manifests
from tenantry_components.module import module_manifests
from tenantry_components.own_server import cache_manifests, database_manifests


def _pods(spec: TenantSpec) -> Iterator[dict[str, Any]]:
    for manifest in (
        *(one for module in spec.workload.modules for one in module_manifests(spec, module, {})),
        *backup_manifests(spec),
        *database_manifests(spec),
        *cache_manifests(spec),
    ):
        body = manifest.get("spec", {})
        body = body.get("jobTemplate", {}).get("spec", body)
        if "template" in body:
            yield body["template"]["spec"]


def test_every_pod_of_a_tenant_goes_to_the_nodes_that_the_cell_keeps_for_tenants(spec: TenantSpec) -> None:
    kubernetes = spec.cell.spec.kubernetes.model_copy(update={"tenant_nodes": {"pool": "tenants"}})
    cell = spec.cell.model_copy(update={"spec": spec.cell.spec.model_copy(update={"kubernetes": kubernetes})})
    kept = list(_pods(replace(spec, cell=cell)))
    assert len(kept) > 5
    for pod in kept:
        assert pod["nodeSelector"] == {"pool": "tenants"}
        assert pod["tolerations"] == [{"key": "pool", "operator": "Equal", "value": "tenants"}]
    assert not [pod for pod in _pods(spec) if "nodeSelector" in pod or "tolerations" in pod]
