"""What goes wrong with a tenant, and when it is tried again. Nothing here asks or writes anything."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

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
    in_full,
)
from tenantry.tenancy.lifecycle import Verb

__all__ = ["ATTEMPTS", "Trouble", "Troubles", "another", "wish_of", "worst"]

ATTEMPTS = 5
"""Failures in a row after which a tenant is stalled. It is still tried again, at the longest delay."""
_FIRST = timedelta(seconds=2)
_LONGEST = {True: timedelta(minutes=1), False: timedelta(minutes=10)}
"""By whether only a dependency is missing: that costs nobody anything to ask for again."""
_NEEDS_A_HAND = (InvalidInput, Conflict, Unsupported, StateCorrupt)
_OURS = "tenantry.dev/"
_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """attempts: failures in a row of one verb at one wish (`wish_of`). verb None: it cannot be accepted.
    told: the error as a sentence with the next action."""

    verb: Verb | None
    wish: str
    attempts: int
    stalled: bool
    reason: Reason
    told: str
    again_at: datetime

    def holds_back(self, verb: Verb, wish: str, now: datetime) -> bool:
        """Whether this verb has to wait: another verb and an edited object have not."""
        return self.verb is verb and self.wish == wish and now < self.again_at


def wish_of(metadata: Mapping[str, Any]) -> str:
    """What an object asks for, to tell an edited one: its generation, which annotations do not change, and those of
    ours."""
    ours = {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(_OURS)}
    return json.dumps([metadata.get("generation"), ours], sort_keys=True)


def another(
    error: TenantryError, earlier: Trouble | None, *, verb: Verb | None, wish: str, now: datetime, jitter: float
) -> Trouble:
    """The trouble after one more failure. jitter: a random number from 0 to 1, which spreads the tries."""
    attempts = earlier.attempts if earlier and (earlier.verb, earlier.wish) == (verb, wish) else 0
    attempts += 1
    if isinstance(error, _NEEDS_A_HAND):
        stalled, delay = True, _LOOK_AGAIN
    else:
        stalled = attempts >= ATTEMPTS
        missing = isinstance(error, DependencyUnavailable | Locked)
        delay = min(_FIRST * 3 ** min(attempts - 1, 8), _LONGEST[missing])
    return Trouble(
        verb=verb,
        wish=wish,
        attempts=attempts,
        stalled=stalled,
        reason=_reason(error),
        told=_told(error),
        again_at=now + delay * (0.75 + 0.5 * jitter),
    )


def worst(troubles: Iterable[Trouble]) -> Trouble | None:
    """The one that a person is told of: what needs a hand first, of that what keeps the object from being accepted."""
    return max(troubles, key=lambda one: (one.stalled, one.verb is None, one.attempts), default=None)


class Troubles:
    """The troubles of all tenants, one a verb: what goes wrong with one verb neither hides nor ends another's. Safe
    between threads."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Verb | None, Trouble]] = {}
        self._lock = threading.Lock()

    def of(self, name: str, wish: str) -> tuple[Trouble, ...]:
        """Those of the object as it is; an edited one begins anew."""
        with self._lock:
            kept = {verb: one for verb, one in self._of.get(name, {}).items() if one.wish == wish}
            self._keep(name, kept)
            return tuple(kept.values())

    def failed(
        self, name: str, verb: Verb | None, error: TenantryError, *, wish: str, now: datetime, jitter: float
    ) -> Trouble:
        """Note one more failure. verb None: the object cannot be accepted."""
        with self._lock:
            mine = self._of.setdefault(name, {})
            earlier = mine.get(verb) if verb is not None else None
            mine[verb] = another(error, earlier, verb=verb, wish=wish, now=now, jitter=jitter)
            return mine[verb]

    def healed(self, name: str, verb: Verb | None) -> None:
        """It went well, or the object is accepted again."""
        with self._lock:
            self._keep(name, {key: one for key, one in self._of.get(name, {}).items() if key is not verb})

    def settle(self, name: str, wanted: Collection[Verb], now: datetime) -> None:
        """End what would be tried again by now and is not wanted any more. wanted: what actions claim."""
        with self._lock:
            found = self._of.get(name, {})
            self._keep(
                name, {verb: one for verb, one in found.items() if verb in (None, *wanted) or now < one.again_at}
            )

    def forget(self, name: str) -> None:
        with self._lock:
            self._of.pop(name, None)

    def stalled(self) -> tuple[str, ...]:
        """Names of the tenants that need a hand."""
        with self._lock:
            return tuple(name for name, found in self._of.items() if any(one.stalled for one in found.values()))

    def _keep(self, name: str, kept: dict[Verb | None, Trouble]) -> None:
        if kept:
            self._of[name] = kept
        else:
            self._of.pop(name, None)


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
        return in_full(error, advice=True)
    where = f" ({error.where})" if error.where else ""
    return f"{error.message}{where}" + (f"; {error.hint}" if error.hint else "")
