"""Everything that may run at once fits into the quota."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.quota import AGENT, BACKUP, connections_needed, peak_pods
from tenantry.tenancy.quota import quota_of as real_quota_of
from tenantry.tenancy.spec import CacheSpec, DatabaseSpec, DatabaseTier, QuotaSpec
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec, StorageSpec
from tests.unit.strategies import modules, storage

FLEETS = st.lists(modules(), max_size=8)
CACHE = CacheSpec(dedicated=False, host="cache", port=6379, memory_mib=64)
SHARED = DatabaseSpec(
    tier=DatabaseTier.SHARED,
    host="database",
    port=3306,
    storage_mib=1024,
    connections=100,
    engine_version="10.11",
    cpu_m=0,
    memory_mib=0,
    instance_class=None,
    rotation_days=30,
)


def quota_of(
    fleet: list[ModuleSpec], volumes: list[StorageSpec], *, backup: bool, database: DatabaseSpec = SHARED
) -> QuotaSpec:
    return real_quota_of(fleet, volumes, database=database, cache=CACHE, backup=backup)


@given(FLEETS, st.booleans())
def test_the_sum_of_all_pods_is_the_quota(fleet: list[ModuleSpec], backup: bool) -> None:
    quota = quota_of(fleet, [], backup=backup)
    cpu = sum((one.cpu_request_m + AGENT.cpu_request_m) * peak_pods(one) for one in fleet)
    memory = sum((one.memory_limit_mib + AGENT.memory_limit_mib) * peak_pods(one) for one in fleet)
    if backup:
        cpu += BACKUP.cpu_request_m + AGENT.cpu_request_m
        memory += BACKUP.memory_limit_mib + AGENT.memory_limit_mib
    assert quota.cpu_request_m == cpu
    assert quota.memory_limit_mib == memory
    assert quota.pods == sum(peak_pods(one) for one in fleet) + backup


@given(modules())
def test_a_rolling_update_at_the_maximum_has_room(module: ModuleSpec) -> None:
    if module.kind in (ModuleKind.SERVICE, ModuleKind.WORKER):
        assert peak_pods(module) == module.replicas_max + 1
    elif module.kind is ModuleKind.SCHEDULED:
        assert peak_pods(module) == len(module.tasks)
    else:
        assert peak_pods(module) == 1


@given(FLEETS, modules(), st.lists(storage, max_size=3))
def test_one_more_module_never_lowers_a_quota(
    fleet: list[ModuleSpec], more: ModuleSpec, volumes: list[StorageSpec]
) -> None:
    before = dataclasses.asdict(quota_of(fleet, volumes, backup=True))
    after = dataclasses.asdict(quota_of([*fleet, more], volumes, backup=True))
    assert all(after[name] >= before[name] for name in before)
    assert after["pods"] > before["pods"]


@given(FLEETS, st.integers(100, 4000), st.integers(128, 8192), st.integers(1, 100_000))
def test_own_servers_and_their_volumes_count(fleet: list[ModuleSpec], cpu: int, memory: int, volume: int) -> None:
    without = quota_of(fleet, [], backup=False)
    own = dataclasses.replace(SHARED, tier=DatabaseTier.DEDICATED, cpu_m=cpu, memory_mib=memory, storage_mib=volume)
    quota = quota_of(fleet, [], database=own, backup=False)
    assert quota.memory_request_mib - without.memory_request_mib == memory + AGENT.memory_request_mib
    assert (quota.storage_mib, quota.volumes, quota.pods) == (volume, 1, without.pods + 1)


@given(FLEETS, FLEETS)
def test_connections_add_up(left: list[ModuleSpec], right: list[ModuleSpec]) -> None:
    assert connections_needed([*left, *right]) == connections_needed(left) + connections_needed(right)
