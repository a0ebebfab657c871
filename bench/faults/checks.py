"""What must not be found of a tenant after a fault: each check is named for it, and says what it found, or ""."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.faults.cases import Operation
from bench.faults.operations import Before, outcome_of, snapshots_of
from bench.faults.tenants import NEW, Tenant
from tenantry.inventory import Inventory, Kept, Subject, search
from tenantry.recovery.keeper import database_server_of
from tenantry.recovery.schema import SCRATCH_SUFFIXES

__all__ = ["CHECKS", "Aftermath", "traces_of", "violations"]

_PASSING = frozenset(
    {"pods", "replicasets", "events", "endpointslices", "controllerrevisions", "ipaddresses", "leases", "token"}
)
"""Kinds of things that come and go by themselves, under names that nobody chose."""

_CHOSEN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}|\d{10,}|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b[0-9a-f]{8}\b")
"""What is another with every run in a name: a backup's id, a time, a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """A tenant at rest after an operation. undisturbed: the traces of one on which the same was done, and ended the
    same way, without a fault; None when none was looked at."""

    tenant: Tenant
    operation: Operation
    before: Before
    undisturbed: Mapping[str, str] | None

    @property
    def outcome(self) -> str:
        return outcome_of(self.tenant, self.operation)


def not_as_asked(found: Aftermath) -> str:
    """Ended neither way that is right."""
    right = {
        Operation.PROVISION: ("ready",),
        Operation.UPGRADE: ("new", "old"),
        Operation.FAILING_UPGRADE: ("old",),
        Operation.RESTORE: ("restored", "as before"),
        Operation.DEPROVISION: ("gone",),
    }[found.operation]
    return "" if found.outcome in right else f"it is {found.outcome}"


def mixed(found: Aftermath) -> str:
    """Workload, record and data are not of one release."""
    if found.operation is Operation.DEPROVISION:
        return ""
    tenant = found.tenant
    record = tenant.cell.fleet.record(tenant.name)
    running = set(tenant.images().values())
    if running != {record.release}:
        return f"its record says {record.release}, what runs is {', '.join(sorted(running)) or 'nothing'}"
    if found.operation in (Operation.UPGRADE, Operation.FAILING_UPGRADE):
        migrated = all(len(row) > 1 for row in tenant.rows())
        if migrated is not (record.release == NEW):
            return f"it runs {record.release} on {'new' if migrated else 'old'} data"
    return ""


def rows_lost(found: Aftermath) -> str:
    """Rows in its schema are not those that they must be, read by its own account."""
    if found.operation is Operation.DEPROVISION:
        return ""
    if found.operation is Operation.PROVISION:
        found.tenant.fill()  # that its account, its secrets' path and its key are good
        return ""
    rows = found.tenant.rows()
    match found.operation, found.outcome:
        case Operation.RESTORE, "restored":
            assert found.before.backup is not None
            wanted = found.before.backup[0]
        case Operation.UPGRADE, "new":
            wanted = tuple((row[0], 2) for row in found.before.rows if row[0] != "one")
        case _:
            wanted = found.before.rows
    return "" if rows == wanted else f"rows {rows} and not {wanted}"


def secrets_lost(found: Aftermath) -> str:
    """Its application's secrets are not those that they must be, read by its own account."""
    if found.operation is Operation.DEPROVISION:
        return ""
    wanted = found.before.secret or "first"
    if (found.operation, found.outcome) == (Operation.RESTORE, "restored"):
        assert found.before.backup is not None
        wanted = found.before.backup[1]
    secret = found.tenant.secret()
    return "" if secret == wanted else f"secret {secret!r} and not {wanted!r}"


def left_over(found: Aftermath) -> str:
    """Something that no undisturbed tenant has, anywhere: journals, locks, scratch schemas, objects, accounts."""
    tenant = found.tenant
    if found.operation is Operation.DEPROVISION:
        tombstone = tenant.cell.fleet.deletions.tombstone(tenant.names.namespace)
        if tombstone is None:
            return "there is no certificate"
        left = _searched(tenant).left
        return "" if not left else f"left: {'; '.join(str(one) for one in left[:3])}"
    with database_server_of(tenant.spec).session() as session:
        schemas = {name for (name,) in session.execute("SHOW DATABASES")}
    scratch = schemas & {tenant.names.schema + suffix for suffix in SCRATCH_SUFFIXES}
    if scratch:
        return f"schemas {', '.join(sorted(scratch))}"
    state = tenant.cell.fleet.backend
    locks = [path for path in (state / ".pulumi" / "locks").rglob("*") if path.is_file() and tenant.name in path.parts]
    if locks:
        return f"lock {locks[0].name}"
    if found.operation in (Operation.UPGRADE, Operation.FAILING_UPGRADE) and snapshots_of(tenant):
        return "a snapshot of the release"
    if found.undisturbed is None:
        return ""
    more = sorted(set(traces_of(tenant)) - set(found.undisturbed))
    return "" if not more else f"{len(more)} more than an undisturbed one: {'; '.join(more[:3])}"


def missing(found: Aftermath) -> str:
    """Something that an undisturbed tenant has and this one has not."""
    if found.operation is Operation.DEPROVISION or found.undisturbed is None:
        return ""
    less = sorted(set(found.undisturbed) - set(traces_of(found.tenant)))
    return "" if not less else f"{len(less)} less than an undisturbed one: {'; '.join(less[:3])}"


CHECKS: tuple[Callable[[Aftermath], str], ...] = (not_as_asked, mixed, rows_lost, secrets_lost, left_over, missing)


def violations(found: Aftermath) -> list[str]:
    """Each as the check's name and what it found."""
    return [f"{check.__name__}: {said}" for check in CHECKS if (said := check(found))]


def traces_of(tenant: Tenant) -> dict[str, str]:
    """Everything in the cell that carries the tenant's incarnation, told without its name, numbers and digests."""
    return {
        _CHOSEN.sub("*", str(one).replace(tenant.incarnation, "ID").replace(tenant.name, "NAME")): str(one)
        for one in _searched(tenant).left
        if one.kind not in _PASSING and one.system != "store"
    }


def _searched(tenant: Tenant) -> Inventory:
    fleet = tenant.cell.fleet
    subject = Subject(name=tenant.name, incarnation=tenant.incarnation)
    tombstone = Kept(system="files", what=f"tombstones/{tenant.names.namespace}.json", until=None)
    token = fleet.deprovisioner.token()
    assert token is not None
    return search(subject, cell=fleet.cell, root=fleet.folder, token=token, kept=(tombstone,))
