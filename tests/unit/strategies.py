"""Hypothesis strategies of the domain, in one place."""

from __future__ import annotations

from hypothesis import strategies as st

from tenantry.tenancy.naming import INCARNATION_LENGTH, NAME_LENGTH
from tenantry.tenancy.workload_spec import ModuleKind, ModuleSpec, ScheduledTask, StorageSpec

__all__ = ["incarnations", "modules", "storage", "tenant_names"]

# Few letters and many hyphens, so that collisions by moving a hyphen are found.
tenant_names = st.from_regex(r"[ab]([-ab1]{0,28}[ab1])?", fullmatch=True).filter(lambda one: len(one) <= NAME_LENGTH)
incarnations = st.text("ab27", min_size=INCARNATION_LENGTH, max_size=INCARNATION_LENGTH)


@st.composite
def modules(draw: st.DrawFn) -> ModuleSpec:
    """A module of any kind and size."""
    kind = draw(st.sampled_from(ModuleKind))
    scales = kind in (ModuleKind.SERVICE, ModuleKind.WORKER)
    least = draw(st.integers(1, 20)) if scales else 1
    cpu = draw(st.integers(10, 4000))
    memory = draw(st.integers(16, 8192))
    tasks = draw(st.integers(1, 6)) if kind is ModuleKind.SCHEDULED else 0
    return ModuleSpec(
        name=draw(st.from_regex(r"[a-z]{1,12}", fullmatch=True)),
        title="A module",
        kind=kind,
        command=() if tasks else ("run",),
        tasks=tuple(
            ScheduledTask(name=f"task-{index}", schedule="0 * * * *", command=("run",), deadline_s=60)
            for index in range(tasks)
        ),
        environment=(),
        port=None,
        public=False,
        replicas_min=least,
        replicas_max=least + (draw(st.integers(0, 20)) if scales else 0),
        cpu_target_percent=70,
        cpu_request_m=cpu,
        cpu_limit_m=cpu * draw(st.integers(1, 4)),
        memory_request_mib=memory,
        memory_limit_mib=memory,
        scratch_mib=draw(st.integers(1, 4096)),
        readiness=None,
        liveness=None,
        startup=None,
        mounts=(),
        reach=frozenset(),
        metrics_path=None,
        database_connections=draw(st.integers(0, 20)),
        stop_grace_s=30,
        run_before=False,
    )


storage = st.builds(
    StorageSpec,
    name=st.just("files"),
    mount_path=st.just("/files"),
    size_mib=st.integers(1, 100_000),
    shared=st.booleans(),
    backup=st.booleans(),
)
