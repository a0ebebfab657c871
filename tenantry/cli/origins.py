"""Tenants that begin from another's backup, in a cell without an operator; and the tenant as it is, for restores."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tenantry.fleet import Fleet
from tenantry.fleet.fitting import check_origin
from tenantry.fleet.tenant_objects import file_of
from tenantry.tenancy.document import Document, validate
from tenantry.tenancy.errors import InvalidInput, RunFailed, raise_together
from tenantry.tenancy.manifest import TenantFile, parse_tenant
from tenantry.tenancy.model import Tenant
from tenantry.tenancy.recovery import Restoration, parse_goal
from tenantry.tenancy.resolving import resolve
from tenantry.tenancy.spec import Activity, TenantSpec

if TYPE_CHECKING:
    from tenantry.fleet.tenant_objects import TenantObjects

__all__ = ["begin", "check_origins", "living", "new_from"]

Body = Mapping[str, Any]


def living(fleet: Fleet, tenant: Body | str) -> TenantSpec:
    """The tenant of an object, under the names that its status tells; or of a record. Raises InvalidInput."""
    if isinstance(tenant, str):
        return fleet.specs.of(fleet.record(tenant))
    file, status = file_of(tenant), tenant.get("status") or {}
    if not status.get("incarnation") or not status.get("release"):
        raise RunFailed(
            "the operator has not made it yet",
            where=file.tenant.metadata.name,
            hint=f"`tenantry tenant status {file.tenant.metadata.name} --wait`",
        )
    return resolve(
        file,
        catalogue=fleet.catalogue,
        cell=fleet.cell,
        incarnation=str(status["incarnation"]),
        managed_by="cli",
        # A test environment past its last day is still what it was.
        today=datetime.fromisoformat(str(tenant["metadata"]["creationTimestamp"])).date(),
        pinned_release=str(status["release"]),
        pinned_template_version=int(status["templateVersion"]),
    )


def new_from(fleet: Fleet, tenant: Body | str, name: str, goal: str) -> TenantFile:
    """The file of a new tenant like this one, with no host of its, that begins from its data."""
    if isinstance(tenant, str):
        record = fleet.record(tenant)
        origin = parse_tenant(record.manifest, source=record.source)
    else:
        origin = file_of(tenant)
    content = copy.deepcopy(dict(origin.document.content))
    spec = {key: value for key, value in content["spec"].items() if key not in ("hosts", "expiresOn", "origin")}
    spec["origin"] = {"tenant": origin.tenant.metadata.name, "backup": goal}
    content = {"apiVersion": content["apiVersion"], "kind": "Tenant", "metadata": {"name": name}, "spec": spec}
    document = Document(source=f"--as {name}", text=json.dumps(content, indent=1), content=content)
    return TenantFile(tenant=validate(document, Tenant, noun="the new tenant"), document=document)


def check_origins(fleet: Fleet, objects: TenantObjects | None, files: Sequence[TenantFile]) -> None:
    """Raises InvalidInput for new tenants that are to begin from one that the cell does not have."""

    def has(name: str) -> bool:
        return fleet.registry.get(name) is not None or (objects is not None and objects.get(name) is not None)

    refused = []
    for file in files:
        if not has(file.tenant.metadata.name):
            try:
                check_origin(file, has)
            except InvalidInput as error:
                refused.append(error)
    raise_together(refused, "tenants cannot begin")


def begin(fleet: Fleet, files: Sequence[TenantFile], *, progress: Callable[[str], None]) -> tuple[Restoration, ...]:
    """Make tenants that begin from a backup: their names and keys first, then the data, then the workload. Those whose
    data is there already, and those without an origin, are left alone. Gives the journals of what came. Raises
    RunFailed, and what stops a run."""
    from tenantry.recovery.restoring import Restoring

    begun = []
    for file in files:
        origin = file.tenant.spec.origin
        (spec,) = fleet.specs.resolve_all([file])
        if origin is None or spec.activity is not Activity.CLOSED:
            continue
        source = living(fleet, origin.tenant)
        _run(fleet, file, spec)
        restoring = Restoring(fleet, spec, origin=source, progress=progress)
        asked = f"{origin.tenant} {origin.backup}"
        with fleet.deletions.exclusive(spec.name), fleet.releases.exclusive(spec.name):
            known = restoring.journal()
            if known is None or known.ended_at is not None:
                restoring.request(asked, parse_goal(origin.backup))
            ended = restoring.advance()
        if ended.problem:
            raise RunFailed(
                f"the data did not come: {ended.problem}",
                where=spec.name,
                hint="nothing of its workload was started; change its origin and apply it again",
            )
        if ended.left_out:
            progress(f"{ended.left_out} did not come with it: docs/backups.md tells why")
        (spec,) = fleet.specs.resolve_all([file])
        _run(fleet, file, spec)
        begun.append(ended)
    return tuple(begun)


def _run(fleet: Fleet, file: TenantFile, spec: TenantSpec) -> None:
    (applied,) = fleet.up([(file, spec)])
    if applied.error is not None:
        raise applied.error
