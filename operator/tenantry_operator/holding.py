"""What holds a tenant: an operation that has touched it and has not ended. Read from record and journals alone."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.recovery.restoring import restoration_of
from tenantry.tenancy.conditions import Condition, ConditionType, Status
from tenantry.tenancy.lifecycle import Verb
from tenantry.tenancy.spec import Hold
from tenantry_operator.contract import Context

__all__ = ["closed_by", "held_by"]


def held_by(context: Context) -> Verb | None:
    """What nothing of lower rank may come between, not even while it waits. Raises StateCorrupt."""
    restoration = restoration_of(context.operations)
    if restoration is not None and restoration.under_way:
        return Verb.RESTORE
    release = context.fleet.releases.get(context.namespace)
    return Verb.RELEASE if release is not None and release.under_way else None


def closed_by(context: Context, known: Iterable[Condition]) -> Condition | None:
    """What keeps the workload from running, in the words of the action that does it. known: what the actions say."""
    told = {one.type: one for one in known}
    deleting = told.get(ConditionType.DELETING)
    if deleting is not None and deleting.status is Status.TRUE:
        return deleting
    if held_by(context) is Verb.RESTORE:
        return told.get(ConditionType.RESTORED)
    held = context.record is not None and context.record.hold not in (Hold.NONE, Hold.PAUSED)
    return told.get(ConditionType.RELEASED) if held else None
