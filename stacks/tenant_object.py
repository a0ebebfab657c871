"""The program of a tenant in a cell with an operator: it declares the Tenant object and awaits Ready.

The operator is then the only writer of the tenant's own stack; this one has a single object.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi_kubernetes import Provider
from pulumi_kubernetes.apiextensions import CustomResource

__all__ = ["tenant_object"]

_READY_WITHIN = "30m"
"""A tenant with a database server of its own takes minutes; a cell that places nothing says so long before."""


def tenant_object(*, manifest: dict[str, Any]) -> None:
    """manifest: the tenant file as it stands, checked before."""
    metadata = dict(manifest["metadata"])
    kubernetes = Provider("kubernetes", enable_server_side_apply=True)
    tenant = CustomResource(
        "tenant",
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        metadata={
            **metadata,
            "labels": {**metadata.get("labels", {}), "tenantry.dev/managed-by": "pulumi"},
            "annotations": {**metadata.get("annotations", {}), "pulumi.com/waitFor": "condition=Ready"},
        },
        spec=manifest["spec"],
        opts=pulumi.ResourceOptions(
            provider=kubernetes,
            custom_timeouts=pulumi.CustomTimeouts(create=_READY_WITHIN, update=_READY_WITHIN, delete=_READY_WITHIN),
        ),
    )
    pulumi.export("tenant", metadata["name"])
    pulumi.export("uid", tenant.metadata["uid"])
