"""Conditions: what is true of a tenant, in the words of its status.

`Ready` means: the last run of the tenant's stack reached its goal, and every module that the tenant should have runs
with the replicas that it should have. `Reconciling` (work is under way or will be tried again soon) and `Stalled`
(somebody has to do something) exclude each other. A condition's `lastTransitionTime` moves only when its status does,
and what did not change is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

__all__ = ["Condition", "ConditionType", "Reason", "Status", "read", "rendered", "transitions"]

_MESSAGE_LENGTH = 1024


class Status(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """In the order in which a status lists them."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    RELEASED = "Released"
    SUSPENDED = "Suspended"
    EXPIRING = "Expiring"
    WORKLOAD_SIMULATED = "WorkloadSimulated"
    SCALING_LIMITED = "ScalingLimited"
    DRIFTED = "Drifted"
    BACKED_UP = "BackedUp"
    RESTORED = "Restored"
    DELETING = "Deleting"
    KEYS_DESTROYED = "KeysDestroyed"
    UNRECOVERABLE = "Unrecoverable"


class Reason(StrEnum):
    """Why a condition has its status; one word that a program may match on."""

    # Ready
    MODULES_READY = "ModulesReady"
    MODULES_NOT_READY = "ModulesNotReady"
    RUN_UNFINISHED = "RunUnfinished"
    # Reconciling
    PROVISIONING = "Provisioning"
    RETRYING = "Retrying"
    WORKING = "Working"
    SETTLED = "Settled"
    # Stalled
    INVALID_SPEC = "InvalidSpec"
    POLICY_VIOLATED = "PolicyViolated"
    CONFLICT = "Conflict"
    STACK_LOCKED = "StackLocked"
    STATE_CORRUPT = "StateCorrupt"
    UNSUPPORTED = "Unsupported"
    DEPENDENCY_UNAVAILABLE = "DependencyUnavailable"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    NOT_STALLED = "NotStalled"
    RELEASE_FAILED = "ReleaseFailed"
    # Released
    RUNS_AS_WANTED = "RunsAsWanted"
    WAITS_FOR_WINDOW = "WaitsForWindow"
    RELEASING = "Releasing"
    GOING_BACK = "GoingBack"
    # Suspended, Expiring
    BY_SPEC = "BySpec"
    EXPIRED = "Expired"
    EXPIRES_SOON = "ExpiresSoon"
    NO_EXPIRY_NEAR = "NoExpiryNear"
    ACTIVE = "Active"
    # WorkloadSimulated
    SIMULATED_NODES = "SimulatedNodes"
    REAL_NODES = "RealNodes"
    # ScalingLimited
    HELD_BY_CAP = "HeldByCap"
    # BackedUp
    BACKUP_KEPT = "BackupKept"
    BACKUP_OVERDUE = "BackupOverdue"
    BACKUP_UNPROVEN = "BackupUnproven"
    NO_BACKUP_YET = "NoBackupYet"
    BACKUPS_OFF = "BackupsOff"
    # Restored
    RESTORED = "Restored"
    RESTORING = "Restoring"
    RESTORE_GIVEN_UP = "RestoreGivenUp"
    # Drifted
    AS_RECORDED = "AsRecorded"
    CHANGED_OUTSIDE = "ChangedOutside"
    REPAIRING = "Repairing"
    REPAIRED = "Repaired"
    DATA_LOST = "DataLost"
    # Deleting
    GRACE_PERIOD = "GracePeriod"
    ERASING = "Erasing"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """message: a sentence for a person, with the next action where one is needed."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str


def rendered(
    earlier: Iterable[Mapping[str, Any]], now_true: Sequence[Condition], *, generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The status's list of conditions. Equal to `earlier` when nothing changed, so that nothing need be written.

    earlier: what stands in the status, possibly edited by hand: a type that `now_true` doesn't name is dropped.
    generation: the object's, as it was acted upon.
    """
    known = {str(one.get("type")): one for one in earlier}
    order = list(ConditionType)
    result = []
    for one in sorted(now_true, key=lambda found: order.index(found.type)):
        before = known.get(one.type.value, {})
        since = before.get("lastTransitionTime") if before.get("status") == one.status.value else None
        result.append(
            {
                "type": one.type.value,
                "status": one.status.value,
                "observedGeneration": generation,
                "lastTransitionTime": since or _timestamp(now),
                "reason": one.reason.value,
                "message": one.message[:_MESSAGE_LENGTH],
            }
        )
    return result


def transitions(
    earlier: Iterable[Mapping[str, Any]], later: Iterable[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], ...]:
    """Conditions of `later` whose status or reason is another than in `earlier`: what is worth an event."""
    known = {one.get("type"): (one.get("status"), one.get("reason")) for one in earlier}
    return tuple(one for one in later if known.get(one["type"]) != (one["status"], one["reason"]))


def read(conditions: Iterable[Mapping[str, Any]], type_: ConditionType) -> Mapping[str, Any] | None:
    """One condition of a status, None when it is not there."""
    return next((one for one in conditions if one.get("type") == type_.value), None)


def _timestamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
