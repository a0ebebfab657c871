"""The database as it was before a migration, kept until the release has ended."""

from __future__ import annotations

from contextlib import suppress

from tenantry.backup.catalogue import catalogue
from tenantry.backup.restoring import restore
from tenantry.recovery.identity import SNAPSHOTS, as_tenant
from tenantry.recovery.snapshots import let_go, put_back, snapshot
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.spec import DatabaseTier, TenantSpec

__all__ = ["forget", "keep_aside", "put_back_whole"]


def keep_aside(spec: TenantSpec) -> str | None:
    """The id of a snapshot taken now; None where the tenant's server is simulated and holds no data."""
    return snapshot(spec)


def put_back_whole(spec: TenantSpec, identifier: str) -> None:
    """Make the schema what it was then. It may be called again after a kill, until it has worked once."""
    if spec.database.tier is DatabaseTier.SHARED:
        put_back(spec, identifier)
        return
    # On a server of the tenant's own nobody may make a second schema to swap with: emptied, then filled.
    with as_tenant(spec, folder=SNAPSHOTS) as around:
        restore(around, catalogue(around.store).find(identifier), media_to=None, secrets_to=None, force=True)


def forget(spec: TenantSpec, identifier: str) -> None:
    """Let a snapshot go. Where that fails it goes by its age: no release fails for it."""
    with suppress(TenantryError):
        let_go(spec, identifier)
