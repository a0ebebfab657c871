"""From what is known of a tenant to its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status, read, rendered
from tenantry.tenancy.lifecycle import Expiry, Stage, phase_of
from tenantry.tenancy.spec import Activity
from tenantry_operator.contract import ModuleState, waits_for_a_hand
from tenantry_operator.trouble import Trouble

__all__ = ["Known", "status_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """generation: the object's. made: a run of its stack has reached its goal once. current: the last that did was
    asked for what the object says now. activity: what stands now; None before anything does. modules: None when the
    cluster was not asked. working: what is under way, as (reason, sentence). more: what the actions know.
    closed_by: what else keeps the workload from running, None: nothing. expires_on: as text, None for never."""

    generation: int
    names: Mapping[str, Any]
    made: bool
    current: bool
    activity: Activity | None
    modules: Sequence[ModuleState] | None
    expiry: Expiry
    expires_on: str | None
    simulated: bool
    deleting: bool
    trouble: Trouble | None
    working: tuple[Reason, str] | None
    closed_by: Condition | None
    more: Sequence[Condition]


def status_of(known: Known, earlier: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The whole status. Equal to `earlier` when nothing changed."""
    before = earlier.get("conditions") or []
    replaced = {one.type for one in known.more}
    conditions = [one for one in _conditions(known, before) if one.type not in replaced]
    listed = rendered(before, [*conditions, *known.more], generation=known.generation, now=now)
    ready = read(listed, ConditionType.READY)
    if ready is not None and not known.current:
        # What is ready is still what was asked for before: nobody who waits for the new may take it for that.
        seen = (read(before, ConditionType.READY) or {}).get("observedGeneration", 0)
        listed = [{**one, "observedGeneration": min(seen, known.generation)} if one is ready else one for one in listed]
    truth = {one["type"]: one["status"] == Status.TRUE.value for one in listed}
    phase = phase_of(
        ready=truth[ConditionType.READY.value],
        made=known.made,
        stalled=truth[ConditionType.STALLED.value],
        suspended=truth[ConditionType.SUSPENDED.value],
        expired=known.activity is Activity.CLOSED and _expired(known),
        deleting=known.deleting or truth.get(ConditionType.DELETING.value, False),
    )
    return {"observedGeneration": known.generation, "phase": phase.value, **known.names, "conditions": listed}


def _conditions(known: Known, before: Sequence[Mapping[str, Any]]) -> list[Condition]:
    return [
        _ready(known, before),
        *_progress(known),
        _suspended(known),
        _expiring(known),
        _condition(
            ConditionType.WORKLOAD_SIMULATED,
            known.simulated,
            (Reason.SIMULATED_NODES, "the cell's nodes are simulated: objects are real, no container runs"),
            (Reason.REAL_NODES, "pods run on real nodes"),
        ),
    ]


def _ready(known: Known, before: Sequence[Mapping[str, Any]]) -> Condition:
    def condition(status: Status, reason: Reason, message: str) -> Condition:
        return Condition(type=ConditionType.READY, status=status, reason=reason, message=message)

    if not known.made:
        return condition(Status.FALSE, Reason.RUN_UNFINISHED, "no run of its stack has reached its goal yet")
    if known.activity is Activity.CLOSED and not _expired(known):
        return condition(Status.FALSE, Reason.RUN_UNFINISHED, "nothing of it runs yet")
    if known.activity is Activity.CLOSED:
        return condition(Status.FALSE, Reason.EXPIRED, "it has expired: nothing runs, the data is kept")
    if known.activity is Activity.SUSPENDED:
        return condition(Status.FALSE, Reason.BY_SPEC, "suspended: only unsubscribe links are answered")
    if known.closed_by is not None:
        # Modules that are not wanted now are as wanted, and serve nobody.
        return condition(Status.FALSE, known.closed_by.reason, known.closed_by.message)
    if known.modules is None:
        last = read(before, ConditionType.READY)
        if last is None:
            return condition(Status.UNKNOWN, Reason.RUN_UNFINISHED, "the cluster has not been asked yet")
        return condition(Status(last["status"]), Reason(last["reason"]), str(last["message"]))
    waiting = [f"{one.name} {one.ready}/{one.wanted}" for one in known.modules if one.ready < one.wanted]
    if waiting or not known.modules:
        message = "not as wanted: " + ", ".join(waiting) if waiting else "none of its modules is there"
        return condition(Status.FALSE, Reason.MODULES_NOT_READY, message)
    return condition(Status.TRUE, Reason.MODULES_READY, "every module runs as wanted")


def _progress(known: Known) -> tuple[Condition, Condition]:
    trouble = known.trouble
    if trouble is not None and trouble.stalled:
        return waits_for_a_hand(trouble.reason, trouble.told)
    if known.working is not None:
        reconciling = (True, known.working)
    elif trouble is not None:
        reconciling = (True, (Reason.RETRYING, f"attempt {trouble.attempts} failed, trying again: {trouble.told}"))
    else:
        reconciling = (False, (Reason.SETTLED, "nothing is left to do"))
    return (
        _condition(ConditionType.RECONCILING, reconciling[0], reconciling[1], reconciling[1]),
        Condition(
            type=ConditionType.STALLED,
            status=Status.FALSE,
            reason=Reason.NOT_STALLED,
            message="nothing needs a hand",
        ),
    )


def _suspended(known: Known) -> Condition:
    closed = known.activity is Activity.CLOSED
    stopped = (
        (Reason.EXPIRED, "it has expired: nothing runs, the data is kept")
        if closed
        else (Reason.BY_SPEC, "spec.suspended is true: the data is kept, only unsubscribe links are answered")
    )
    stands = known.activity is Activity.SUSPENDED or (closed and _expired(known))
    return _condition(ConditionType.SUSPENDED, stands, stopped, (Reason.ACTIVE, "it is not suspended"))


def _expired(known: Known) -> bool:
    return known.expiry.stage in (Stage.EXPIRED, Stage.OVERDUE)


def _expiring(known: Known) -> Condition:
    day, until = known.expires_on, known.expiry.next_at
    match known.expiry.stage:
        case Stage.NONE:
            said = (Reason.NO_EXPIRY_NEAR, "it does not expire soon")
        case Stage.WARNED:
            said = (
                Reason.EXPIRES_SOON,
                f"it expires on {day}; set spec.expiresOn to a later day to keep it (`tenantry tenant extend`)",
            )
        case Stage.EXPIRED:
            last = until.date().isoformat() if until is not None else day
            said = (
                Reason.EXPIRED,
                f"it expired on {day} and is deleted with its data on {last}; a later spec.expiresOn brings it back",
            )
        case Stage.OVERDUE:
            said = (Reason.EXPIRED, f"it expired on {day}, its grace is over: it is being deleted")
    return _condition(ConditionType.EXPIRING, known.expiry.stage is not Stage.NONE, said, said)


def _condition(type_: ConditionType, holds: bool, true: tuple[Reason, str], false: tuple[Reason, str]) -> Condition:
    reason, message = true if holds else false
    return Condition(type=type_, status=Status.TRUE if holds else Status.FALSE, reason=reason, message=message)
