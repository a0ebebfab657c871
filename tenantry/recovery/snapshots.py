"""A tenant's database kept aside before something risky, and put back when that went wrong.

For releases and restores: the caller has stopped the workload, keeps the id in its journal, and lets the snapshot go
when it is not needed any more. A snapshot is a backup like any other, but for retention, which does not count it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tenantry.backup.catalogue import catalogue, remove
from tenantry.backup.manifest import taken_at
from tenantry.backup.taking import take
from tenantry.recovery.identity import SNAPSHOTS, as_tenant, holds_data
from tenantry.recovery.keeper import keeper_of
from tenantry.recovery.schema import SchemaRestore
from tenantry.tenancy.spec import TenantSpec

__all__ = ["let_go", "put_back", "snapshot"]

_FORGOTTEN = timedelta(days=7)
"""A snapshot that nobody let go is let go after this time, when the next one is taken."""


def snapshot(spec: TenantSpec) -> str | None:
    """Take one now and return its id; None where the tenant's server is simulated and holds no data.

    Raises Locked while another backup or restore holds the schema, DependencyUnavailable while it cannot be taken;
    nothing is left behind then. Called again, it takes another one.
    """
    if not holds_data(spec):
        return None
    with as_tenant(spec, folder=SNAPSHOTS) as around:
        manifest, _ = take(around, retain=False)
        found = catalogue(around.store)
        for identifier in [one.id for one in found.whole]:
            if datetime.now(UTC) - taken_at(identifier) > _FORGOTTEN:
                remove(around.store, found, identifier)
    return manifest.id


def put_back(spec: TenantSpec, identifier: str) -> None:
    """Make the tenant's schema what it was when the snapshot was taken. The workload must be stopped.

    A kill at any moment leaves the tables as they were or as they are to be, never mixed; then call it again. Raises
    InvalidInput for an unknown id, Locked, DependencyUnavailable, RunFailed.
    """
    with as_tenant(spec, folder=SNAPSHOTS) as around:
        manifest = catalogue(around.store).find(identifier)
        schema = SchemaRestore(around, keeper_of(spec, around))
        with schema.locked():
            schema.load(manifest)
            definitions = schema.definitions()
            schema.swap(identifier)
            schema.define(definitions)
            schema.clean()


def let_go(spec: TenantSpec, identifier: str) -> None:
    """Remove a snapshot; absent is success."""
    with as_tenant(spec, folder=SNAPSHOTS) as around:
        remove(around.store, catalogue(around.store), identifier)
