"""Quota arithmetic: what a tenant's namespace takes when everything runs at its maximum, and then some.

Pure. "And then some" is what Kubernetes starts on top of the wanted replicas: one surplus pod a rolling module, a
run of every schedule, the one-shot tasks, the backup, and the credentials agent beside every workload container.
A quota below that would make an update or a backup fail only under load, the worst time to find out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tenantry.tenancy.spec import CacheSpec, DatabaseSpec, DatabaseTier, QuotaSpec
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec, StorageSpec

__all__ = [
    "AGENT",
    "BACKUP",
    "CACHE_CPU_M",
    "CACHE_OVERHEAD_MIB",
    "Footprint",
    "connections_needed",
    "footprint_of",
    "footprints",
    "peak_pods",
    "quota_of",
    "server_footprint",
    "standing_footprint",
    "standing_pods",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What one pod takes (its containers together)."""

    cpu_request_m: int
    cpu_limit_m: int
    memory_request_mib: int
    memory_limit_mib: int
    ephemeral_mib: int

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            cpu_request_m=self.cpu_request_m + other.cpu_request_m,
            cpu_limit_m=self.cpu_limit_m + other.cpu_limit_m,
            memory_request_mib=self.memory_request_mib + other.memory_request_mib,
            memory_limit_mib=self.memory_limit_mib + other.memory_limit_mib,
            ephemeral_mib=self.ephemeral_mib + other.ephemeral_mib,
        )

    def times(self, count: int) -> Footprint:
        return Footprint(
            cpu_request_m=self.cpu_request_m * count,
            cpu_limit_m=self.cpu_limit_m * count,
            memory_request_mib=self.memory_request_mib * count,
            memory_limit_mib=self.memory_limit_mib * count,
            ephemeral_mib=self.ephemeral_mib * count,
        )


NOTHING = Footprint(cpu_request_m=0, cpu_limit_m=0, memory_request_mib=0, memory_limit_mib=0, ephemeral_mib=0)

AGENT = Footprint(cpu_request_m=50, cpu_limit_m=200, memory_request_mib=64, memory_limit_mib=64, ephemeral_mib=32)
"""The credentials agent (`bao agent`), as a sidecar or an init container."""

BACKUP = Footprint(
    cpu_request_m=250, cpu_limit_m=1000, memory_request_mib=256, memory_limit_mib=512, ephemeral_mib=1024
)
"""The backup job's own container."""

CACHE_CPU_M = 100
"""Request of a Redis of its own."""

CACHE_OVERHEAD_MIB = 64
"""What a Redis of its own needs above its data: buffers, and the copy while it saves."""

SERVER_EPHEMERAL_MIB = 256


def server_footprint(*, cpu_m: int, memory_mib: int) -> Footprint:
    """A database or cache server in the namespace: memory guaranteed, CPU may burst to twice the request."""
    return Footprint(
        cpu_request_m=cpu_m,
        cpu_limit_m=cpu_m * 2,
        memory_request_mib=memory_mib,
        memory_limit_mib=memory_mib,
        ephemeral_mib=SERVER_EPHEMERAL_MIB,
    )


def peak_pods(module: ModuleSpec) -> int:
    """Most pods of a module at once: a rolling update starts one above the maximum; every schedule may run."""
    if module.kind is ModuleKind.SCHEDULED:
        return len(module.tasks)
    if module.kind is ModuleKind.TASK:
        return 1
    return module.replicas_max + 1


def footprint_of(module: ModuleSpec) -> Footprint:
    """One pod of a module, its agent included."""
    own = Footprint(
        cpu_request_m=module.cpu_request_m,
        cpu_limit_m=module.cpu_limit_m,
        memory_request_mib=module.memory_request_mib,
        memory_limit_mib=module.memory_limit_mib,
        ephemeral_mib=module.scratch_mib,
    )
    return own + AGENT


def footprints(module: ModuleSpec) -> Footprint:
    """All pods of a module at its peak, agents included."""
    return footprint_of(module).times(peak_pods(module))


def connections_needed(modules: Iterable[ModuleSpec]) -> int:
    """Database connections at the peak of every module."""
    return sum(peak_pods(module) * module.database_connections for module in modules)


def standing_footprint(database: DatabaseSpec, cache: CacheSpec, backup: bool) -> Footprint:
    """What a tenant takes besides its modules: servers of its own and the backup, each with its agent."""
    return sum((one + AGENT for one in _standing(database, cache, backup)), NOTHING)


def standing_pods(database: DatabaseSpec, cache: CacheSpec, backup: bool) -> int:
    return len(_standing(database, cache, backup))


def _standing(database: DatabaseSpec, cache: CacheSpec, backup: bool) -> list[Footprint]:
    found = []
    if database.tier is DatabaseTier.DEDICATED:
        found.append(server_footprint(cpu_m=database.cpu_m, memory_mib=database.memory_mib))
    if cache.dedicated:
        found.append(server_footprint(cpu_m=CACHE_CPU_M, memory_mib=cache.memory_mib + CACHE_OVERHEAD_MIB))
    if backup:
        found.append(BACKUP)
    return found


def quota_of(
    modules: Sequence[ModuleSpec],
    storage: Sequence[StorageSpec],
    *,
    database: DatabaseSpec,
    cache: CacheSpec,
    backup: bool,
) -> QuotaSpec:
    """The namespace's quota: every module at its peak, servers of its own with their volumes, the backup."""
    total = sum((footprints(module) for module in modules), standing_footprint(database, cache, backup))
    pods = sum(peak_pods(module) for module in modules) + standing_pods(database, cache, backup)
    server_storage_mib = [database.storage_mib] if database.tier is DatabaseTier.DEDICATED else []
    return QuotaSpec(
        cpu_request_m=total.cpu_request_m,
        cpu_limit_m=total.cpu_limit_m,
        memory_request_mib=total.memory_request_mib,
        memory_limit_mib=total.memory_limit_mib,
        storage_mib=sum(one.size_mib for one in storage) + sum(server_storage_mib),
        ephemeral_mib=total.ephemeral_mib,
        pods=pods,
        volumes=len(storage) + len(server_storage_mib),
    )
