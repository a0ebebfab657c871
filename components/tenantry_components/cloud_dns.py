"""The region's zone in Route 53. Each tenant's hosts become records in it by external-dns, which reads its Ingress."""

from __future__ import annotations

import pulumi
from pulumi_aws import route53

from tenantry.tenancy.cloud import Cloud

__all__ = ["CloudDns"]


class CloudDns(pulumi.ComponentResource):
    """cloud: the cell. Outputs: `zone_id`; `name_servers`, to which the zone above has to delegate."""

    def __init__(self, name: str, cloud: Cloud, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:cloud:Dns", name, None, opts)
        zone = route53.Zone(
            "tenants",
            name=cloud.spec.domain,
            comment=f"Tenants of cell {cloud.metadata.name} in {cloud.spec.region}",
            force_destroy=False,
            tags=cloud.tags("dns"),
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        self.zone_id = zone.zone_id
        self.name_servers = zone.name_servers
        self.register_outputs({"zone_id": self.zone_id, "name_servers": self.name_servers})
