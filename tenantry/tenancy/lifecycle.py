"""What is to be done for a tenant next, decided from what is wanted, what is found and the time. Pure.

Several things may be due at once: each is a `Claim`, made by the action that would do it. `decide` takes the one of
highest rank that is due, so that one thing happens at a time and a deletion never waits for a backup.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

__all__ = ["Claim", "Decision", "Expiry", "Phase", "Stage", "Verb", "decide", "expiry_of", "phase_of"]


class Verb(StrEnum):
    """What the operator can do for a tenant, the highest rank first."""

    DEPROVISION = "deprovision"
    RESTORE = "restore"
    RELEASE = "release"
    PROVISION = "provision"
    SCALE = "scale"
    BACKUP = "backup"
    DRIFT = "drift"


class Phase(StrEnum):
    """For display only; conditions are what counts."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    READY = "Ready"
    DEGRADED = "Degraded"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    EXPIRED = "Expired"
    DELETING = "Deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An action wants to act. at: when; the past and now mean at once. why: one sentence."""

    verb: Verb
    why: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """verb: what to do now, None for nothing. why: one sentence. look_again_at: when something becomes due by time
    alone; None: only an event can change anything."""

    verb: Verb | None
    why: str
    look_again_at: datetime | None


def decide(claims: Iterable[Claim], now: datetime, *, under_way: Verb | None = None) -> Decision:
    """Deciding again after nothing changed gives the same; a claim that is granted is not waited for.

    under_way: what has touched the tenant and not ended: nothing of lower rank may act, not even while that waits.
    """
    ranks = {verb: rank for rank, verb in enumerate(Verb)}
    lowest = len(ranks) if under_way is None else ranks[under_way]
    made = sorted((one for one in claims if ranks[one.verb] <= lowest), key=lambda one: (ranks[one.verb], one.at))
    due = [one for one in made if one.at <= now]
    later = [one.at for one in made if one.at > now]
    if due:
        return Decision(verb=due[0].verb, why=due[0].why, look_again_at=None)
    return Decision(verb=None, why="everything is as it should be", look_again_at=min(later) if later else None)


class Stage(StrEnum):
    """Where a test environment stands before its end."""

    NONE = "none"
    WARNED = "warned"
    EXPIRED = "expired"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """stage now; next_at: when the next stage begins, None when there is none."""

    stage: Stage
    next_at: datetime | None


def expiry_of(expires_on: date | None, now: datetime, *, warning: timedelta, grace: timedelta) -> Expiry:
    """An environment expires as its day begins in UTC: its workload stops, its data stays for `grace`, in which a
    later date brings it back; then it is deleted. `warning` before, people are told."""
    if expires_on is None:
        return Expiry(stage=Stage.NONE, next_at=None)
    ends = datetime.combine(expires_on, time(), tzinfo=UTC)
    if now < ends - warning:
        return Expiry(stage=Stage.NONE, next_at=ends - warning)
    if now < ends:
        return Expiry(stage=Stage.WARNED, next_at=ends)
    if now < ends + grace:
        return Expiry(stage=Stage.EXPIRED, next_at=ends + grace)
    return Expiry(stage=Stage.OVERDUE, next_at=None)


def phase_of(*, ready: bool, made: bool, stalled: bool, suspended: bool, expired: bool, deleting: bool) -> Phase:
    """One word for a table. made: a run of the tenant's stack has reached its goal at least once."""
    for holds, phase in (
        (deleting, Phase.DELETING),
        (stalled, Phase.STALLED),
        (expired, Phase.EXPIRED),
        (not made, Phase.PROVISIONING),
        (suspended, Phase.SUSPENDED),
        (ready, Phase.READY),
    ):
        if holds:
            return phase
    return Phase.DEGRADED
