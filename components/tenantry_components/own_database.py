"""A database server of the tenant's own, and OpenBao's hold on its accounts."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from tenantry.tenancy.spec import TenantSpec
from tenantry_components.manifest import keeping, register
from tenantry_components.own_server import database_manifests
from tenantry_components.providers.openbao import DatabaseStaticRole

__all__ = ["own_database"]


def own_database(
    spec: TenantSpec, *, parent: pulumi.Resource, after: Sequence[pulumi.Resource]
) -> Sequence[pulumi.Resource]:
    """Declare the server as children of `parent`, after the fence and what OpenBao holds for it.

    Where nodes are simulated there is no server to log in to, so OpenBao cannot take over the accounts: the roles are
    left out, and the tenant's condition `WorkloadSimulated` says that nothing of it runs.
    """
    claim, *others, server = database_manifests(spec)
    volume = register(claim, parent=parent, after=after, options=keeping(spec))
    standing = [volume, *(register(manifest, parent=parent, after=after) for manifest in others)]
    running = register(server, parent=parent, after=[*after, *standing], options=keeping(spec))
    ready: list[pulumi.Resource] = [*standing, running]
    if not spec.login_kept:
        return tuple(ready)
    for letter, username, role in (
        ("a", spec.names.account_a, spec.names.database_role_a),
        ("b", spec.names.account_b, spec.names.database_role_b),
    ):
        ready.append(
            DatabaseStaticRole(
                f"role-{letter}",
                mount=spec.cell.spec.openbao.database_mount,
                role=role,
                connection=spec.names.namespace,
                username=username,
                rotation_days=spec.database.rotation_days,
                opts=pulumi.ResourceOptions(parent=parent, depends_on=[running]),
            )
        )
    return tuple(ready)
