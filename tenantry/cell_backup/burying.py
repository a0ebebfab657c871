"""What a restored cell still needs: passwords that fit, and tenants that were deleted since are deleted again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import ValidationError

from tenantry.deprovisioning import Deprovisioning
from tenantry.engine.cluster import Cluster, connect
from tenantry.fleet import Fleet
from tenantry.openbao import openbao
from tenantry.tenancy.deletion import Tombstone
from tenantry.tenancy.errors import InvalidInput
from tenantry_components.providers.mariadb_server import shared_server

__all__ = ["bury_again", "read_tombstones", "renew_passwords"]


_MERGE = "application/merge-patch+json"


def read_tombstones(folder: Path) -> tuple[Tombstone, ...]:
    """Tombstones kept outside the cell. Raises InvalidInput for a folder or a file that is not right."""
    if not folder.is_dir():
        raise InvalidInput("there is no such folder", source=str(folder), hint="name one with a cell's tombstones")
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Tombstone.model_validate_json(path.read_bytes()))
        except (ValidationError, OSError):
            raise InvalidInput("this is not a tombstone", source=str(path), hint="take it out of the folder") from None
    return tuple(found)


def renew_passwords(fleet: Fleet, *, copier: str, progress: Callable[[str], None]) -> int:
    """Set the password of every database account anew, under an administrator's token, and drop the account that the
    copy was made under; how many. What OpenBao rotated between the two copies fits again then."""
    mount = fleet.cell.spec.openbao.database_mount
    roles = openbao().names(f"{mount}/static-roles")
    for role in roles:
        openbao().write(f"{mount}/rotate-role/{role}")
    with shared_server(fleet.cell).session() as session:
        session.execute("DROP USER IF EXISTS %s@'%%'", (copier,))
    progress(f"passwords of {len(roles)} database accounts set anew")
    return len(roles)


def _forget_object(cluster: Cluster, name: str) -> None:
    """Its Tenant object came back too, and an operator would make the tenant anew of it."""
    path = f"/apis/tenantry.dev/v1alpha1/tenants/{name}"
    if cluster.get(path) is not None:
        cluster.request("PATCH", path, body={"metadata": {"finalizers": None}}, content_type=_MERGE)
        cluster.request("DELETE", path)


def bury_again(fleet: Fleet, tombstones: Iterable[Tombstone], *, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Delete tenants that have a tombstone, of this very life, and are in the cell all the same; who they were.

    Raises what stands in the way; call it again then."""
    buried = []
    for tombstone in tombstones:
        record = fleet.registry.get(tombstone.name)
        known = fleet.deletions.get(tombstone.name)
        alive = record is not None and record.incarnation == tombstone.incarnation
        if not alive and (known is None or known.incarnation != tombstone.incarnation):
            continue
        deprovisioning = Deprovisioning(fleet)
        if alive:
            _forget_object(connect({}), tombstone.name)
            deprovisioning.repeat(tombstone.name, by="a restore of the cell")
        progress(f"{tombstone.name} was deleted on {tombstone.erased_at:%Y-%m-%d}: deleting it again")
        advanced = deprovisioning.advance(tombstone.name, progress=progress)
        if advanced.error is not None:
            raise advanced.error
        buried.append(tombstone.namespace)
    return tuple(buried)
