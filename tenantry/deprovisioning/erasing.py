"""The steps that erase: each acts by exact names, looks again, and raises when something is still there.

The stack's own destroy comes first and removes nearly everything. The others do the same for each system by names
alone, so that they also finish what a lost or damaged state no longer names; on what is gone they do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tenantry.backup.store import cell_store
from tenantry.engine.cluster import ApiError, connect
from tenantry.engine.interface import OnEvent
from tenantry.fleet import Fleet
from tenantry.fleet.deletions import KIND
from tenantry.fleet.operations import Operations
from tenantry.fleet.programs import tenant_stack
from tenantry.openbao import Absent, OpenBaoServer, Refused, openbao
from tenantry.recovery.schema import SCRATCH_SUFFIXES
from tenantry.tenancy.deletion import Deletion, Step
from tenantry.tenancy.errors import DependencyUnavailable, InvalidInput, RunFailed
from tenantry.tenancy.naming import names
from tenantry.tenancy.spec import DeletionPolicy, Names
from tenantry_components.providers import rabbitmq_server
from tenantry_components.providers.egress_entry import ENTRIES
from tenantry_components.providers.mariadb import AccountProvider, SchemaProvider
from tenantry_components.providers.mariadb_server import shared_server
from tenantry_components.providers.openbao import DatabaseStaticRoleProvider, TransitKeyProvider
from tenantry_components.providers.redis_acl import CacheUserProvider

__all__ = ["STEPS", "Erasing"]

_NAMESPACE_S = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasing:
    """What a step works with."""

    fleet: Fleet
    deletion: Deletion
    authority: OpenBaoServer
    """OpenBao as the deprovisioner."""
    on_event: OnEvent | None

    @property
    def names(self) -> Names:
        return names(self.deletion.name, self.deletion.incarnation)


def _stack(work: Erasing) -> None:
    stack = tenant_stack(work.deletion.name, work.deletion.incarnation, work.fleet.backend)
    work.fleet.engine.destroy(stack, lift_protection=True, on_event=work.on_event)


def _database(work: Erasing) -> None:
    """Roles before accounts: a role without its account would keep trying to rotate a password."""
    keys, server = work.fleet.cell.spec.openbao, work.fleet.cell.spec.database
    for role in (work.names.database_role_a, work.names.database_role_b):
        DatabaseStaticRoleProvider().delete(
            "",
            {
                "mount": keys.database_mount,
                "role": role,
                "connection": server.connection,
                "username": work.names.account_a,
                "rotation_days": 1,
            },
        )
    # The connection to a database server of the tenant's own.
    openbao().delete(f"{keys.database_mount}/config/{work.names.namespace}")
    place: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "schema": work.names.schema,
        "kv_mount": keys.kv_mount,
        "database_mount": keys.database_mount,
    }
    for username in (work.names.account_a, work.names.account_b):
        account = {**place, "username": username, "max_connections": 1, "grants": "exact"}
        if AccountProvider().read(username, account).id:
            AccountProvider().delete(username, account)
    # Scratch schemas of a restore that was cut off go with it.
    schemas = (work.names.schema, *(work.names.schema + suffix for suffix in SCRATCH_SUFFIXES))
    for schema in schemas:
        SchemaProvider().delete("", {**place, "schema": schema})
    with shared_server(work.fleet.cell).session() as session:
        left = session.execute(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN %s "
            "UNION ALL SELECT User FROM mysql.global_priv WHERE User IN (%s, %s)",
            (schemas, work.names.account_a, work.names.account_b),
        )
    _require_gone("MariaDB", [str(row[0]) for row in left])


def _messaging(work: Erasing) -> None:
    cell = work.fleet.cell.spec
    rabbit = rabbitmq_server.server(url=cell.messaging.management_url, kv_mount=cell.openbao.kv_mount)
    # The user first: nobody publishes into what is being dropped.
    wanted = (("users", work.names.messaging_user), ("vhosts", work.names.messaging_vhost))
    for path in wanted:
        rabbit.delete(*path)
    _require_gone("RabbitMQ", ["/".join(path) for path in wanted if rabbit.get(*path) is not None])


def _cache(work: Erasing) -> None:
    cell = work.fleet.cell.spec
    user = {
        "host": cell.cache.host,
        "port": cell.cache.port,
        "username": work.names.cache_user,
        "prefix": work.names.cache_prefix,
        "rules": "exact",
        "kv_mount": cell.openbao.kv_mount,
        "kv_path": work.names.kv_path,
    }
    CacheUserProvider().delete("", user)
    _require_gone("Redis", [work.names.cache_user] if CacheUserProvider().read("-", user).id else [])


def _namespace(work: Erasing) -> None:
    cluster, path = connect({}), f"/api/v1/namespaces/{work.names.namespace}"
    if cluster.get(path) is None:
        return
    try:
        cluster.request("DELETE", path, query={"propagationPolicy": "Background"})
    except ApiError as error:
        if error.status not in {404, 409}:  # 409: it is being deleted already
            raise RunFailed(
                f"the API server refuses to delete it ({error.status} {error.reason})", where=path
            ) from None
    left = Retrying(
        retry=retry_if_result(lambda one: one is not None),
        stop=stop_after_delay(_NAMESPACE_S),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )(cluster.get, path)
    if left is not None:
        reasons = [
            str(one.get("message"))
            for one in (left.get("status") or {}).get("conditions") or ()
            if one.get("status") == "True"
        ]
        raise DependencyUnavailable(
            f"the namespace is still being deleted: {' '.join(reasons) or 'its objects are going'}",
            where=work.names.namespace,
            hint="finalizers of its objects hold it; their controllers must run",
        )


def _leases(work: Erasing) -> None:
    """Tokens that the tenant's service accounts got, and the identities that OpenBao made for them. The namespace is
    gone, so no account of it can log in again."""
    bao, namespace = work.authority, work.names.namespace
    for accessor in _listed(bao, "auth/token/accessors"):
        if _namespace_of(bao, accessor) == namespace:
            bao.write("auth/token/revoke-accessor", {"accessor": accessor})
    for entity in _entities(bao, namespace):
        bao.delete(f"identity/entity/id/{entity}")
    _require_gone("OpenBao", [f"identity {entity}" for entity in _entities(bao, namespace)])


def _secrets(work: Erasing) -> None:
    bao, mount = work.authority, work.fleet.cell.spec.openbao.kv_mount
    for path in (*_secret_paths(bao, mount, work.names.kv_path), f"{ENTRIES}/{work.names.namespace}"):
        bao.kv_destroy(mount, path)
    _require_gone("OpenBao", list(_secret_paths(bao, mount, work.names.kv_path)))


def _keys(work: Erasing) -> None:
    key = {"key_name": work.names.transit_key, "mount": work.fleet.cell.spec.openbao.transit_mount}
    TransitKeyProvider().delete("", key)
    _require_gone("OpenBao", [work.names.transit_key] if TransitKeyProvider().read("-", key).id else [])


def _copies(work: Erasing) -> None:
    """The tenant's backups go now, or with their last day. Half-written files of killed runs go either way."""
    copies = work.fleet.cell.spec.copies
    store = cell_store(work.fleet.cell.spec, work.names.backup_prefix)
    store.sweep()
    if work.deletion.policy is DeletionPolicy.DELETE or copies.tenant_backup_days == 0:
        store.delete([one.name for one in store.objects()])
        _require_gone("the backup store", [store.where(one.name) for one in store.objects()][:1])


