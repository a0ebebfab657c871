"""`WorkloadSpec`: the application of one tenant, fully decided: its modules, their storage and what is told of them.

Part of a `TenantSpec` (spec.py). Units: CPU in milli-cores (`_m`), memory and storage in MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AlertRule",
    "Configuration",
    "ModuleKind",
    "ModuleSpec",
    "Probe",
    "Reach",
    "ScalingSource",
    "ScheduledTask",
    "SmokeCheck",
    "StorageSpec",
    "WorkloadSpec",
]


class ModuleKind(StrEnum):
    """service: Deployment + Service (+ Ingress where `public`). worker: Deployment.
    scheduled: one CronJob a task. task: a one-shot Job (install, migrate)."""

    SERVICE = "service"
    WORKER = "worker"
    SCHEDULED = "scheduled"
    TASK = "task"


class Reach(StrEnum):
    """What a module may open connections to; DNS always, everything else never."""

    DATABASE = "database"
    CACHE = "cache"
    MESSAGING = "messaging"
    OPENBAO = "openbao"
    EGRESS = "egress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """HTTP when `path` is set, else TCP on `port`, else `command` run in the container."""

    path: str | None = None
    port: int | None = None
    command: tuple[str, ...] = ()
    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 5
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeCheck:
    """A request that a sound service answers: with this status, and with this text in its body (None: any)."""

    path: str
    status: int
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledTask:
    """One schedule of a scheduled module. `deadline_s` ends a hung run before the next but one is due."""

    name: str
    schedule: str
    command: tuple[str, ...]
    deadline_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSource:
    """Something that a module has to work off. One of queue and query is set: a queue of the tenant's virtual host,
    or one SELECT of one number in the tenant's schema."""

    name: str
    queue: str | None
    query: str | None
    per_replica: int
    """How much of it one replica may have before another is worth its while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleSpec:
    name: str
    title: str
    kind: ModuleKind
    command: tuple[str, ...]
    """Complete argument vector; () for a scheduled module, whose tasks carry their own."""
    tasks: tuple[ScheduledTask, ...]
    environment: tuple[tuple[str, str], ...]
    port: int | None
    public: bool
    """Reached from outside through the Ingress."""
    replicas_min: int
    replicas_max: int
    """Equal to the minimum: no autoscaler. Scheduled and task modules: 1."""
    cpu_target_percent: int
    cpu_request_m: int
    cpu_limit_m: int
    memory_request_mib: int
    memory_limit_mib: int
    scratch_mib: int
    """Limit of each emptyDir and of ephemeral storage."""
    readiness: Probe | None
    liveness: Probe | None
    startup: Probe | None
    mounts: tuple[str, ...]
    """Names of `StorageSpec` that it mounts."""
    reach: frozenset[Reach]
    metrics_path: str | None
    """Scraped on `port` when set."""
    database_connections: int
    """Per replica; the sum over modules at their maximum fits the account's cap."""
    stop_grace_s: int
    run_before: bool
    """task only: must succeed before the other modules roll (install, migrate)."""
    group: str = ""
    """The function that it belongs to (`messaging` for each of its workers); for display and selection."""
    sources: tuple[ScalingSource, ...] = ()
    """What says how many replicas are needed; () for CPU alone."""
    raise_after_s: int = 0
    lower_after_s: int = 300
    """How long demand must be higher, or lower, before the replicas follow it."""
    essential_paths: tuple[str, ...] = ()
    """What of a public module is answered even while the tenant is suspended: unsubscribe links."""
    by_hand: int | None = None
    """So many replicas, whatever is measured; None: they follow its load."""
    smoke: tuple[SmokeCheck, ...] = ()
    """What a new release must answer before anybody else is let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSpec:
    """A persistent volume of the workload. shared: ReadWriteMany when any mounting module has several replicas."""

    name: str
    mount_path: str
    size_mib: int
    shared: bool
    backup: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A file that `bao agent` renders into memory. `template` is in its language; our ${…} are already filled in."""

    path: str
    """Absolute, inside the container."""
    template: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    name: str
    expression: str
    """PromQL; `$namespace` is already filled in."""
    for_s: int
    severity: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """The application, resolved for one tenant: only modules that are switched on."""

    name: str
    title: str
    release: str
    image: str
    template_version: int
    uid: int
    gid: int
    unprivileged_port_start: int | None
    """Value for the safe sysctl net.ipv4.ip_unprivileged_port_start; None: not set."""
    modules: tuple[ModuleSpec, ...]
    storage: tuple[StorageSpec, ...]
    configuration: tuple[Configuration, ...]
    scripts: tuple[tuple[str, str], ...]
    """(file name, text), mounted read-only at `scripts_path`; public, no secrets."""
    scripts_path: str
    generated_secrets: tuple[tuple[str, int], ...]
    """(name, random bytes): application secrets made once in OpenBao at `<kv_path>/app`."""
    writable_paths: tuple[str, ...]
    """Folders that get a scratch volume, the root file system being read-only."""
    alerts: tuple[AlertRule, ...]
    contacts_query: str | None = None
    """One SELECT that counts the tenant's contacts in its schema; None: the workload has none."""
