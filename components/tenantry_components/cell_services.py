"""What a cell's shared services get once: OpenBao's engines, policies and logins, and the rule over the others.

Afterwards the administrators' passwords of MariaDB, RabbitMQ and Redis are known to OpenBao alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import Template

import pulumi

from tenantry.tenancy.cell import Cell
from tenantry_components.cell_cluster import REVIEWER, SYSTEM_NAMESPACE
from tenantry_components.providers.adoption import AdoptedRabbitMq, AdoptedRedis
from tenantry_components.providers.database_connection import DatabaseConnection
from tenantry_components.providers.mariadb_server import COPIER, OBSERVER, PROVISIONER
from tenantry_components.providers.openbao import DatabaseStaticRole
from tenantry_components.providers.openbao_cell import Authority, KubernetesAuth, KubernetesAuthRole, Mount, Policy
from tenantry_components.providers.rds_connection import RdsConnection
from tenantry_components.providers.token_role import TokenRole

__all__ = [
    "DEPROVISIONER_ROLE",
    "EGRESS_ACCOUNT",
    "EGRESS_ROLE",
    "OPERATOR_ACCOUNT",
    "PROVISIONER_ROLE",
    "TENANT_ROLE",
    "CellServices",
]

TENANT_ROLE = "tenant"
EGRESS_ROLE = "egress"
EGRESS_ACCOUNT = "egress"
"""The egress proxy's service account, in its namespace."""
PROVISIONER_ROLE = "provisioner"
DEPROVISIONER_ROLE = "deprovisioner"
OPERATOR_ACCOUNT = "tenantry-operator"
"""The operator's service account, in the system namespace."""
# OpenBao takes matchLabels alone. Tenants' namespaces have this label; the cell's own have another value.
_TENANT_SELECTOR = json.dumps({"matchLabels": {"app.kubernetes.io/managed-by": "tenantry"}})
_TOKEN_TTL_S = 3600
_ROTATION_DAYS = 1
_OPERATOR_PERIOD_S = 86_400
"""The operator renews its tokens for as long as it runs."""
_PROVISIONER_PERIOD_S = 30 * 86_400


