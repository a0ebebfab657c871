"""Deleting and taking back a tenant whose object an operator keeps: the wish stands on the object, the rest is waited
for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tenantry.cli.declaring import follow
from tenantry.cli.live import LiveTenants
from tenantry.fleet import Fleet
from tenantry.tenancy.conditions import ConditionType, Reason, Status, read
from tenantry.tenancy.deletion import DELETE, DELETE_NOW, DELETE_REQUESTED, UNDELETE, check_deletable
from tenantry.tenancy.errors import InvalidInput, RunFailed
from tenantry.tenancy.standing import Standing

if TYPE_CHECKING:
    from tenantry.fleet.tenant_objects import TenantObjects

__all__ = ["ask_for_deletion", "await_deletion", "take_back"]


def ask_for_deletion(fleet: Fleet, objects: TenantObjects, body: Mapping[str, Any], *, now: bool) -> None:
    """Write the wish. Raises Conflict for a tenant that is protected or must have its grace."""
    from tenantry.fleet.tenant_objects import file_of

    tenant = file_of(body).tenant
    environment = fleet.catalogue.environments[tenant.spec.environment]
    policy = tenant.spec.deletion_policy or environment.spec.deletion_policies[0]
    check_deletable(tenant.metadata.name, policy, environment, now=now)
    objects.annotate(body, **{DELETE: DELETE_NOW if now else DELETE_REQUESTED})


def await_deletion(objects: TenantObjects, name: str, *, timeout_s: float, quiet: bool) -> str:
    """Wait until it is closed for its grace period, or gone: then "". Else what its status says of it."""

    def closed(body: dict[str, Any], standing: Standing) -> bool:
        return standing.trouble is not None or (_resting(body) and _deleting(body).get("reason") == _GRACE)

    with LiveTenants(quiet=quiet) as live:
        for _, body, standing in follow(objects, [name], timeout_s=timeout_s, tell=live, until=closed):
            if standing.trouble is not None:
                raise standing.trouble
            if body and not closed(body, standing):
                raise _late(name, timeout_s, standing)
            return str(_deleting(body).get("message") or "") if body else ""
    return ""


def take_back(objects: TenantObjects, body: Mapping[str, Any], *, timeout_s: float, quiet: bool) -> None:
    """Take the wish back, and wait until the tenant runs again. Raises InvalidInput where nothing is to be taken back,
    RunFailed when it takes too long."""
    name, metadata = str(body["metadata"]["name"]), body["metadata"]
    if metadata.get("deletionTimestamp"):
        objects.annotate(body, **{UNDELETE: "requested"})
    elif DELETE in (metadata.get("annotations") or {}):
        objects.annotate(body, **{DELETE: None})
    elif not _deleting(body):
        raise InvalidInput(f"tenant {name} is not being deleted", source=name)

    def back(body: dict[str, Any], standing: Standing) -> bool:
        alive = bool(body) and not body["metadata"].get("deletionTimestamp") and not _deleting(body)
        return alive and (standing.reached or standing.trouble is not None)

    with LiveTenants(quiet=quiet) as live:
        watched = follow(objects, [name], timeout_s=timeout_s, tell=live, until=back, gone_ends=False)
        for _, found, standing in watched:
            if not back(found, standing):
                raise _late(name, timeout_s, standing)
            if standing.trouble is not None:
                raise standing.trouble


_GRACE = Reason.GRACE_PERIOD.value


def _deleting(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The condition, where it says anything; {} for a tenant that nobody deletes."""
    found = read((body.get("status") or {}).get("conditions") or (), ConditionType.DELETING)
    return found or {}


def _resting(body: Mapping[str, Any]) -> bool:
    working = read((body.get("status") or {}).get("conditions") or (), ConditionType.RECONCILING) or {}
    return working.get("status") == Status.FALSE.value


def _late(name: str, timeout_s: float, standing: Standing) -> RunFailed:
    return RunFailed(
        f"not done after {timeout_s:.0f} s: {standing.doing}",
        where=f"tenant/{name}",
        hint=f"the operator goes on with it: `tenantry tenant status {name}`",
    )
