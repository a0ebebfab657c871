"""Embedded against the Pulumi CLI: one tenant provisioned, left unchanged, previewed and destroyed by each, in turn.

CPU is that of the command and of everything that it starts (for the CLI: its language host, plugins and the program),
not of the cluster and its services, which do the same work for both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import psutil

from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.engine.interface import Engine
from tenantry.fleet import Fleet
from tenantry.fleet.programs import tenant_program, tenant_stack
from tenantry.tenancy.spec import TenantSpec

__all__ = ["OPERATIONS", "Cost", "measure_engines"]

OPERATIONS = ("provision", "unchanged", "preview", "destroy")


@dataclass(slots=True)
class Cost:
    """Of one operation by one engine, an entry a repetition."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        return median(self.cpu_seconds)


def measure_engines(fleet: Fleet, twin: Callable[[str], TenantSpec], repeat: int) -> dict[EngineKind, dict[str, Cost]]:
    """twin: a new tenant of the same plan under the given name. Raises DependencyUnavailable where there is no CLI."""
    found: dict[EngineKind, dict[str, Cost]] = {
        kind: {operation: Cost() for operation in OPERATIONS} for kind in EngineKind
    }
    with make_engine(EngineKind.EMBEDDED) as embedded, make_engine(EngineKind.CLI) as cli:
        for turn in range(repeat):
            for kind, engine in ((EngineKind.EMBEDDED, embedded), (EngineKind.CLI, cli)):
                _one_turn(fleet, engine, twin(f"by-{kind}-{turn}"), found[kind])
    return found


def _one_turn(fleet: Fleet, engine: Engine, spec: TenantSpec, costs: dict[str, Cost]) -> None:
    stack, program = tenant_stack(spec.name, spec.incarnation, fleet.backend), tenant_program(spec)
    for operation, work in (
        ("provision", lambda: engine.up(stack, program)),
        ("unchanged", lambda: engine.up(stack, program)),
        ("preview", lambda: engine.preview(stack, program)),
        ("destroy", lambda: engine.destroy(stack, lift_protection=True)),
    ):
        before, began = _cpu(), time.perf_counter()
        work()
        costs[operation].seconds.append(time.perf_counter() - began)
        costs[operation].cpu_seconds.append(_cpu() - before)
    engine.remove(stack)


def _cpu() -> float:
    """CPU seconds of this process and of the children that ended."""
    times = os.times()
    alive = sum(
        sum(one.cpu_times()[:2]) for one in psutil.Process().children(recursive=True) if one.status() != "zombie"
    )
    return times.user + times.system + times.children_user + times.children_system + float(alive)
