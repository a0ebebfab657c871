"""A workload: an application described by its modules, so that another application needs no Python.

File: `tenant_templates/workloads/<name>/v<n>/workload.yaml`, with the files that it names beside it (`scripts/`,
`configuration/`). docs/workload-file.md is the reference for people.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tenantry.tenancy.model import Fields, Flag, Whole
from tenantry.tenancy.plans import Positive, SizeName, TemplateMetadata
from tenantry.tenancy.quantity import Cpu, Mebibytes
from tenantry.tenancy.workload_spec import ModuleKind, Reach

__all__ = [
    "OWN_MODULES",
    "OWN_VOLUMES",
    "AlertFields",
    "Bounds",
    "ConfigurationFields",
    "ModuleFields",
    "ProbeFields",
    "ReleaseFields",
    "ScalingFields",
    "SizeFields",
    "SmokeFields",
    "SourceFields",
    "StorageFields",
    "TaskFields",
    "UsageFields",
    "Workload",
    "WorkloadFields",
]

OWN_MODULES = frozenset({"agent", "backup", "cache", "database", "messaging", "monitoring"})
"""What Tenantry's own parts are called in a tenant's namespace. A module of that name would get their network openings
and take the place of their objects."""

OWN_VOLUMES = frozenset({"agent", "cell-ca", "database", "openbao-token", "rendered", "scratch", "scripts"})
"""What Tenantry's own volumes are called, as they are or with a number; the agent's token is in one of them."""

_NUMBER = re.compile(r"-\d+$")

Label = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,28}[a-z0-9])?$")]
AbsolutePath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]+$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Query = Annotated[str, Field(pattern=r"^(?i:select)\s[^;]+$", max_length=2000)]
Schedule = Annotated[str, Field(pattern=r"^(\S+ ){4}\S+$")]


class ProbeFields(Fields):
    """HTTP when `path` is given, TCP with only `port`, else `command` in the container."""

    path: str | None = None
    port: Port | None = None
    command: tuple[str, ...] = ()
    initial_delay_s: Whole = 0
    period_s: Positive = 10
    timeout_s: Positive = 5
    failure_threshold: Positive = 3

    @model_validator(mode="after")
    def _one_of(self) -> ProbeFields:
        if bool(self.command) == (self.port is not None) or (self.path is not None and self.port is None):
            raise PydanticCustomError("probe", "a probe has a port (with optional path) or a command", {"hint": None})
        return self


class TaskFields(Fields):
    """One schedule of a scheduled module, times in UTC."""

    name: Label
    schedule: Schedule
    command: Annotated[tuple[str, ...], Field(min_length=1)]
    deadline_s: Positive
    """A run that takes longer is ended, so that a hung one blocks none of the later ones."""


class Bounds(Fields):
    """How far a tenant file may go on a plan of this size."""

    replicas: Positive = 1
    cpu: Cpu
    memory: Mebibytes


class SizeFields(Fields):
    """What one replica takes on a plan of this size."""

    min: Positive = 1
    max: Positive = 1
    cpu: Cpu
    """Request of one replica; the limit is `cpuBurst` times as much."""
    memory: Mebibytes
    """Request and limit alike, so that no node is promised more memory than it has."""
    bounds: Bounds

    @model_validator(mode="after")
    def _ordered(self) -> SizeFields:
        if not self.min <= self.max <= self.bounds.replicas:
            raise PydanticCustomError("size", "min ≤ max ≤ bounds.replicas is broken", {"hint": None})
        if self.cpu > self.bounds.cpu or self.memory > self.bounds.memory:
            raise PydanticCustomError("size", "the size lies above its own bounds", {"hint": "raise bounds"})
        return self


class SourceFields(Fields):
    """Something that a module has to work off, as a number that the operator reads."""

    name: Label
    queue: FileName | None = None
    """Name of a RabbitMQ queue: counts its messages, waiting and taken. Used where the tenant's plan has RabbitMQ."""
    query: Query | None = None
    """One SELECT of one number, run in the tenant's schema by an account that may only read. With `queue`: used where
    the tenant's messages are kept in its database."""
    per_replica: Positive
    """How much of it one replica may have."""

    @model_validator(mode="after")
    def _something(self) -> SourceFields:
        if self.queue is None and self.query is None:
            raise PydanticCustomError("source", "a source has a queue, a query or both", {"hint": None})
        return self


