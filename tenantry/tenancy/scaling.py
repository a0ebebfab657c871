"""How many replicas each module of a tenant should have, and why. Pure.

Measured demand (messages that wait, rows that a query of the catalogue counts) is steadied: it raises a module only
when it was there for all of `raise_after_s`, and lowers it only when it stayed low for all of `lower_after_s`. What
people decide (the plan's minimum, the calendar, a number set by hand) counts at once. The result is capped by the
module's maximum, the namespace's quota and the database connections that the tenant may open.

Invariants, checked by tests: never above a cap; a module that nobody may measure is never lowered; deciding again after
doing what was decided changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tenantry.tenancy.campaigns import Campaign, is_active
from tenantry.tenancy.quota import (
    connections_needed,
    footprint_of,
    footprints,
    peak_pods,
    standing_footprint,
    standing_pods,
)
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec

__all__ = [
    "Ask",
    "Basis",
    "Cap",
    "Reading",
    "Sample",
    "Span",
    "Target",
    "asked",
    "by_cpu",
    "by_load",
    "sample",
    "scalable",
    "span_of",
    "steady",
    "targets",
    "trimmed",
]


class Cap(StrEnum):
    """What held a module below what was asked for."""

    PLAN = "PlanMaximum"
    CALENDAR = "Calendar"
    QUOTA = "Quota"
    CONNECTIONS = "DatabaseConnections"


class Basis(StrEnum):
    """What a number of replicas goes back to."""

    MINIMUM = "PlanMinimum"
    DEMAND = "Demand"
    IDLE = "Idle"
    CAMPAIGN = "Campaign"
    BY_HAND = "ByHand"
    STEADYING = "Steadying"
    UNREAD = "SourceUnreadable"
    CPU = "Cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one source of a module said. value: None when it could not be read."""

    source: str
    value: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the sources of one module demanded at one time, in replicas. why: a clause."""

    at: datetime
    replicas: int
    why: str
    basis: Basis = Basis.DEMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked for one module, before the caps that it shares with others. why: a clause. cap: set when the
    calendar or its own maximum holds it; wanted: what it would have been without."""

    module: str
    replicas: int
    why: str
    wanted: int
    basis: Basis
    cap: Cap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The decision about one module. why: one sentence. cap: what held it below what was asked, None for nothing."""

    module: str
    replicas: int
    why: str
    basis: Basis
    cap: Cap | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Between what an autoscaler may choose now. most is 0 while the calendar switches the module off."""

    least: int
    most: int


def scalable(spec: TenantSpec) -> tuple[ModuleSpec, ...]:
    """Modules that have replicas to speak of."""
    return tuple(one for one in spec.workload.modules if one.kind in (ModuleKind.SERVICE, ModuleKind.WORKER))


def by_cpu(spec: TenantSpec, module: ModuleSpec) -> bool:
    """Whether an autoscaler of Kubernetes owns its replicas. Where sources tell more than the CPU does, or people say
    how many, the operator does, if the cell has one."""
    owned = bool(module.sources) or module.by_hand is not None
    return module.replicas_max > 1 and not (owned and spec.cell.spec.operator)


def by_load(spec: TenantSpec, module: ModuleSpec) -> bool:
    """Whether what its sources say can change its replicas: else they need not be read."""
    if module.by_hand is not None or not module.sources or by_cpu(spec, module):
        return False
    return spec.scaling.idle_to_zero or module.replicas_max > module.replicas_min


