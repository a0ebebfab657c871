"""The tenant's network: nothing goes in or out but what network_rules.py says."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.manifest import register
from tenantry_components.network_rules import network_policies

__all__ = ["Network"]


class Network(pulumi.ComponentResource):
    """spec: the tenant. after: the namespace. Outputs: `policies`, their names. `ready`: pods come after it, so that
    none ever runs without its fence."""

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Network", name, None, opts)
        manifests = network_policies(spec)
        self.ready: Sequence[pulumi.Resource] = tuple(
            register(manifest, parent=self, after=after) for manifest in manifests
        )
        self.policies = pulumi.Output.from_input([manifest["metadata"]["name"] for manifest in manifests])
        self.register_outputs({"policies": self.policies})
