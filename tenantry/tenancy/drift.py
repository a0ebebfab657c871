"""Drift: what of a tenant is otherwise than its last run left it. Pure.

Found field by field; of an object only the fields that the tenant's stack sends count, so that replicas, statuses and
whatever else others own is never drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from tenantry.tenancy.conditions import Condition, ConditionType, Reason, Status
from tenantry.tenancy.spec import DriftPolicy

__all__ = ["Drift", "Finding", "What", "condition_of", "told", "wants_mending"]

_SHOWN = 8


class What(StrEnum):
    """What is the matter with one resource."""

    CHANGED = "changed"
    GONE = "gone"
    LEFT_OVER = "left over"
    """A run that was cut short made it, and nobody remembers it."""
    FOREIGN = "foreign"
    """Somebody else put it there; nobody else knows what it is for, so it is never deleted."""
    LOST = "lost"
    """Gone with data or keys that a new one would not have: to be restored, never to be made anew."""


_MENDABLE = frozenset({What.CHANGED, What.GONE, What.LEFT_OVER})


class Finding(BaseModel):
    """kind, name: of the resource (`NetworkPolicy default-deny`). fields: dotted paths, values never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: What
    kind: str
    name: str
    fields: tuple[str, ...] = ()

    @property
    def mendable(self) -> bool:
        return self.what in _MENDABLE

    def __str__(self) -> str:
        match self.what:
            case What.CHANGED:
                return f"{self.kind} {self.name}: {', '.join(self.fields) or 'something'} changed"
            case What.GONE:
                return f"{self.kind} {self.name} is gone"
            case What.LEFT_OVER:
                return f"{self.kind} {self.name} is left over"
            case What.FOREIGN:
                return f"{self.kind} {self.name} was put there by somebody else"
            case What.LOST:
                return f"{self.kind} {self.name} is gone with its data"


class Drift(BaseModel):
    """What is known of one tenant's drift: the content of its journal.

    findings: what is otherwise now. found_at: when that was seen first. mended: what was put back last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    findings: tuple[Finding, ...] = ()
    found_at: datetime | None = None
    mended: tuple[Finding, ...] = ()
    mended_at: datetime | None = None


def told(findings: Sequence[Finding]) -> str:
    """As one sentence part, the first few by name."""
    shown = "; ".join(str(one) for one in findings[:_SHOWN])
    more = len(findings) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def wants_mending(drift: Drift | None, policy: DriftPolicy) -> bool:
    return drift is not None and policy is DriftPolicy.REPAIR and any(one.mendable for one in drift.findings)


def condition_of(drift: Drift | None, policy: DriftPolicy) -> Condition:
    """`Drifted`. drift: None where nothing was ever found."""
    if drift is None or not (drift.findings or drift.mended):
        message = "nothing is known to have been changed behind its back"
        return _condition(Status.FALSE, Reason.AS_RECORDED, message)
    if not drift.findings:
        when = drift.mended_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if drift.mended_at else ""
        return _condition(Status.FALSE, Reason.REPAIRED, f"put back {when}: {told(drift.mended)}")
    lost = [one for one in drift.findings if one.what is What.LOST]
    if lost:
        message = f"{told(drift.findings)}. Restore it from a backup; an empty one is never made in its place"
        return _condition(Status.TRUE, Reason.DATA_LOST, message)
    if wants_mending(drift, policy):
        return _condition(Status.TRUE, Reason.REPAIRING, told(drift.findings))
    hint = (
        "driftPolicy is report: put it back with `tenantry tenant drift NAME --repair`"
        if any(one.mendable for one in drift.findings)
        else "delete it if nobody needs it"
    )
    return _condition(Status.TRUE, Reason.CHANGED_OUTSIDE, f"{told(drift.findings)}. {hint}")


def _condition(status: Status, reason: Reason, message: str) -> Condition:
    return Condition(type=ConditionType.DRIFTED, status=status, reason=reason, message=message)
