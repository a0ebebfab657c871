"""A roll-out: one version for many tenants, ring by ring, halted when too many releases fail. Pure.

It keeps no list of its own. Which tenants are in which ring follows from their names and the roll-out's uid, and how
far each is from the journals of its releases: a killed or repeated look begins nothing twice, and a tenant made
meanwhile has its place.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tenantry.tenancy.model import Fields, Flag, Metadata
from tenantry.tenancy.release import Version

__all__ = ["GROUP_PATH", "Look", "Ring", "Rollout", "RolloutFields", "RolloutPhase", "State", "look"]

GROUP_PATH = "/apis/tenantry.dev/v1alpha1/rollouts"
_CANARY = "canary"


class State(StrEnum):
    """How far one tenant is with a roll-out. left-out: it pins another version, or has no way to this one."""

    LEFT_OUT = "left-out"
    PENDING = "pending"
    UNDER_WAY = "under-way"
    DONE = "done"
    FAILED = "failed"


class RolloutPhase(StrEnum):
    RUNNING = "Running"
    PAUSED = "Paused"
    HALTED = "Halted"
    ABORTED = "Aborted"
    DONE = "Done"


class Ring(Fields):
    """The tenants that get the version next: named ones, or a share of all, those of earlier rings included."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$")]
    """What it is called in the status."""
    percent: Annotated[int, Field(ge=1, le=100, strict=True)] | None = None
    """Share of all tenants, rounded up."""
    tenants: Annotated[tuple[str, ...], Field(max_length=1000)] = ()
    """Tenants by name, such as your own test environments."""

    @model_validator(mode="after")
    def _one_of(self) -> Ring:
        if (self.percent is None) == (not self.tenants):
            raise PydanticCustomError("ring", "a ring has percent or tenants", {"hint": "write one of the two"})
        return self


_RINGS = (Ring(name=_CANARY, percent=1), Ring(name="early", percent=25), Ring(name="all", percent=100))


class RolloutFields(Fields):
    """What is rolled out, and how carefully."""

    workload: str = "mautic"
    """The application."""
    release: str
    """Its version."""
    template_version: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Version of the catalogue entry. Left out: each tenant keeps its own."""
    rings: Annotated[tuple[Ring, ...], Field(min_length=1, max_length=20)] = _RINGS
    """One after the other; the next begins when every tenant of the one before has ended."""
    max_failures: Annotated[int, Field(ge=1, le=1000, strict=True)] = 1
    """It halts when so many tenants have failed."""
    parallel: Annotated[int, Field(ge=1, le=100, strict=True)] = 4
    """Tenants under way at the same time."""
    now: Flag = False
    """true: without waiting for the tenants' maintenance windows."""
    paused: Flag = False
    """true: nothing new is begun; what is under way ends."""
    aborted: Flag = False
    """true: nothing new is begun, for good; what is under way ends, what is done stays."""

    @model_validator(mode="after")
    def _growing(self) -> RolloutFields:
        shares = [ring.percent for ring in self.rings if ring.percent is not None]
        if shares != sorted(set(shares)):
            raise PydanticCustomError("rings", "the shares of the rings do not grow", {"hint": "such as 1, 25, 100"})
        if len({ring.name for ring in self.rings}) != len(self.rings):
            raise PydanticCustomError("rings", "two rings share a name", {"hint": None})
        return self


class Rollout(Fields):
    """A release for many tenants of the cell, ring by ring."""

    api_version: Literal["tenantry.dev/v1alpha1"]
    """Version of this file's format."""
    kind: Literal["Rollout"]
    """Always Rollout."""
    metadata: Metadata
    """Name and labels."""
    spec: RolloutFields
    """What is rolled out."""
    status: dict[str, Any] | None = None
    """Written by the operator."""

    def version_for(self, running: Version) -> Version:
        return Version(
            release=self.spec.release, template_version=self.spec.template_version or running.template_version
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be done now, and what can be said. begin: tenants to begin with. withdraw: tenants whose release was
    asked for and has not begun, to be let alone. ring: the one at work, None when all are through."""

    phase: RolloutPhase
    ring: str | None
    begin: tuple[str, ...]
    withdraw: tuple[str, ...]
    counts: Mapping[State, int]
    message: str


def look(rollout: Rollout, states: Mapping[str, State], waiting: frozenset[str] = frozenset()) -> Look:
    """Decide from where every tenant of the workload stands. waiting: those under way that have not touched their
    tenant yet. Deciding again after what it said was begun begins only what the limits still allow."""
    spec = rollout.spec
    counts = {state: sum(one is state for one in states.values()) for state in State}
    taking_part = [name for name, state in states.items() if state is not State.LEFT_OUT]
    rings = _members(rollout, taking_part)
    current = next(
        (
            (ring, members)
            for ring, members in rings
            if any(states[name] in (State.PENDING, State.UNDER_WAY) for name in members)
        ),
        None,
    )

    def said(phase: RolloutPhase, message: str, *, begin: tuple[str, ...] = ()) -> Look:
        withdraw = tuple(sorted(waiting)) if phase not in (RolloutPhase.RUNNING, RolloutPhase.DONE) else ()
        ring = None if current is None else current[0].name
        return Look(phase=phase, ring=ring, begin=begin, withdraw=withdraw, counts=counts, message=message)

    standing = f"{counts[State.DONE]} of {len(taking_part)} tenants run {spec.release}"
    if spec.aborted:
        return said(RolloutPhase.ABORTED, f"aborted; {standing}")
    failed = counts[State.FAILED]
    if current is None:
        shown = f", {failed} failed" if failed else ""
        return said(RolloutPhase.DONE, f"done; {standing}{shown}")
    if failed >= spec.max_failures:
        return said(
            RolloutPhase.HALTED,
            f"halted in ring {current[0].name}: {failed} failed, {spec.max_failures} is the threshold; {standing}; "
            f"mend the cause, then `tenantry rollout resume {rollout.metadata.name}`",
        )
    if spec.paused:
        return said(RolloutPhase.PAUSED, f"paused in ring {current[0].name}; {standing}")
    free = spec.parallel - counts[State.UNDER_WAY]
    # In the first ring no more are under way than may fail: the threshold is never passed before it is seen.
    free = min(free, spec.max_failures - failed - counts[State.UNDER_WAY]) if current[0] is rings[0][0] else free
    begin = tuple(name for name in current[1] if states[name] is State.PENDING)[: max(free, 0)]
    return said(RolloutPhase.RUNNING, f"ring {current[0].name}: {standing}", begin=begin)


def _members(rollout: Rollout, names: list[str]) -> list[tuple[Ring, tuple[str, ...]]]:
    """Each ring with all tenants that belong to it or to one before it, in the order in which they are taken."""
    uid = rollout.metadata.uid or rollout.metadata.name
    order = sorted(names, key=lambda name: hashlib.sha256(f"{uid}/{name}".encode()).digest())
    found: list[tuple[Ring, tuple[str, ...]]] = []
    so_far: dict[str, None] = {}
    for ring in rollout.spec.rings:
        if ring.percent is None:
            so_far |= dict.fromkeys(name for name in ring.tenants if name in names)
        else:
            so_far |= dict.fromkeys(order[: math.ceil(len(order) * ring.percent / 100)])
        found.append((ring, tuple(so_far)))
    return found
