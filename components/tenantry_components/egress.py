"""What the cell's egress proxy lets this tenant reach: the hosts that its file declares, and nothing more.

The list and a hash of the tenant's password are one entry in OpenBao, which only the proxy's agent reads and only the
engine writes. The tenant's pods read the password, and cannot change the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.egress_login import egress_path
from tenantry_components.network_rules import port_of
from tenantry_components.providers.egress_entry import EgressEntry

__all__ = ["Egress", "allowed_hosts"]


class Egress(pulumi.ComponentResource):
    """spec: the tenant. Outputs: `hosts`, each `host:port`. `ready`: pods that render the login come after it."""

    def __init__(self, name: str, spec: TenantSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:tenant:Egress", name, None, opts)
        hosts = allowed_hosts(spec)
        entry = EgressEntry(
            "egress",
            namespace=spec.names.namespace,
            hosts=hosts,
            kv_mount=spec.cell.spec.openbao.kv_mount,
            kv_path=egress_path(spec),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready: Sequence[pulumi.Resource] = (entry,)
        self.hosts = pulumi.Output.from_input(list(hosts))
        self.register_outputs({"hosts": self.hosts})


def allowed_hosts(spec: TenantSpec) -> tuple[str, ...]:
    """Each `host:port`, sorted. A backup store outside of the cell's network is among them: copies take this way."""
    hosts = {f"{integration.host}:{integration.port}" for integration in spec.integrations}
    backups = spec.cell.spec.backups
    if spec.backup.enabled and backups.kind == "s3" and backups.peer is None:
        hosts.add(f"{urlsplit(backups.url).hostname}:{port_of(backups.url)}")
    return tuple(sorted(hosts))
