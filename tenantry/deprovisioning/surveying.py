"""What is there before it is erased, for the certificate: counts and sizes, never content."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tenantry.backup.catalogue import catalogue
from tenantry.backup.store import cell_store
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_stack
from tenantry.openbao import openbao
from tenantry.tenancy.deletion import Deletion, DestroyedKey
from tenantry.tenancy.naming import names
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
        "database": _schema(fleet, derived.schema),
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


def _schema(fleet: Fleet, schema: str) -> dict[str, Any]:
    """The schema on the shared server; a server of the tenant's own goes with its volume and has no numbers here."""
    server = shared_server(fleet.cell)
    with server.session() as session:
        (row,) = session.execute(
            "SELECT COUNT(*), COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0), "
            "(SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s) "
            "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s",
            (schema, schema),
        )
    tables, size, present = (int(value) for value in row)
    return {"schema": schema if present else None, "tables": tables, "bytes": size}


def _when(made: object) -> str:
    """When a version was made: OpenBao gives seconds for symmetric keys, an object with a time for others."""
    return str(made["creation_time"] if isinstance(made, dict) else made)
