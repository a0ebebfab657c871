"""The tenant's database, by tier: a schema on the cell's server, a server of its own, or an instance at AWS."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry_components.manifest import keeping
from tenantry_components.own_database import own_database
from tenantry_components.providers.mariadb import Account, Schema
from tenantry_components.providers.mariadb_server import rds_provisioner
from tenantry_components.providers.openbao import DatabaseStaticRole

__all__ = ["Database"]


class Database(pulumi.ComponentResource):
    """spec: the tenant. after: the fence of its namespace, for a server of its own.

    Outputs: `schema`, `host`, `tier`. `ready`: who logs in comes after it. Passwords belong to OpenBao's static roles
    from the first moment; they are in no input and no output.
    """

    def __init__(
        self,
        name: str,
        spec: TenantSpec,
        *,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:tenant:Database", name, None, opts)
        match spec.database.tier:
            case DatabaseTier.SHARED:
                self.ready = self._schema(spec, host=spec.database.host, connection=spec.cell.spec.database.connection)
            case DatabaseTier.DEDICATED:
                self.ready = own_database(spec, parent=self, after=after)
            case DatabaseTier.RDS:
                # Importing the AWS SDK costs every other tenant's run a second and 100 MiB.
                from tenantry_components.rds import rds_server

                server = rds_server(spec, parent=self, after=after)
                inside = self._schema(
                    spec,
                    host=server.host,
                    connection=spec.names.namespace,
                    provisioner=rds_provisioner(spec.names.namespace),
                    after=server.ready,
                )
                self.ready = (*server.ready, *inside)
        self.schema = pulumi.Output.from_input(spec.names.schema)
        self.host = pulumi.Output.from_input(spec.database.host)
        self.tier = pulumi.Output.from_input(spec.database.tier.value)
        self.register_outputs({"schema": self.schema, "host": self.host, "tier": self.tier})

    def _schema(
        self,
        spec: TenantSpec,
        *,
        host: pulumi.Input[str],
        connection: str,
        provisioner: str | None = None,
        after: Sequence[pulumi.Resource] = (),
    ) -> Sequence[pulumi.Resource]:
        """The schema and its accounts on a server that stands. connection: its name in OpenBao. provisioner: see
        `Schema`. after: the server."""
        openbao = spec.cell.spec.openbao
        here = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        schema = Schema(
            "tenant",
            host=host,
            port=spec.database.port,
            schema=spec.names.schema,
            kv_mount=openbao.kv_mount,
            database_mount=openbao.database_mount,
            provisioner=provisioner,
            opts=pulumi.ResourceOptions.merge(here, keeping(spec)),
        )
        ready: list[pulumi.Resource] = [schema]
        for letter, username, role in (
            ("a", spec.names.account_a, spec.names.database_role_a),
            ("b", spec.names.account_b, spec.names.database_role_b),
        ):
            account = Account(
                f"account-{letter}",
                host=host,
                port=spec.database.port,
                username=username,
                schema=spec.names.schema,
                max_connections=spec.database.connections,
                kv_mount=openbao.kv_mount,
                database_mount=openbao.database_mount,
                provisioner=provisioner,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[schema]),
            )
            static_role = DatabaseStaticRole(
                f"role-{letter}",
                mount=openbao.database_mount,
                role=role,
                connection=connection,
                username=username,
                rotation_days=spec.database.rotation_days,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[account]),
            )
            ready += [account, static_role]
        return tuple(ready)