def _state(work: Erasing) -> None:
    work.fleet.engine.remove(tenant_stack(work.deletion.name, work.deletion.incarnation, work.fleet.backend))


def _record(work: Erasing) -> None:
    work.fleet.registry.forget(work.deletion.name)
    Operations(work.fleet.folder, work.names.namespace).forget(but=KIND)


STEPS: dict[Step, Callable[[Erasing], None]] = {
    Step.STACK: _stack,
    Step.DATABASE: _database,
    Step.MESSAGING: _messaging,
    Step.CACHE: _cache,
    Step.NAMESPACE: _namespace,
    Step.LEASES: _leases,
    Step.SECRETS: _secrets,
    Step.KEYS: _keys,
    Step.COPIES: _copies,
    Step.STATE: _state,
    Step.RECORD: _record,
}


def _require_gone(system: str, left: list[str]) -> None:
    if left:
        raise RunFailed(
            f"{system} still has {', '.join(left)} after it was deleted",
            where=left[0],
            hint="something makes it again, or the account may not delete it; the step is repeated",
        )


def _listed(bao: OpenBaoServer, path: str) -> list[str]:
    return list((bao.read(f"{path}?list=true") or {}).get("keys") or ())


def _namespace_of(bao: OpenBaoServer, accessor: str) -> str | None:
    """The namespace whose service account got this token; None for another's, and for one that has just run out."""
    try:
        token = bao.write("auth/token/lookup-accessor", {"accessor": accessor})
    except (InvalidInput, Refused, Absent):
        return None
    found = (token.get("meta") or {}).get("service_account_namespace")
    return None if found is None else str(found)


def _secret_paths(bao: OpenBaoServer, mount: str, folder: str) -> Iterator[str]:
    """Every secret below a tenant's own folder, however deep."""
    for name in _listed(bao, f"{mount}/metadata/{folder}"):
        if name.endswith("/"):
            yield from _secret_paths(bao, mount, f"{folder}/{name.rstrip('/')}")
        else:
            yield f"{folder}/{name}"


def _entities(bao: OpenBaoServer, namespace: str) -> list[str]:
    """Identities of the namespace's service accounts; only the identity itself says whose it is."""
    return [
        entity
        for entity in _listed(bao, "identity/entity/id")
        if any(
            (alias.get("metadata") or {}).get("service_account_namespace") == namespace
            for alias in (bao.read(f"identity/entity/id/{entity}") or {}).get("aliases") or ()
        )
    ]
