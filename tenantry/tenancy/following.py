"""From what is measured over a while to what each module of a tenant should have now, and how that is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tenantry.tenancy.campaigns import Campaign, next_turn
from tenantry.tenancy.scaling import (
    Ask,
    Basis,
    Cap,
    Sample,
    Target,
    asked,
    by_cpu,
    by_load,
    scalable,
    span_of,
    steady,
    targets,
    trimmed,
)
from tenantry.tenancy.spec import TenantSpec
from tenantry.tenancy.workload_spec import ModuleSpec

__all__ = ["Row", "added", "begun", "explained", "following", "next_campaign_turn", "not_beyond"]

Samples = Mapping[str, Sequence[Sample]]
"""By module, oldest first."""
_DECIDED = (Basis.BY_HAND.value, Basis.CAMPAIGN.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One module in a status. ready: replicas that are."""

    target: Target
    ready: int


def begun(running: int, earlier: int | None, now: datetime) -> Sample:
    """The first sample of a module that is watched from now on: what runs, or what it had before its tenant was
    suspended. Nothing less is asked until it has been watched long enough."""
    if earlier is not None and earlier > running:
        return Sample(at=now, replicas=earlier, why="as before it was suspended", basis=Basis.STEADYING)
    return Sample(at=now, replicas=running, why="as it ran", basis=Basis.STEADYING)


def added(samples: Sequence[Sample], new: Sample, module: ModuleSpec) -> tuple[Sample, ...]:
    """With one more, and without what is too old to count. Of a stretch of equal samples the first and the last are
    kept, which is all that windows ask for."""
    kept = trimmed(samples, new.at, module)
    if len(kept) > 1 and kept[-1].replicas == kept[-2].replicas == new.replicas:
        kept = kept[:-1]
    return (*kept, new)


def following(spec: TenantSpec, running: Mapping[str, int], samples: Samples, now: datetime) -> tuple[Target, ...]:
    """What each module that stands should have now. running: replicas wanted so far, of the modules that stand."""
    asks = []
    for module in scalable(spec):
        if module.name not in running:
            continue
        if by_cpu(spec, module):
            asks.append(_autoscaled(module, spec.scaling.calendar, running[module.name], now))
            continue
        measured = None
        if by_load(spec, module):
            measured = _measured(module, samples.get(module.name, ()), running[module.name], now)
        asks.append(
            asked(
                module,
                measured,
                calendar=spec.scaling.calendar,
                by_hand=module.by_hand,
                idle_to_zero=spec.scaling.idle_to_zero,
                now=now,
            )
        )
    return targets(spec, asks)


def not_beyond(found: Iterable[Target], wanted: TenantSpec, running: Mapping[str, int]) -> tuple[Target, ...]:
    """The same, but nothing is raised above what it may have from now on. wanted: what the tenant's stack is to be run
    for next, which may allow less than what it follows until then. What runs beyond it is lowered by that run."""
    most = {one.name: one.replicas_max for one in scalable(wanted)}
    held = []
    for one in found:
        limit = max(most.get(one.module, 0), running[one.module])
        if one.replicas > limit:
            why = f"{one.why}; {one.replicas} would be needed, {most.get(one.module, 0)} is the maximum asked for now"
            one = replace(one, replicas=limit, why=why, cap=Cap.PLAN)
        held.append(one)
    return tuple(held)


def _measured(module: ModuleSpec, samples: Sequence[Sample], running: int, now: datetime) -> Sample:
    """The demand that counts. What it had before a suspension counts as running until that is too old."""
    window = timedelta(seconds=module.lower_after_s)
    for one in samples[:1]:
        if one.basis is Basis.STEADYING and one.at >= now - window:
            running = max(running, one.replicas)
    return steady(samples, module, running=running, now=now)


def _autoscaled(module: ModuleSpec, calendar: Sequence[Campaign], running: int, now: datetime) -> Ask:
    """A module of an autoscaler: its number is the autoscaler's, unless the calendar switches it off, or on again."""
    span = span_of(module, calendar, now)
    if span.most == 0:
        why, replicas = "the calendar switches it off", 0
    else:
        why, replicas = f"follows the CPU between {max(1, span.least)} and {span.most}", running or max(1, span.least)
    narrowed = span.most < module.replicas_max
    return Ask(
        module=module.name,
        replicas=replicas,
        why=why,
        wanted=replicas,
        basis=Basis.CAMPAIGN if span.most == 0 else Basis.CPU,
        cap=Cap.CALENDAR if narrowed and replicas >= span.most else None,
    )


def next_campaign_turn(spec: TenantSpec, now: datetime) -> datetime | None:
    """When the calendar may next ask for something else, None: never."""
    turns = (next_turn(one, now) for one in spec.scaling.calendar)
    return min((one for one in turns if one is not None), default=None)


def explained(rows: Iterable[Row], earlier: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The status's list of modules, by name.

    A sentence stays as it was first said while number, cap and kind of reason are the same: figures that move at each
    reading would be a write each time. That demand is being watched is no reason of its own, unless what people had
    decided was the reason until now.
    """
    said = {str(one.get("name")): one for one in earlier}
    told = []
    for row in sorted(rows, key=lambda one: one.target.module):
        target, before = row.target, said.get(row.target.module, {})
        cap = None if target.cap is None else target.cap.value
        why, basis = target.why, target.basis.value
        same = (before.get("replicas"), before.get("cappedBy")) == (target.replicas, cap)
        watched = target.basis is Basis.STEADYING and before.get("basis") not in _DECIDED
        if same and (basis == before.get("basis") or watched):
            why, basis = str(before.get("why")), str(before.get("basis"))
        entry = {"name": target.module, "replicas": target.replicas, "ready": row.ready, "why": why, "basis": basis}
        told.append(entry if cap is None else {**entry, "cappedBy": cap})
    return told
