"""The tenant's cache: an account with a key prefix on the cell's Redis, or a Redis of its own."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.manifest import register
from tenantry_components.own_server import cache_manifests
from tenantry_components.providers.openbao import KvSecrets
from tenantry_components.providers.redis_acl import CacheUser

__all__ = ["Cache"]


class Cache(pulumi.ComponentResource):
    """spec: the tenant. after: the fence and the keys, for a server of its own.

    Outputs: `host`; `prefix`, which every key must have. `ready`: who logs in comes after it.
    """

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Cache", name, None, opts)
        self.ready: Sequence[pulumi.Resource] = self._own(spec, after) if spec.cache.dedicated else self._shared(spec)
        self.host = pulumi.Output.from_input(spec.cache.host)
        self.prefix = pulumi.Output.from_input(spec.names.cache_prefix)
        self.register_outputs({"host": self.host, "prefix": self.prefix})

    def _shared(self, spec: TenantSpec) -> Sequence[pulumi.Resource]:
        user = CacheUser(
            "cache",
            host=spec.cache.host,
            port=spec.cache.port,
            username=spec.names.cache_user,
            prefix=spec.names.cache_prefix,
            kv_mount=spec.cell.spec.openbao.kv_mount,
            kv_path=spec.names.kv_path,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return (user,)

    def _own(self, spec: TenantSpec, after: Sequence[pulumi.Resource]) -> Sequence[pulumi.Resource]:
        # The account's name is random as well: nobody has to know it but who reads it in OpenBao.
        login = KvSecrets(
            "cache",
            mount=spec.cell.spec.openbao.kv_mount,
            path=f"{spec.names.kv_path}/{spec.cache.login}",
            generate={"username": 8, "password": 32},
            opts=pulumi.ResourceOptions(parent=self),
        )
        *others, server = cache_manifests(spec)
        standing = [register(manifest, parent=self, after=after) for manifest in others]
        return (login, *standing, register(server, parent=self, after=[*after, login, *standing]))
