"""The program of a tenant's stack, the same for every driver: the engine in-process, and the Pulumi CLI."""

from __future__ import annotations

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.cluster_provider import cluster_provider
from tenantry_components.tenant import TenantStack

__all__ = ["tenant_stack"]


def tenant_stack(*, spec: TenantSpec) -> None:
    """Declare the tenant in the cluster that KUBECONFIG (or the pod's own account) leads to; no address or credential
    of it becomes an input, and so none gets into state."""
    tenant = TenantStack("tenant", spec, pulumi.ResourceOptions(provider=cluster_provider()))
    for name, value in tenant.outputs.items():
        pulumi.export(name, value)
