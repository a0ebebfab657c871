"""The operations of a tenant's life: how each is prepared, asked for, and told to have ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from bench.faults.cases import Operation
from bench.faults.following import Follower
from bench.faults.tenants import NEW, OLD, Tenant
from tenantry.backup.catalogue import catalogue
from tenantry.engine.cluster import ApiError
from tenantry.recovery.backing_up import backups_of
from tenantry.recovery.identity import as_tenant
from tenantry.tenancy.conditions import ConditionType, Reason
from tenantry.tenancy.deletion import DELETE, DELETE_NOW
from tenantry.tenancy.errors import TenantryError
from tenantry.tenancy.recovery import BACKUP, RESTORE

__all__ = [
    "LIMIT_S",
    "Before",
    "allow_jobs",
    "ask",
    "has_ended",
    "outcome_of",
    "prepare",
    "settle",
    "snapshots_of",
    "until",
]

LIMIT_S = 300.0
"""How long a tenant may take until it is right again after a fault."""
_ASKED = "for-the-fault-suite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a tenant had before the operation. backup: the rows and the secret of the backup that a restore brings back;
    None without one."""

    rows: tuple[tuple[Any, ...], ...] = ()
    secret: str = ""
    backup: tuple[tuple[tuple[Any, ...], ...], str] | None = None


def until(what: str, holds: Callable[[], bool], *, within_s: float = LIMIT_S) -> None:
    """Raises TimeoutError, which names what did not come to be."""
    deadline, pause = time.monotonic() + within_s, Event()
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        pause.wait(0.1)


def prepare(tenant: Tenant, operation: Operation) -> Before:
    """Give a tenant that is ready what the operation needs."""
    if operation is Operation.PROVISION:
        return Before()
    tenant.fill()
    backup = None
    if operation is Operation.RESTORE:
        operations = tenant.cell.fleet.operations(tenant.names.namespace)
        tenant.annotate(**{BACKUP: _ASKED})
        until(f"a backup of {tenant.name}", lambda: backups_of(operations).asked == _ASKED)
        backup = (tenant.rows(), tenant.secret())
        tenant.sql("INSERT INTO letters (text) VALUES ('three')")
        tenant.keep_secret("second")
        until(f"{tenant.name} at rest", lambda: _is_ready(tenant))
    if operation is Operation.FAILING_UPGRADE:
        refuse_jobs(tenant)
    return Before(rows=tenant.rows(), secret=tenant.secret(), backup=backup)


def ask(tenant: Tenant, operation: Operation) -> None:
    """Want it, by the tenant's object alone."""
    match operation:
        case Operation.UPGRADE | Operation.FAILING_UPGRADE:
            tenant.patch({"spec": {"release": NEW}})
        case Operation.RESTORE:
            tenant.annotate(**{RESTORE: "latest"})
        case Operation.DEPROVISION:
            tenant.annotate(**{DELETE: DELETE_NOW})


def has_ended(tenant: Tenant, operation: Operation, follower: Follower) -> bool:
    """Whether the tenant is at rest again, one way or the other. False while the API server cannot be asked."""
    try:
        body = tenant.body()
    except (ApiError, TenantryError):
        return False
    if operation is Operation.DEPROVISION:
        return body is None
    if operation in (Operation.UPGRADE, Operation.FAILING_UPGRADE):
        ended = tenant.condition(ConditionType.RELEASED)[1] in (Reason.RUNS_AS_WANTED, Reason.RELEASE_FAILED)
        ready = tenant.condition(ConditionType.READY)[0] == "True"
        failed = tenant.condition(ConditionType.RELEASED)[1] == Reason.RELEASE_FAILED
        return follower.step() == "finished" and ended and (ready or failed)
    if operation is Operation.RESTORE and tenant.condition(ConditionType.RESTORED)[1] not in (
        Reason.RESTORED,
        Reason.RESTORE_GIVEN_UP,
    ):
        return False
    return _is_ready(tenant)


def outcome_of(tenant: Tenant, operation: Operation) -> str:
    """How it ended, in one word, as the tenant's object and journals say."""
    match operation:
        case Operation.PROVISION:
            return "ready" if _is_ready(tenant) else "not ready"
        case Operation.UPGRADE | Operation.FAILING_UPGRADE:
            return {OLD: "old", NEW: "new"}.get(tenant.cell.fleet.record(tenant.name).release, "?")
        case Operation.RESTORE:
            return "restored" if tenant.condition(ConditionType.RESTORED)[0] == "True" else "as before"
        case Operation.DEPROVISION:
            return "gone" if tenant.body() is None else "there"


def settle(tenant: Tenant, operation: Operation) -> None:
    """Leave the tenant at rest for the next operation: what failed is wanted no more."""
    if operation in (Operation.UPGRADE, Operation.FAILING_UPGRADE) and outcome_of(tenant, operation) == "old":
        allow_jobs(tenant)
        tenant.patch({"spec": {"release": OLD}})
        until(f"{tenant.name} at rest", lambda: _is_ready(tenant))


def snapshots_of(tenant: Tenant) -> int:
    """What was kept before something risky."""
    with as_tenant(tenant.spec, folder="snapshots/") as around:
        return len(catalogue(around.store).whole)


_QUOTA = "no-jobs"


def refuse_jobs(tenant: Tenant) -> None:
    """From now on the API server takes no further Job of this tenant's."""
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": _QUOTA},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    tenant.cell.cluster.request("POST", f"/api/v1/namespaces/{tenant.names.namespace}/resourcequotas", body=body)


def allow_jobs(tenant: Tenant) -> None:
    try:
        tenant.cell.cluster.request("DELETE", f"/api/v1/namespaces/{tenant.names.namespace}/resourcequotas/{_QUOTA}")
    except ApiError as error:
        if error.status != 404:
            raise


def _is_ready(tenant: Tenant) -> bool:
    standing = tenant.standing()
    return standing is not None and standing.reached
