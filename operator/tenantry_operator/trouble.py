"""What goes wrong with a tenant, and when it is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tenantry.tenancy.conditions import Reason
from tenantry.tenancy.errors import (
    Conflict,
    DependencyUnavailable,
    InvalidInput,
    Locked,
    PolicyViolated,
    StateCorrupt,
    TenantryError,
    Unsupported,
)
from tenantry.tenancy.lifecycle import Verb

__all__ = ["ATTEMPTS", "Trouble", "another"]

ATTEMPTS = 5
"""Failures in a row after which a tenant is stalled. It is still tried again, at the longest delay."""
_FIRST = timedelta(seconds=2)
_LONGEST = {True: timedelta(minutes=1), False: timedelta(minutes=10)}
"""By whether only a dependency is missing: that costs nobody anything to ask for again."""
_NEEDS_A_HAND = (InvalidInput, Conflict, Unsupported, StateCorrupt)
_LOOK_AGAIN = timedelta(minutes=5)
_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """attempts: failures in a row of one verb on one generation of the object. verb None: it cannot be accepted.
    told: the error as a sentence with the next action."""

    verb: Verb | None
    generation: int
    attempts: int
    stalled: bool
    reason: Reason
    told: str
    again_at: datetime

    def holds_back(self, verb: Verb, generation: int, now: datetime) -> bool:
        """Whether this verb has to wait: another verb and an edited object have not."""
        return self.verb is verb and self.generation == generation and now < self.again_at


def another(
    error: TenantryError, earlier: Trouble | None, *, verb: Verb | None, generation: int, now: datetime, jitter: float
) -> Trouble:
    """The trouble after one more failure. jitter: a random number from 0 to 1, which spreads the tries."""
    attempts = earlier.attempts if earlier and (earlier.verb, earlier.generation) == (verb, generation) else 0
    attempts += 1
    if isinstance(error, _NEEDS_A_HAND):
        stalled, delay = True, _LOOK_AGAIN
    else:
        stalled = attempts >= ATTEMPTS
        missing = isinstance(error, DependencyUnavailable | Locked)
        delay = min(_FIRST * 3 ** min(attempts - 1, 8), _LONGEST[missing])
    return Trouble(
        verb=verb,
        generation=generation,
        attempts=attempts,
        stalled=stalled,
        reason=_reason(error),
        told=_told(error),
        again_at=now + delay * (0.75 + 0.5 * jitter),
    )


def _reason(error: TenantryError) -> Reason:
    for kind, reason in (
        (PolicyViolated, Reason.POLICY_VIOLATED),
        (InvalidInput, Reason.INVALID_SPEC),
        (Conflict, Reason.CONFLICT),
        (Unsupported, Reason.UNSUPPORTED),
        (StateCorrupt, Reason.STATE_CORRUPT),
        (Locked, Reason.STACK_LOCKED),
        (DependencyUnavailable, Reason.DEPENDENCY_UNAVAILABLE),
    ):
        if isinstance(error, kind):
            return reason
    return Reason.RETRIES_EXHAUSTED


def _told(error: TenantryError) -> str:
    """What was wrong, where, and what to do, in one paragraph."""
    if isinstance(error, InvalidInput) and error.problems:
        shown = [
            f"{one.path}: {one.message}" + (f" ({one.hint})" if one.hint else "")
            for one in error.problems[:_PROBLEMS_SHOWN]
        ]
        more = len(error.problems) - len(shown)
        parts = [error.message, *shown, *([f"and {more} more"] if more else [])]
        return "; ".join(parts)
    where = f" ({error.where})" if error.where else ""
    return f"{error.message}{where}" + (f"; {error.hint}" if error.hint else "")