class CellServices(pulumi.ComponentResource):
    """cell: the cell. policies: OpenBao policies by name, with ${…_mount} still to fill in: `tenant`, `egress`, ….
    renewal: see `KubernetesAuth`. after: the cluster's reviewer.

    `login`: what pods that log in come after.

    Tenants' stacks run as the provisioner, of the policy `tenantry-provisioner`: the operator logs in with its service
    account, people and the command line have tokens of the token role `tenantry-provisioner`.

    Outputs: `role`, by which tenants' pods log in; `connection`, the database's name in OpenBao.
    """

    def __init__(
        self,
        name: str,
        cell: Cell,
        *,
        policies: Mapping[str, str],
        renewal: str,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cell:Services", name, None, opts)
        openbao = cell.spec.openbao
        kept = pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True)
        mounts = {
            kind: Mount(kind, mount=mount, kind=kind, opts=kept)
            for kind, mount in (
                ("transit", openbao.transit_mount),
                ("kv", openbao.kv_mount),
                ("database", openbao.database_mount),
            )
        }
        authority = Authority(
            "authority", kv_mount=openbao.kv_mount, pem=cell.spec.ca_bundle, opts=self._after(mounts["kv"])
        )
        self.login = self._login(cell, policies, renewal, after)
        self._adopt(cell, mounts["database"], authority)
        self.role = pulumi.Output.from_input(TENANT_ROLE)
        self.connection = pulumi.Output.from_input(cell.spec.database.connection)
        self.register_outputs({"role": self.role, "connection": self.connection})

    def _after(self, *resources: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(resources))

    def _login(
        self, cell: Cell, policies: Mapping[str, str], renewal: str, after: Sequence[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        openbao = cell.spec.openbao
        inside = openbao.peer.namespace is not None
        method = KubernetesAuth(
            "kubernetes",
            mount=openbao.kubernetes_mount,
            reviewer="" if inside else f"{SYSTEM_NAMESPACE}/{REVIEWER}",
            renewal="" if inside else renewal,
            opts=self._after(*after),
        )
        names = {
            "cell": cell.metadata.name,
            "transit_mount": openbao.transit_mount,
            "kv_mount": openbao.kv_mount,
            "database_mount": openbao.database_mount,
        }
        made: list[pulumi.Resource] = [
            Policy(
                name,
                policy=f"tenantry-{name}",
                text=Template(text).safe_substitute(names),
                kubernetes_mount=openbao.kubernetes_mount,
                opts=self._after(method),
            )
            for name, text in sorted(policies.items())
        ]
        for role, namespaces, accounts, period_s in (
            (TENANT_ROLE, _TENANT_SELECTOR, ["*"], None),
            (EGRESS_ROLE, _only(cell.spec.egress.namespace), [EGRESS_ACCOUNT], None),
            (PROVISIONER_ROLE, _only(SYSTEM_NAMESPACE), [OPERATOR_ACCOUNT], _OPERATOR_PERIOD_S),
            (DEPROVISIONER_ROLE, _only(SYSTEM_NAMESPACE), [OPERATOR_ACCOUNT], _OPERATOR_PERIOD_S),
        ):
            made.append(
                KubernetesAuthRole(
                    role,
                    mount=openbao.kubernetes_mount,
                    role=role,
                    namespace_selector=namespaces,
                    service_accounts=accounts,
                    audience=openbao.audience,
                    policies=[f"tenantry-{role}"],
                    ttl_s=period_s or _TOKEN_TTL_S,
                    periodic=period_s is not None,
                    opts=self._after(method),
                )
            )
        return [
            *made,
            *(
                TokenRole(
                    role,
                    role=f"tenantry-{role}",
                    policies=[f"tenantry-{role}"],
                    period_s=_PROVISIONER_PERIOD_S,
                    opts=self._after(*made),
                )
                for role in (PROVISIONER_ROLE, DEPROVISIONER_ROLE)
            ),
        ]

    def _connection(self, cell: Cell, database_mount: pulumi.Resource) -> pulumi.Resource:
        openbao, database, aws = cell.spec.openbao, cell.spec.database, cell.spec.aws
        if aws is None:
            return DatabaseConnection(
                "database",
                mount=openbao.database_mount,
                connection=database.connection,
                host=database.host,
                port=database.port,
                authority=cell.spec.ca_bundle,
                copied=cell.spec.backups.physical is not None,
                opts=self._after(database_mount),
            )
        return RdsConnection(
            "database",
            mount=openbao.database_mount,
            connection=database.connection,
            host=database.host,
            port=database.port,
            secret=aws.database_secret,
            region=aws.region,
            authority=cell.spec.ca_bundle,
            roles=("tenantry-*", "t-*"),
            provisioner=PROVISIONER,
            observed=True,
            opts=self._after(database_mount),
        )

    def _adopt(self, cell: Cell, database_mount: pulumi.Resource, authority: pulumi.Resource) -> None:
        openbao, database = cell.spec.openbao, cell.spec.database
        connection = self._connection(cell, database_mount)
        accounts = [("provisioner", PROVISIONER), ("observer", OBSERVER)]
        if cell.spec.backups.physical is not None:
            accounts.append(("copier", COPIER))
        for name, account in accounts:
            DatabaseStaticRole(
                name,
                mount=openbao.database_mount,
                role=account,
                connection=database.connection,
                username=account,
                rotation_days=_ROTATION_DAYS,
                opts=self._after(connection),
            )
        AdoptedRabbitMq(
            "messaging",
            management_url=cell.spec.messaging.management_url,
            kv_mount=openbao.kv_mount,
            opts=self._after(authority),
        )
        if cell.spec.aws is not None:
            return  # ElastiCache has no administrator's login; its users are made by AWS's own API
        AdoptedRedis(
            "cache",
            host=cell.spec.cache.host,
            port=cell.spec.cache.port,
            kv_mount=openbao.kv_mount,
            opts=self._after(authority),
        )


def _only(namespace: str) -> str:
    """The selector of one namespace by its name."""
    return json.dumps({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
