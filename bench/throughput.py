"""Many tenants made side by side: how many a second, and what each costs in processor time, part by part.

Tenants a second depend on what else the machine does; processor seconds a tenant hardly do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from tenantry.fleet import Fleet
from tenantry.local import LocalPlatform
from tenantry.tenancy.manifest import TenantFile

__all__ = ["Throughput", "cpu_seconds", "measure_throughput"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """cpu_seconds_a_tenant: by part of the platform, and `engine` for this process and its workers."""

    tenants: int
    resources: int
    tenants_a_second: float
    cpu_seconds_a_tenant: Mapping[str, float]

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu_seconds_a_tenant.values())


def measure_throughput(
    fleet: Fleet, platform: LocalPlatform, files: Sequence[TenantFile], *, parallel: int
) -> Throughput:
    """Provision these tenants, `parallel` at once, until each is ready."""
    specs = fleet.specs.resolve_all(files)
    parts = {one.name: psutil.Process(one.pid) for one in platform.status() if one.pid is not None}
    before = _cpu(parts)
    began = time.perf_counter()
    applied = fleet.up(list(zip(files, specs, strict=True)), parallel=parallel)
    seconds = time.perf_counter() - began
    after = _cpu(parts)
    results = [one.result for one in applied if one.result is not None]
    if len(results) < len(files):
        raise SystemExit(f"a tenant failed: {next(one.error for one in applied if one.error is not None)}")
    return Throughput(
        tenants=len(files),
        resources=len(results[0].changes),
        tenants_a_second=len(files) / seconds,
        cpu_seconds_a_tenant={name: (after[name] - before[name]) / len(files) for name in after},
    )


def cpu_seconds(process: psutil.Process, *, with_children: bool) -> float:
    """Processor seconds of a process, and of what it runs, so far."""
    total = 0.0
    for one in (process, *(process.children(recursive=True) if with_children else ())):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _cpu(parts: Mapping[str, psutil.Process]) -> dict[str, float]:
    processes = {"engine": psutil.Process(), **parts}
    return {name: cpu_seconds(one, with_children=True) for name, one in processes.items()}