class SmokeFields(Fields):
    """A request that a sound release answers, made to one of the module's new pods before traffic is let in."""

    path: Annotated[str, Field(pattern=r"^/[^\s#]*$", max_length=500)]
    status: Annotated[int, Field(ge=100, le=599, strict=True)] = 200
    text: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Must stand somewhere in the answer's body."""


class ScalingFields(Fields):
    """How a module follows its load. Without it: by CPU alone."""

    sources: Annotated[tuple[SourceFields, ...], Field(min_length=1)]
    """The one that asks for most counts."""
    raise_after_s: Annotated[int, Field(ge=0, le=3600, strict=True)] = 0
    lower_after_s: Annotated[int, Field(ge=0, le=86_400, strict=True)] = 300


class ModuleFields(Fields):
    name: Label
    title: str
    group: Label
    """The function that it belongs to; several modules make one function where they scale apart."""
    kind: ModuleKind
    optional: Flag = False
    """A tenant may switch it off."""
    enabled: Flag = True
    """Whether it is on where the tenant says nothing."""
    command: tuple[str, ...] = ()
    tasks: tuple[TaskFields, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    port: Port | None = None
    public: Flag = False
    essential_paths: tuple[AbsolutePath, ...] = ()
    """Paths of a public module that are answered even while the tenant is suspended: unsubscribe links."""
    sizes: dict[SizeName, SizeFields]
    cpu_burst: Annotated[int, Field(ge=1, le=20, strict=True)] = 2
    cpu_target_percent: Annotated[int, Field(ge=10, le=100, strict=True)] = 70
    scratch: Mebibytes
    readiness: ProbeFields | None = None
    liveness: ProbeFields | None = None
    startup: ProbeFields | None = None
    mounts: tuple[Label, ...] = ()
    reach: frozenset[Reach] = frozenset()
    metrics_path: str | None = None
    database_connections: Whole = 1
    """Per replica (per run of a task)."""
    stop_grace_s: Positive = 30
    run_before: Flag = False
    scaling: ScalingFields | None = None
    smoke: tuple[SmokeFields, ...] = ()
    """Services with a port: what a release is checked by, besides the probes."""

    @model_validator(mode="after")
    def _fits_kind(self) -> ModuleFields:
        def refuse(message: str) -> None:
            raise PydanticCustomError(
                "module", "{message}", {"message": f"module {self.name}: {message}", "hint": None}
            )

        if set(self.sizes) != {"small", "medium", "large"}:
            refuse("sizes must have small, medium and large")
        scheduled = self.kind is ModuleKind.SCHEDULED
        if scheduled != bool(self.tasks) or scheduled == bool(self.command):
            refuse("a scheduled module has tasks and no command, every other kind a command and no tasks")
        if self.public and (self.kind is not ModuleKind.SERVICE or self.port is None):
            refuse("only a service with a port can be public")
        if self.essential_paths and not self.public:
            refuse("only a public module has essential paths")
        if self.smoke and (self.kind is not ModuleKind.SERVICE or self.port is None):
            refuse("only a service with a port has smoke checks")
        if self.run_before and self.kind is not ModuleKind.TASK:
            refuse("runBefore belongs to tasks")
        if self.kind in (ModuleKind.SCHEDULED, ModuleKind.TASK) and any(
            one.bounds.replicas != 1 for one in self.sizes.values()
        ):
            refuse("a scheduled module or a task has one replica")
        if self.kind in (ModuleKind.SERVICE, ModuleKind.WORKER) and self.readiness is None and self.liveness is None:
            refuse("a service or worker needs a probe")
        if self.scaling is not None and self.kind is not ModuleKind.WORKER:
            refuse("only a worker follows its load by sources; a service does by CPU")
        if len({task.name for task in self.tasks}) != len(self.tasks):
            refuse("two tasks share a name")
        return self


class ReleaseFields(Fields):
    """A version of the application, pinned to an image."""

    name: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,40}$")]
    tag: Annotated[str, Field(pattern=r"^[0-9A-Za-z_][0-9A-Za-z._-]{0,127}$")]
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = None
    """When given, the image is exactly this one, whatever the tag says later."""
    upgrades_from: tuple[str, ...] = ()
    """Releases from which this one is reached in one step; left out: every earlier one."""
    preview: Flag = False
    """Taken only where a tenant file names it."""


