"""Where a Tenant object stands, read from its status by whoever waits for it. Pure.

A wish is reached when the operator has acted on the object's present generation, nothing is under way any more, and
what was asked for stands: ready, or stopped where it was asked to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.tenancy.conditions import ConditionType, Reason, Status, read
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    RunFailed,
    StateCorrupt,
    TenantryError,
    Unsupported,
)

__all__ = ["Standing", "standing_of"]

_ERRORS: dict[str, type[TenantryError]] = {
    Reason.CONFLICT.value: Conflict,
    Reason.UNSUPPORTED.value: Unsupported,
    Reason.STACK_LOCKED.value: Locked,
    Reason.STATE_CORRUPT.value: StateCorrupt,
    Reason.DEPENDENCY_UNAVAILABLE.value: DependencyUnavailable,
}
_REFUSED = (Reason.INVALID_SPEC.value, Reason.POLICY_VIOLATED.value)
_STOPPED = (Reason.BY_SPEC.value, Reason.EXPIRED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """seen: the operator has looked at the present generation. reached: what it asks for stands. trouble: it is
    stalled, and this is why. doing: what is under way or waited for, as a sentence."""

    seen: bool
    reached: bool
    trouble: TenantryError | None
    phase: str
    doing: str


def standing_of(body: Mapping[str, Any]) -> Standing:
    """body: the object as the API server gives it."""
    name, generation = str(body["metadata"]["name"]), int(body["metadata"].get("generation") or 1)
    status: Mapping[str, Any] = body.get("status") or {}
    seen = int(status.get("observedGeneration") or 0) >= generation
    phase = str(status.get("phase") or "Pending")
    if not seen:
        return Standing(
            seen=False, reached=False, trouble=None, phase=phase, doing="waiting for the operator to look at it"
        )
    conditions = {one: read(status.get("conditions") or (), one) or {} for one in ConditionType}
    stalled = conditions[ConditionType.STALLED]
    if _holds(stalled):
        return Standing(seen=True, reached=False, trouble=_trouble(name, stalled), phase=phase, doing=_said(stalled))
    working = conditions[ConditionType.RECONCILING]
    if _holds(working):
        return Standing(seen=True, reached=False, trouble=None, phase=phase, doing=_said(working))
    ready = conditions[ConditionType.READY]
    current = int(ready.get("observedGeneration") or 0) >= generation
    stopped = ready.get("reason") in _STOPPED
    reached = current and (_holds(ready) or stopped)
    return Standing(seen=True, reached=reached, trouble=None, phase=phase, doing=_said(ready))


def _holds(condition: Mapping[str, Any]) -> bool:
    return condition.get("status") == Status.TRUE.value


def _said(condition: Mapping[str, Any]) -> str:
    return str(condition.get("message") or "")


def _trouble(name: str, stalled: Mapping[str, Any]) -> TenantryError:
    reason, message = str(stalled.get("reason")), _said(stalled)
    if reason in _REFUSED:
        return InvalidInput(message, source=f"tenant/{name}")
    return _ERRORS.get(reason, RunFailed)(message, where=f"tenant/{name}")