def sample(module: ModuleSpec, readings: Iterable[Reading], *, running: int, at: datetime) -> Sample:
    """What the sources demand now. One that cannot be read might demand what runs: no less than that is asked then."""
    values = {one.source: one.value for one in readings}
    best = Sample(at=at, replicas=0, why="nothing waits", basis=Basis.IDLE)
    unread: list[str] = []
    for source in module.sources:
        value = values.get(source.name)
        if value is None:
            unread.append(source.name)
            continue
        needed = -(-value // source.per_replica)
        if needed > best.replicas:
            why = f"{source.name} {value}, {source.per_replica} a replica"
            best = Sample(at=at, replicas=needed, why=why)
    if unread and running > best.replicas:
        why = f"kept while {', '.join(unread)} cannot be read"
        return Sample(at=at, replicas=running, why=why, basis=Basis.UNREAD)
    return best


def trimmed(samples: Sequence[Sample], now: datetime, module: ModuleSpec) -> tuple[Sample, ...]:
    """Without what is too old to count."""
    longest = timedelta(seconds=max(module.raise_after_s, module.lower_after_s))
    return tuple(one for one in samples if one.at >= now - longest)


def steady(samples: Sequence[Sample], module: ModuleSpec, *, running: int, now: datetime) -> Sample:
    """The demand that counts. samples: oldest first, the first one being what ran when the watching began, so that an
    operator that has just started lowers nothing that it has not watched long enough. The last one stands until the
    next is taken, however short a window is."""
    rising = _since(samples, now - timedelta(seconds=module.raise_after_s))
    falling = _since(samples, now - timedelta(seconds=module.lower_after_s))
    least = min(rising, key=lambda one: one.replicas, default=None)
    most = max(falling, key=lambda one: one.replicas, default=None)
    if least is not None and least.replicas > running:
        return least
    if most is not None and most.replicas <= running:
        return most
    why = f"more is needed for less than {module.raise_after_s} s" if most is not None else "not measured yet"
    return Sample(at=now, replicas=running, why=why, basis=Basis.STEADYING)


def _since(samples: Sequence[Sample], begin: datetime) -> Sequence[Sample]:
    return [one for one in samples if one.at >= begin] or samples[-1:]


def asked(
    module: ModuleSpec,
    measured: Sample | None,
    *,
    calendar: Sequence[Campaign],
    by_hand: int | None,
    idle_to_zero: bool,
    now: datetime,
) -> Ask:
    """What is asked for one module. measured: steadied; None for a module without sources.

    by_hand goes before everything but the caps. idle_to_zero: measured modules may go below the plan's minimum, to
    zero, when nothing waits.
    """
    if by_hand is not None:
        return _limited(module, by_hand, "set by hand", Basis.BY_HAND, most=None, campaign="")
    wanted, why, basis = module.replicas_min, "the plan's minimum", Basis.MINIMUM
    if measured is not None and idle_to_zero and measured.replicas == 0:
        wanted, why, basis = 0, "idle: nothing waits", Basis.IDLE
    if measured is not None and measured.replicas > wanted:
        wanted, why, basis = measured.replicas, measured.why, measured.basis
    most: tuple[int, str] | None = None
    for campaign in calendar:
        said = campaign.of(module.name)
        if said is None or not is_active(campaign, now):
            continue
        if said.least is not None and said.least > wanted:
            wanted, why, basis = said.least, f"campaign {campaign.name}", Basis.CAMPAIGN
        if said.most is not None and (most is None or said.most < most[0]):
            most = (said.most, campaign.name)
    return _limited(module, wanted, why, basis, most=most[0] if most else None, campaign=most[1] if most else "")


def _limited(module: ModuleSpec, wanted: int, why: str, basis: Basis, *, most: int | None, campaign: str) -> Ask:
    replicas, cap = wanted, None
    if most is not None and most < min(wanted, module.replicas_max):
        replicas, cap = most, Cap.CALENDAR
        why = f"campaign {campaign} allows {most} ({wanted}: {why})"
    elif wanted > module.replicas_max:
        replicas, cap = module.replicas_max, Cap.PLAN
    return Ask(module=module.name, replicas=replicas, why=why, wanted=wanted, basis=basis, cap=cap)


def span_of(module: ModuleSpec, calendar: Sequence[Campaign], now: datetime) -> Span:
    """What an autoscaler of the module may choose between now: the plan's span, narrowed by the campaigns that run."""
    said = [one.of(module.name) for one in calendar if is_active(one, now)]
    most = min([one.most for one in said if one is not None and one.most is not None] + [module.replicas_max])
    least = max([one.least for one in said if one is not None and one.least is not None] + [module.replicas_min])
    return Span(least=min(least, most), most=most)


def targets(spec: TenantSpec, asks: Sequence[Ask]) -> tuple[Target, ...]:
    """Share the tenant's quota and connections: first what each asks up to its minimum, then one replica each in turn,
    so that a module with much to do starves none. asks: of scalable modules; the others are taken at their peak."""
    # An autoscaler may go to the maximum on its own, so that much stays its own.
    alone = {one.name for one in scalable(spec) if by_cpu(spec, one)}
    room = _room(spec, {one.module for one in asks} - alone)
    given = {one.module: 0 for one in asks}
    held: dict[str, Cap] = {}
    costs = {one.name: _cost(one) for one in scalable(spec)}
    minima = {one.name: one.replicas_min for one in scalable(spec)}
    for goals in (
        {one.module: min(one.replicas, minima[one.module]) for one in asks},
        {one.module: one.replicas for one in asks},
    ):
        growing = True
        while growing:
            growing = False
            for name, goal in goals.items():
                if name in held or given[name] >= goal:
                    continue
                if name in alone:
                    given[name] = goal
                    continue
                # With the first replica comes the one that a rolling update adds on top.
                count = 2 if given[name] == 0 else 1
                short = next((what for what, most in room.items() if costs[name][what] * count > most), None)
                if short is not None:
                    held[name] = Cap.CONNECTIONS if short == "connections" else Cap.QUOTA
                    continue
                room = {what: most - costs[name][what] * count for what, most in room.items()}
                given[name] += 1
                growing = True
    return tuple(_target(one, given[one.module], held.get(one.module, one.cap)) for one in asks)


def _target(ask: Ask, replicas: int, cap: Cap | None) -> Target:
    told = {
        None: "",
        Cap.PLAN: f"; {ask.wanted} would be needed, {replicas} is its maximum",
        Cap.CALENDAR: "",
        Cap.QUOTA: f"; {ask.wanted} would be needed, the namespace's quota has no more room",
        Cap.CONNECTIONS: f"; {ask.wanted} would be needed, the database connections do not suffice",
    }[cap]
    return Target(module=ask.module, replicas=replicas, why=ask.why + told, basis=ask.basis, cap=cap)


def _cost(module: ModuleSpec) -> dict[str, int]:
    """Of one replica."""
    one = footprint_of(module)
    return {
        "pods": 1,
        "cpu": one.cpu_request_m,
        "cpu_limit": one.cpu_limit_m,
        "memory": one.memory_limit_mib,
        "connections": module.database_connections,
    }


def _room(spec: TenantSpec, asking: set[str]) -> Mapping[str, int]:
    """What quota and connections leave to the modules that ask: all, less what everything else takes at its peak."""
    others = [one for one in spec.workload.modules if one.name not in asking]
    taken = sum((footprints(one) for one in others), standing_footprint(spec.database, spec.cache, spec.backup.enabled))
    pods = sum(peak_pods(one) for one in others) + standing_pods(spec.database, spec.cache, spec.backup.enabled)
    return {
        "pods": spec.quota.pods - pods,
        "cpu": spec.quota.cpu_request_m - taken.cpu_request_m,
        "cpu_limit": spec.quota.cpu_limit_m - taken.cpu_limit_m,
        "memory": spec.quota.memory_limit_mib - taken.memory_limit_mib,
        "connections": spec.database.connections - connections_needed(others) - spec.backup.enabled,
    }