class StorageFields(Fields):
    name: Label
    mount_path: AbsolutePath
    sizes: dict[SizeName, Mebibytes]
    shared: Flag
    """Several replicas write to it."""
    backup: Flag


class ConfigurationFields(Fields):
    path: AbsolutePath
    """Where the rendered file stands in the container."""
    file: FileName
    """Template in `configuration/`, in the language of `bao agent`."""


class AlertFields(Fields):
    name: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]{2,60}$")]
    expression: str
    for_s: Positive
    severity: Literal["critical", "info", "warning"]
    summary: str


class UsageFields(Fields):
    """How much of what a plan sells a tenant uses, each one SELECT of one number in its schema."""

    contacts: Query | None = None


class WorkloadFields(Fields):
    title: str
    template_version: Positive
    image: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]*$")]
    """Without tag."""
    releases: Annotated[tuple[ReleaseFields, ...], Field(min_length=1)]
    """Oldest first; the last that is no preview is the default."""
    uid: Positive
    gid: Positive
    unprivileged_port_start: Annotated[int, Field(ge=0, le=1024, strict=True)] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    """For every module; a module's own wins."""
    modules: Annotated[tuple[ModuleFields, ...], Field(min_length=1)]
    storage: tuple[StorageFields, ...] = ()
    configuration: tuple[ConfigurationFields, ...] = ()
    scripts: tuple[FileName, ...] = ()
    """Files in `scripts/`."""
    scripts_path: AbsolutePath = "/opt/tenantry/scripts"
    generated_secrets: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")], Annotated[int, Field(ge=16)]] = (
        Field(default_factory=dict)
    )
    """Name → random bytes; made once, kept in OpenBao."""
    writable_paths: tuple[AbsolutePath, ...] = ()
    alerts: tuple[AlertFields, ...] = ()
    usage: UsageFields = UsageFields()

    @property
    def default_release(self) -> ReleaseFields:
        """What a tenant gets whose file names no release."""
        return [one for one in self.releases if not one.preview][-1]

    @model_validator(mode="after")
    def _consistent(self) -> WorkloadFields:
        def refuse(message: str) -> None:
            raise PydanticCustomError("workload", "{message}", {"message": message, "hint": None})

        if all(one.preview for one in self.releases):
            refuse("every release is a preview: one must be the default")
        for what, found, own in (
            ("module", [one.name for one in self.modules], OWN_MODULES),
            ("storage", [_NUMBER.sub("", one.name) for one in self.storage], OWN_VOLUMES),
        ):
            if taken := sorted(set(found) & own):
                refuse(f"no {what} can be called {' or '.join(taken)}: a part of Tenantry's own is; rename it")
        volumes = {one.name for one in self.storage}
        for module in self.modules:
            unknown = set(module.mounts) - volumes
            if unknown:
                refuse(f"module {module.name} mounts {', '.join(sorted(unknown))}, which storage does not name")
        for what, found in (
            ("modules", [one.name for one in self.modules]),
            ("releases", [one.name for one in self.releases]),
            ("storage", [one.name for one in self.storage]),
            ("alerts", [one.name for one in self.alerts]),
        ):
            if len(set(found)) != len(found):
                refuse(f"two {what} share a name")
        if sum(one.public for one in self.modules) > 1:
            refuse("at most one module is public: the hosts lead to it")
        return self


class Workload(Fields):
    """One version of a catalogue entry."""

    api_version: Literal["tenantry.dev/v1alpha1"]
    kind: Literal["Workload"]
    metadata: TemplateMetadata
    spec: WorkloadFields

    @property
    def name(self) -> str:
        return self.metadata.name
