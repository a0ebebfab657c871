"""What is there before it is erased, for the certificate: counts and sizes, never content."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tenantry.backup.catalogue import catalogue
from tenantry.backup.store import cell_store
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_stack
from tenantry.openbao import openbao
from tenantry.recovery.identity import as_tenant, holds_data
from tenantry.recovery.keeper import Statements, keeper_of
from tenantry.tenancy.deletion import Deletion, DestroyedKey
from tenantry.tenancy.errors import DependencyUnavailable, RunFailed
from tenantry.tenancy.naming import names
from tenantry.tenancy.spec import DatabaseTier
from tenantry_components.providers.mariadb_server import shared_server

__all__ = ["keys_of", "survey"]


def survey(fleet: Fleet, deletion: Deletion) -> dict[str, Any]:
    """Resources by kind, the schema's tables and bytes, backups. Raises DependencyUnavailable."""
    derived = names(deletion.name, deletion.incarnation)
    state = fleet.engine.export(tenant_stack(deletion.name, deletion.incarnation, fleet.backend)).get("deployment")
    kinds = Counter(
        str(one["type"]).rsplit(":", 1)[-1]
        for one in (state or {}).get("resources") or ()
        if one.get("custom") and not str(one["type"]).startswith("pulumi:providers:")
    )
    found = catalogue(cell_store(fleet.cell.spec, derived.backup_prefix))
    return {
        "resources": dict(sorted(kinds.items())),
        "database": _schema(fleet, deletion),
        "backups": {
            "whole": len(found.whole),
            "damaged": len(found.damaged),
            "bytes": sum(manifest.size for manifest in found.whole),
        },
    }


def keys_of(fleet: Fleet, deletion: Deletion) -> tuple[DestroyedKey, ...]:
    """The tenant's key and its state's, with their versions; a key that is not there is left out."""
    mount = fleet.cell.spec.openbao.transit_mount
    derived = names(deletion.name, deletion.incarnation)
    found = []
    # The engine keeps its keys at its own mount.
    for path in (f"{mount}/keys/{derived.transit_key}", f"transit/keys/{derived.state_key}"):
        key = openbao().read(path)
        if key is not None:
            versions = {str(version): _when(made) for version, made in key["keys"].items()}
            found.append(DestroyedKey(name=path.replace("/keys/", "/"), versions=versions))
    return tuple(found)


def _schema(fleet: Fleet, deletion: Deletion) -> dict[str, Any]:
    """The tenant's schema. A server of its own that is out of order holds up no deletion: its note says so."""
    spec = fleet.specs.of(fleet.record(deletion.name))
    if spec.database.tier is DatabaseTier.SHARED:
        with shared_server(fleet.cell).session() as session:
            return _counted(session, spec.names.schema)
    if not holds_data(spec):
        return _uncounted("the tenant's own database server was simulated and never held data")
    try:
        with as_tenant(spec) as around, keeper_of(spec, around).session() as session:
            return _counted(session, spec.names.schema)
    except (DependencyUnavailable, RunFailed) as error:
        return _uncounted(f"the tenant's own database server could not be asked: {error.message}")


def _counted(session: Statements, schema: str) -> dict[str, Any]:
    (row,) = session.execute(
        "SELECT COUNT(*), COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0), "
        "(SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s) "
        "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
        (schema, schema),
    )
    tables, size, present = (int(value) for value in row)
    return {"schema": schema if present else None, "tables": tables, "bytes": size, "note": ""}


def _uncounted(note: str) -> dict[str, Any]:
    return {"schema": None, "tables": None, "bytes": None, "note": note}


def _when(made: object) -> str:
    """When a version was made: OpenBao gives seconds for symmetric keys, an object with a time for others."""
    return str(made["creation_time"] if isinstance(made, dict) else made)
