"""Who makes and drops schemas beside a tenant's: the provisioner on the cell's server or one at Amazon, and on a server
in the tenant's own namespace the tenant itself, which has no neighbour there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from tenantry.backup.database import Database
from tenantry.backup.surroundings import Surroundings
from tenantry.tenancy.spec import DatabaseTier, TenantSpec
from tenantry_components.providers.mariadb_server import (
    DROP_S,
    PROVISIONER,
    MariaDbServer,
    rds_provisioner,
    server,
)

__all__ = ["Keeper", "Statements", "database_server_of", "itself", "keeper_of"]


class Statements(Protocol):
    def execute(self, statement: str, arguments: Sequence[object] = ()) -> tuple[tuple[Any, ...], ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """session: opens one. grants: whether the tenant's account must be given the schemas, and they be taken from it;
    else it has had them since its server began."""

    session: Callable[[], AbstractContextManager[Statements]]
    grants: bool


def keeper_of(spec: TenantSpec, around: Surroundings) -> Keeper:
    """around: the tenant's."""
    if spec.database.tier is DatabaseTier.DEDICATED:
        return Keeper(session=lambda: itself(around.database), grants=False)
    return Keeper(session=database_server_of(spec).session, grants=True)


def database_server_of(spec: TenantSpec) -> MariaDbServer:
    """The server that the tenant is on, the cell's or its own at Amazon, as the provisioner."""
    openbao = spec.cell.spec.openbao
    own = spec.database.tier is DatabaseTier.RDS
    return server(
        host=spec.database.host,
        port=spec.database.port,
        database_mount=openbao.database_mount,
        kv_mount=openbao.kv_mount,
        role=rds_provisioner(spec.names.namespace) if own else PROVISIONER,
        patience_s=DROP_S,
    )


@contextmanager
def itself(database: Database) -> Iterator[Statements]:
    """Sessions of the tenant's own account."""
    with database.session() as (session, _):
        yield session
