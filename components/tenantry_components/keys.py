"""The tenant's keys in OpenBao: its transit key, and its application's own secrets."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry_components.manifest import keeping
from tenantry_components.network_rules import CACHE, DATABASE
from tenantry_components.providers.openbao import KvSecrets, TransitKey
from tenantry_components.providers.own_server import OwnServer
from tenantry_components.trust import server_path

__all__ = ["Keys"]


class Keys(pulumi.ComponentResource):
    """spec: the tenant. Outputs: `transit_key`, its name. `ready`: who reads the secrets comes after it.

    No secret passes through here: OpenBao makes the key, the provider makes the secrets and never shows them.
    """

    def __init__(self, name: str, spec: TenantSpec, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tenantry:tenant:Keys", name, None, opts)
        openbao = spec.cell.spec.openbao
        kept = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self), keeping(spec))
        ready: list[pulumi.Resource] = [
            TransitKey("tenant", key_name=spec.names.transit_key, mount=openbao.transit_mount, opts=kept)
        ]
        if spec.workload.generated_secrets:
            ready.append(
                KvSecrets(
                    "application",
                    mount=openbao.kv_mount,
                    path=f"{spec.names.kv_path}/app",
                    generate=dict(spec.workload.generated_secrets),
                    opts=kept,
                )
            )
        if spec.database.tier is DatabaseTier.DEDICATED or spec.cache.dedicated:
            own_database = spec.database.tier is DatabaseTier.DEDICATED
            ready.append(
                OwnServer(
                    "server",
                    kv_mount=openbao.kv_mount,
                    path=server_path(spec),
                    hosts=[f"{server}.{spec.names.namespace}.svc" for server in (DATABASE, CACHE)],
                    database_mount=openbao.database_mount,
                    connection=spec.names.namespace if own_database else "",
                    address=f"{spec.database.host}:{spec.database.port}",
                    roles=[spec.names.database_role_a, spec.names.database_role_b],
                    # For a cache alone it opens no data, and a plan without a cache of its own does without it.
                    opts=kept if own_database else pulumi.ResourceOptions(parent=self),
                )
            )
        self.ready: Sequence[pulumi.Resource] = tuple(ready)
        self.transit_key = pulumi.Output.from_input(spec.names.transit_key)
        self.register_outputs({"transit_key": self.transit_key})
